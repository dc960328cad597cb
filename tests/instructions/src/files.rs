//! Which files of the product a call passes: those of which it executes an instruction at least.

use std::collections::BTreeMap;

use crate::profile::Counts;
use crate::work::{CLASSES, VERBS};

/// The size of the allocations.
const BYTES: usize = 128;

/// Prints the files of each verb, the most expensive first.
pub(crate) fn print(counts: &[[Counts; VERBS.len()]]) {
    for (class, of_verbs) in CLASSES.iter().zip(counts).filter(|(class, _)| class.bytes == BYTES) {
        for (verb, counts) in VERBS.iter().zip(of_verbs) {
            let files = passed(&counts.by_file, class.calls() as u64);
            println!("{verb} of {BYTES} bytes: {} files", files.len());
            files.iter().for_each(|(file, each)| println!("{each:>6} {file}"));
        }
    }
}

/// Files with the instructions of one call of so many.
fn passed(by_file: &BTreeMap<String, u64>, calls: u64) -> Vec<(&str, u64)> {
    let each = by_file.iter().map(|(file, count)| (file.as_str(), count / calls));
    let mut files: Vec<_> = each.filter(|(_, each)| *each > 0).collect();
    files.sort_by_key(|(_, each)| core::cmp::Reverse(*each));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_few_calls_enter_is_not_passed() {
        let by_file = [("a.rs", 99), ("b.rs", 100), ("c.rs", 700)].map(|(file, count)| (file.to_owned(), count));
        assert_eq!(passed(&by_file.into(), 100), [("c.rs", 7), ("b.rs", 1)]);
    }
}
