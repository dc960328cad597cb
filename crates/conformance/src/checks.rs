//! The checks: one table, by the order in which they run.
//!
//! A check stands for one behaviour, is named after it, and tries it on every page size. What it uses without being about
//! it (fresh memory, unmapping) has checks of its own, which run earlier.

mod caller;
mod collapse;
mod failures;
mod fresh;
mod methods;
mod named;
mod poke;
mod rights;
mod side_by_side;
mod stale;

use crate::Law;
use crate::bench::{Bench, Checked};

/// A check.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) law: Law,
    pub(crate) run: fn(&Bench<'_>) -> Checked,
}

const fn check(law: Law, name: &'static str, run: fn(&Bench<'_>) -> Checked) -> Check {
    Check { name, law, run }
}

/// All of them.
pub(crate) const CHECKS: [Check; 62] = joined([
    &methods::CHECKS,
    &fresh::CHECKS,
    &rights::CHECKS,
    &stale::CHECKS,
    &named::CHECKS,
    &poke::CHECKS,
    &failures::CHECKS,
    &collapse::CHECKS,
    &side_by_side::CHECKS,
    &caller::CHECKS,
]);

/// Parts of the table, one after the other. Does not compile unless that fills it.
const fn joined<const N: usize, const PARTS: usize>(parts: [&[Check]; PARTS]) -> [Check; N] {
    let mut all = [parts[0][0]; N];
    let (mut part, mut at) = (0, 0);
    while part < PARTS {
        let mut index = 0;
        while index < parts[part].len() {
            all[at] = parts[part][index];
            index += 1;
            at += 1;
        }
        part += 1;
    }
    assert!(at == N, "the number of checks");
    all
}
