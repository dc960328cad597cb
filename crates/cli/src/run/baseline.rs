//! What the old practice needs for the same load: whole pages for everything.

use crate::workload::ModuleSizes;

const PAGE_BYTES: u64 = 4096;

/// Pages of one function that has them to itself.
pub(crate) const fn function_pages(len: u64) -> u64 {
    len.div_ceil(PAGE_BYTES)
}

/// Pages of a module as Linux 6.1 lays it out: each kind of section, and the symbol table, on pages of its own. The init
/// kinds are gone once it is initialised.
pub(crate) fn module_pages(sizes: &ModuleSizes) -> u64 {
    let kept = sizes.bytes.iter().take(4).chain([&sizes.symbol_table_bytes]);
    kept.map(|bytes| bytes.div_ceil(PAGE_BYTES)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::module_set;

    #[test]
    fn module_pages_are_those_measured_in_guests() {
        let pages = |set| module_set(set).expect(set).iter().map(module_pages).sum::<u64>();
        assert_eq!((pages("workstation-6.1"), pages("server-6.1")), (5277, 5692));
    }
}
