//! Where a kind is served: computed once from the table, so that an allocation looks at eight bytes of it.

use execmem_types::{KindSet, PerKind, PowerOfTwo, Row, Table};

/// What an allocation of one kind needs to know of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat {
    /// Number of the pool that serves the kind.
    pub(crate) pool: u8,
    /// Which of the kinds that share the pool it is; the pool's own is 0.
    pub(crate) sharer: u8,
    /// What every length is rounded up to.
    pub(crate) quantum: PowerOfTwo,
    /// What every start is a multiple of.
    pub(crate) alignment: PowerOfTwo,
    /// Bytes before the entry point.
    pub(crate) lead: u16,
}

/// The seats of every kind of a table. Pools are numbered in the order of the kinds that have rows of their own.
pub(crate) fn seats<S: KindSet>(table: &Table<S>) -> PerKind<S, Seat> {
    let none = PowerOfTwo::from_log2(0);
    let unknown = Seat { pool: 0, sharer: 0, quantum: none, alignment: none, lead: 0 };
    PerKind::from_fn(unknown, |kind| {
        let home = table.home(kind);
        let before = |of: S| S::ALL.iter().copied().take_while(move |other| *other != of);
        let own = |other: &S| matches!(table.row(*other), Row::Own(_));
        let pool = before(home).filter(own).count();
        let shares = |other: &S| table.home(*other) == home && *other != home;
        let sharer = if kind == home { 0 } else { 1 + before(kind).filter(shares).count() };
        #[expect(clippy::cast_possible_truncation, reason = "a set has at most 32 kinds")]
        Seat {
            pool: pool as u8,
            sharer: sharer as u8,
            quantum: table.quantum(kind),
            alignment: table.alignment(kind),
            lead: table.descriptor(kind).lead,
        }
    })
}
