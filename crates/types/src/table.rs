//! Tables: one row per kind, checked when constructed.
//!
//! A table in a `const` is checked by the compiler: a bad row stops the build with the name of the rule.

use crate::rules::TableError;
use crate::{Descriptor, Extent, Fill, Kind, Machine, PowerOfTwo, Row, rules};

/// A complete, checked table: the facts of a machine and one [`Row`] per [`Kind`].
///
/// # Invariants (I8)
///
/// Every rule of [`TableError`] holds. The fields are private, and every change goes through a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    machine: Machine,
    rows: [Row; Kind::COUNT],
    is_legacy: bool,
}

impl Table {
    /// A table of these rows, in the order of [`Kind::ALL`].
    ///
    /// # Errors
    ///
    /// The first rule that a row breaks.
    pub const fn checked(machine: Machine, rows: [Row; Kind::COUNT]) -> Result<Self, TableError> {
        match rules::check(&machine, &rows, false) {
            Ok(()) => Ok(Table { machine, rows, is_legacy: false }),
            Err(error) => Err(error),
        }
    }

    /// A table of these rows. For use in a `const`.
    ///
    /// # Panics
    ///
    /// With the rule that a row breaks.
    #[must_use]
    pub const fn new(machine: Machine, rows: [Row; Kind::COUNT]) -> Self {
        match Self::checked(machine, rows) {
            Ok(table) => table,
            Err(error) => panic!("{}", error.rule()),
        }
    }

    /// A table that may have rows whose memory is **writable and executable at once**. Nothing else makes one.
    ///
    /// # Panics
    ///
    /// With the rule that a row breaks.
    #[must_use]
    pub const fn legacy(machine: Machine, rows: [Row; Kind::COUNT]) -> Self {
        match rules::check(&machine, &rows, true) {
            Ok(()) => Table { machine, rows, is_legacy: true },
            Err(error) => panic!("{}", error.rule()),
        }
    }

    /// A copy with other rows and another anchor, as a boot (KASLR, CPU features) may want, checked again.
    ///
    /// # Errors
    ///
    /// The first rule that the adjusted table breaks.
    pub fn adjusted(mut self, adjust: impl FnOnce(&mut Machine, &mut [Row; Kind::COUNT])) -> Result<Self, TableError> {
        adjust(&mut self.machine, &mut self.rows);
        rules::check(&self.machine, &self.rows, self.is_legacy)?;
        Ok(self)
    }

    /// The facts of the machine.
    #[must_use]
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The row of a kind.
    #[must_use]
    #[inline]
    pub const fn row(&self, kind: Kind) -> &Row {
        &self.rows[kind.index()]
    }

    /// Whether rows with writable and executable memory are allowed.
    #[must_use]
    pub const fn is_legacy(&self) -> bool {
        self.is_legacy
    }

    /// The kind whose allocator serves `kind`: itself, or the one it shares with.
    #[must_use]
    #[inline]
    pub const fn home(&self, kind: Kind) -> Kind {
        match self.row(kind) {
            Row::Own(_) => kind,
            Row::Shares { with, .. } => *with,
        }
    }

    /// The descriptor of the allocator that serves `kind`.
    #[must_use]
    #[inline]
    pub const fn descriptor(&self, kind: Kind) -> &Descriptor {
        match self.row(self.home(kind)) {
            Row::Own(descriptor) => descriptor,
            Row::Shares { .. } => panic!("I8: a shared row shares with a row of its own"),
        }
    }

    /// What every start of a `kind` is a multiple of.
    #[must_use]
    #[inline]
    pub const fn alignment(&self, kind: Kind) -> PowerOfTwo {
        match self.row(kind) {
            Row::Own(Descriptor { alignment, .. }) | Row::Shares { alignment, .. } => *alignment,
        }
    }

    /// Bytes that every allocation of a `kind` has before its entry point.
    #[must_use]
    #[inline]
    pub const fn lead(&self, kind: Kind) -> u64 {
        self.descriptor(kind).lead as u64
    }

    /// What every length of a `kind` is rounded up to.
    #[must_use]
    #[inline]
    pub const fn quantum(&self, kind: Kind) -> PowerOfTwo {
        match self.row(kind) {
            Row::Own(Descriptor { quantum, .. }) | Row::Shares { quantum, .. } => *quantum,
        }
    }

    /// The smallest quantum of all kinds served by the allocator of `kind`.
    #[must_use]
    pub const fn shared_quantum(&self, kind: Kind) -> PowerOfTwo {
        let home = self.home(kind);
        let mut smallest = self.quantum(home);
        let mut index = 0;
        while index < Kind::COUNT {
            let other = Kind::ALL[index];
            if self.home(other).index() == home.index() {
                smallest = smallest.min(self.quantum(other));
            }
            index += 1;
        }
        smallest
    }

    /// Whether memory of `kind` is code too far from the anchor for direct branches both ways.
    #[must_use]
    pub const fn is_far(&self, kind: Kind, extent: Extent) -> bool {
        match self.machine.anchor {
            Some(anchor) => kind.is_code() && !self.machine.connects(anchor, extent),
            None => false,
        }
    }

    /// The table of the same machine without text poking: what was written through another mapping is read-write, in
    /// the smallest pages, until it is published.
    ///
    /// # Errors
    ///
    /// The first rule that the table breaks then.
    pub fn without_poking(self) -> Result<Self, TableError> {
        let page = self.machine.page();
        let homes = Kind::ALL.map(|kind| self.home(kind).index());
        let flips = homes.map(|home| matches!(&self.rows[home], Row::Own(own) if matches!(own.fill, Fill::Poke)));
        self.adjusted(|_, rows| {
            for (row, _) in rows.iter_mut().zip(flips).filter(|(_, flips)| *flips) {
                match row {
                    Row::Own(own) => own.flip(page),
                    Row::Shares { alignment, quantum, .. } => {
                        (*alignment, *quantum) = ((*alignment).max(page), (*quantum).max(page));
                    }
                }
            }
        })
    }

    /// Whether published memory of `kind` can be changed in place while it is executed.
    #[must_use]
    pub const fn can_poke(&self, kind: Kind) -> bool {
        matches!(self.descriptor(kind).fill, Fill::Poke)
    }
}
