//! A module of which only the length is known: how its bytes are likely to be shared among the kinds.
//!
//! `/proc/modules` has the pages of a module's kinds together. They are shared out as the modules of the set of this
//! repository that is nearest in release have theirs, whole pages each, so their number stays exactly what was read. The
//! last page of each kind counts as half full.

use execmem::Kind;

use super::facts::Sections;
use crate::workload::ModuleSizes;

/// Bytes of kinds that stay, of a number of bytes together; in the order of [`Kind::MODULE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    bytes: [u64; 7],
    file: u64,
}

/// How many of [`Kind::MODULE`] stay after initialisation; the rest is freed.
const KEPT: usize = 4;

impl Shares {
    /// Those of a set of modules. Symbol tables count as data.
    pub(crate) fn of(set: &[ModuleSizes]) -> Self {
        let mut shares = Shares { bytes: [0; 7], file: 0 };
        for module in set {
            for (sum, bytes) in shares.bytes.iter_mut().zip(module.bytes) {
                *sum += bytes;
            }
            shares.bytes[Kind::Data.index()] += module.symbol_table_bytes;
            shares.file += module.file_bytes;
        }
        shares
    }

    /// The likely kinds of a module that has `bytes` after initialisation, in pages of `page` bytes.
    pub(crate) fn split(&self, bytes: u64, page: u64) -> Sections {
        let pages = bytes.div_ceil(page).max(1);
        let kept: u64 = self.bytes[..KEPT].iter().sum::<u64>().max(1);
        let mut given = [0; KEPT];
        for (pages_of, share) in given.iter_mut().zip(self.bytes) {
            *pages_of = part(pages, share, kept);
        }
        // What rounding left goes to the kinds that are owed most, text first.
        while given.iter().sum::<u64>() < pages {
            let owed = |index: &usize| {
                let share = u128::from(self.bytes[*index]) * u128::from(pages);
                (share.saturating_sub(u128::from(given[*index]) * u128::from(kept)), KEPT - *index)
            };
            let next = (0..KEPT).max_by_key(owed).unwrap_or(0);
            given[next] += 1;
        }
        let mut sections = Sections { file: part(bytes, self.file, kept), ..Sections::default() };
        for (kind, index) in Kind::MODULE.into_iter().zip(0..) {
            let Some(bytes_of) = sections.of_mut(kind) else { continue };
            *bytes_of = match given.get(index) {
                Some(pages) => (pages * page).saturating_sub(page / 2),
                None => part(bytes, self.bytes[index], kept),
            };
        }
        sections
    }
}

/// `whole` times `share` divided by `of`.
fn part(whole: u64, share: u64, of: u64) -> u64 {
    u64::try_from(u128::from(whole) * u128::from(share) / u128::from(of)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::module_set;

    #[test]
    fn the_pages_of_a_module_stay_what_was_read() {
        let shares = Shares::of(&module_set("workstation-6.1").expect("a set"));
        for page in [4096, 16384, 65536] {
            for pages in (1..200).chain([3000]) {
                let sections = shares.split(pages * page, page);
                let kept = &sections.by_kind()[..KEPT];
                assert_eq!(kept.iter().map(|bytes| bytes.div_ceil(page)).sum::<u64>(), pages);
                assert!(sections.text > 0, "the first page is text");
            }
        }
    }

    #[test]
    fn a_large_module_is_shared_as_the_set_is() {
        let set = module_set("workstation-6.1").expect("a set");
        let sections = Shares::of(&set).split(100 << 20, 4096);
        let of_set = set.iter().map(|module| module.bytes[0]).sum::<u64>() * 1000 / 19_563_762;
        let found = sections.text * 1000 / (100 << 20);
        assert!(found.abs_diff(of_set) <= 2, "{found} for {of_set}");
    }
}
