//! Tables: one row per kind, checked when constructed.

use crate::rules::TableError;
use crate::{Descriptor, Extent, Fill, Kind, KindSet, Machine, Plan, PowerOfTwo, Row};

/// A complete, checked table: the facts of a machine and one [`Row`] for each kind of a set. [`Plan`] makes one.
///
/// # Invariants (I8)
///
/// Every rule of [`TableError`] holds. The plan inside is private, and every change goes through a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table<S: KindSet = Kind> {
    plan: Plan<S>,
}

impl<S: KindSet> Table<S> {
    /// A plan that was checked.
    pub(crate) const fn of(plan: Plan<S>) -> Self {
        Table { plan }
    }

    pub(crate) const fn plan_ref(&self) -> &Plan<S> {
        &self.plan
    }

    /// The plan again, to be changed and checked: `TABLE.plan().with_anchor(KERNEL).table()`.
    #[must_use]
    pub const fn plan(self) -> Plan<S> {
        self.plan
    }

    /// A changed copy, as a boot (KASLR, CPU features) may want, checked again.
    ///
    /// # Errors
    ///
    /// The first rule that the adjusted table breaks.
    pub fn adjusted(self, adjust: impl FnOnce(&mut Plan<S>)) -> Result<Self, TableError> {
        let mut plan = self.plan;
        adjust(&mut plan);
        plan.checked()
    }

    /// The table of the same machine without text poking: see [`Plan::flip`].
    ///
    /// # Errors
    ///
    /// The first rule that the table breaks then.
    pub fn without_poking(self) -> Result<Self, TableError> {
        self.adjusted(Plan::flip)
    }

    /// The facts of the machine.
    #[must_use]
    #[inline]
    pub const fn machine(&self) -> &Machine {
        &self.plan.machine
    }

    /// Whether rows with writable and executable memory are allowed.
    #[must_use]
    pub const fn is_legacy(&self) -> bool {
        self.plan.is_legacy()
    }

    /// The row of a kind.
    #[must_use]
    #[inline]
    pub fn row(&self, kind: S) -> &Row {
        match self.plan.row(kind) {
            Some(row) => row,
            None => panic!("I8: every kind has a row"),
        }
    }

    /// The kind whose allocator serves `kind`: itself, or the one it shares with.
    #[must_use]
    #[inline]
    pub fn home(&self, kind: S) -> S {
        match self.row(kind) {
            Row::Own(_) => kind,
            Row::Shares { with, .. } => match S::from_number(*with) {
                Some(home) => home,
                None => panic!("I8: a shared row shares with a row of its own"),
            },
        }
    }

    /// The descriptor of the allocator that serves `kind`.
    #[must_use]
    #[inline]
    pub fn descriptor(&self, kind: S) -> &Descriptor {
        match self.row(self.home(kind)) {
            Row::Own(descriptor) => descriptor,
            Row::Shares { .. } => panic!("I8: a shared row shares with a row of its own"),
        }
    }

    /// What every start of a `kind` is a multiple of.
    #[must_use]
    #[inline]
    pub fn alignment(&self, kind: S) -> PowerOfTwo {
        match self.row(kind) {
            Row::Own(Descriptor { alignment, .. }) | Row::Shares { alignment, .. } => *alignment,
        }
    }

    /// Bytes that every allocation of a `kind` has before its entry point.
    #[must_use]
    #[inline]
    pub fn lead(&self, kind: S) -> u64 {
        self.descriptor(kind).lead.into()
    }

    /// What every length of a `kind` is rounded up to.
    #[must_use]
    #[inline]
    pub fn quantum(&self, kind: S) -> PowerOfTwo {
        match self.row(kind) {
            Row::Own(Descriptor { quantum, .. }) | Row::Shares { quantum, .. } => *quantum,
        }
    }

    /// The smallest quantum of all kinds served by the allocator of `kind`.
    #[must_use]
    pub fn shared_quantum(&self, kind: S) -> PowerOfTwo {
        let home = self.home(kind);
        let quanta = S::ALL.iter().filter(|other| self.home(**other) == home).map(|other| self.quantum(*other));
        quanta.fold(self.quantum(home), PowerOfTwo::min)
    }

    /// Whether memory of `kind` is code too far from the anchor for direct branches both ways.
    #[must_use]
    pub fn is_far(&self, kind: S, extent: Extent) -> bool {
        let machine = self.machine();
        machine.anchor.is_some_and(|anchor| kind.is_code() && !machine.connects(anchor, extent))
    }

    /// Whether published memory of `kind` can be changed in place while it is executed.
    #[must_use]
    pub fn can_poke(&self, kind: S) -> bool {
        self.descriptor(kind).fill == Fill::Poke
    }
}
