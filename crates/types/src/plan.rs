//! Plans: tables as their authors write them, row by row.
//!
//! In a constant, the compiler checks the table that a plan becomes, and names the row and the rule if it is wrong:
//!
//! ```
//! use execmem_types::{Descriptor, Extent, InstructionSet, Machine, PageSize, Plan, PowerOfTwo, Table};
//!
//! execmem_types::kinds! {
//!     /// What a JIT with two tiers keeps.
//!     pub enum Jit, types in jit {
//!         /// Code that was compiled at once.
//!         Baseline: Code = "baseline",
//!         /// Code that was compiled well.
//!         Optimised: Code = "optimised",
//!         /// What code loads.
//!         Literals: Constants = "literals",
//!     }
//! }
//!
//! const PAGES: [PageSize; 2] = [PageSize::mib(2), PageSize::kib(4)];
//! const WINDOW: Extent = Extent::between(0x4000_0000, 0x6000_0000).expect("a window");
//! const LINE: PowerOfTwo = PowerOfTwo::from_log2(6);
//! // A crate of an architecture has the instructions of its machines.
//! static INSTRUCTIONS: InstructionSet = InstructionSet::unknown(64);
//! const MACHINE: Machine = Machine::new("mine", &INSTRUCTIONS, &[PAGES[1], PAGES[0]]);
//!
//! static TABLE: Table<Jit> = Plan::new(MACHINE)
//!     .own(jit::Baseline, Descriptor::code(WINDOW, &PAGES))
//!     .shares(jit::Optimised, jit::Baseline, LINE, LINE)
//!     .own(jit::Literals, Descriptor::constants(WINDOW, &PAGES))
//!     .table();
//!
//! fn main() {
//!     assert_eq!(TABLE.home(Jit::Optimised), Jit::Baseline);
//! }
//! ```

use crate::rules::{self, TableError};
use crate::{Descriptor, Extent, Fill, KindSet, KnownKind, Machine, PerKind, PowerOfTwo, Row, Table};

/// A table that is not checked yet: the facts of a machine, and rows for the kinds of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan<S: KindSet = crate::Kind> {
    /// The facts of the machine.
    pub machine: Machine,
    rows: PerKind<S, Option<Row>>,
    is_legacy: bool,
}

/// For constants. `N` is the number of kinds of the set, which says what its arrays are, so no caller names it.
impl<S, const N: usize> Plan<S>
where
    S: KindSet<Array<Option<Row>> = [Option<Row>; N]>,
{
    /// No rows yet.
    #[must_use]
    pub const fn new(machine: Machine) -> Self {
        Plan { machine, rows: PerKind([None; N]), is_legacy: false }
    }

    /// `kind` has an allocator of its own.
    #[must_use]
    pub const fn own<K: KnownKind<Set = S>>(self, kind: K, descriptor: Descriptor) -> Self {
        let _ = kind;
        self.with(K::NUMBER, Row::Own(descriptor))
    }

    /// `kind` lives in the blocks of `with`, with an alignment and a quantum of its own.
    #[must_use]
    pub const fn shares<K: KnownKind<Set = S>, W: KnownKind<Set = S>>(
        self,
        kind: K,
        with: W,
        alignment: PowerOfTwo,
        quantum: PowerOfTwo,
    ) -> Self {
        let _ = (kind, with);
        self.with(K::NUMBER, Row::shares(W::NUMBER, alignment, quantum))
    }

    /// `kind`, which has a row of its own, lives in these windows, best first. Without effect on a row that shares.
    #[must_use]
    pub const fn with_windows<K: KnownKind<Set = S>>(self, kind: K, windows: [Option<Extent>; 3]) -> Self {
        let _ = kind;
        match self.rows.0[K::NUMBER as usize] {
            Some(Row::Own(descriptor)) => self.with(K::NUMBER, Row::Own(descriptor.with_windows(windows))),
            _ => self,
        }
    }

    const fn with(mut self, number: u8, row: Row) -> Self {
        self.rows.0[number as usize] = Some(row);
        self
    }

    /// The table of this plan, for constants.
    ///
    /// # Panics
    ///
    /// With the machine, the row and the rule if one is broken: in a constant the compiler says so.
    #[must_use]
    #[track_caller]
    pub const fn table(self) -> Table<S> {
        match rules::check(&self.machine, &self.rows.0, S::FACTS, self.is_legacy) {
            Ok(()) => Table::of(self),
            Err(error) => panic!("{}", error.message().text()),
        }
    }
}

impl<S: KindSet> Plan<S> {
    /// A row for each kind of a set that may not be known here: what a row is like follows from the class of its kind.
    #[must_use]
    pub fn from_fn(machine: Machine, row: impl FnMut(S) -> Option<Row>) -> Self {
        Plan { machine, rows: PerKind::from_fn(None, row), is_legacy: false }
    }

    /// Code calls directly, and is called from, what lies here.
    #[must_use]
    pub const fn with_anchor(mut self, anchor: Extent) -> Self {
        self.machine.anchor = Some(anchor);
        self
    }

    /// Rows may have memory that is **writable and executable at once**. Nothing else allows that.
    #[must_use]
    pub const fn legacy(mut self) -> Self {
        self.is_legacy = true;
        self
    }

    /// Whether that was said.
    #[must_use]
    pub const fn is_legacy(&self) -> bool {
        self.is_legacy
    }

    /// The row of a kind, if there is one.
    #[must_use]
    pub fn row(&self, kind: S) -> Option<&Row> {
        self.rows[kind].as_ref()
    }

    /// Gives a kind another row.
    pub fn set(&mut self, kind: S, row: Row) {
        self.rows[kind] = Some(row);
    }

    /// The descriptor of a kind that has a row of its own, to be changed.
    pub fn own_mut(&mut self, kind: S) -> Option<&mut Descriptor> {
        match &mut self.rows[kind] {
            Some(Row::Own(descriptor)) => Some(descriptor),
            _ => None,
        }
    }

    /// Kinds that have rows, and their rows, to be changed.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = (S, &mut Row)> {
        self.rows.iter_mut().filter_map(|(kind, row)| Some((kind, row.as_mut()?)))
    }

    /// Kinds that have rows of their own, and their descriptors, to be changed.
    pub fn owns_mut(&mut self) -> impl Iterator<Item = (S, &mut Descriptor)> {
        self.rows.iter_mut().filter_map(|(kind, row)| match row {
            Some(Row::Own(descriptor)) => Some((kind, descriptor)),
            _ => None,
        })
    }

    /// The same without text poking: what was written through another mapping is read-write, in the smallest pages, until it
    /// is published. Without effect on a machine that has no leaves, which no table accepts.
    pub fn flip(&mut self) {
        let Some(page) = self.machine.leaves[0] else { return };
        let is_poked = |row: &Option<Row>| matches!(row, Some(Row::Own(own)) if own.fill == Fill::Poke);
        let flips = PerKind::<S, bool>::from_fn(false, |kind| match &self.rows[kind] {
            Some(Row::Shares { with, .. }) => S::from_number(*with).is_some_and(|home| is_poked(&self.rows[home])),
            own => is_poked(own),
        });
        for (_, row) in self.rows.iter_mut().filter(|(kind, _)| flips[*kind]) {
            match row {
                Some(Row::Own(own)) => *own = own.flipped(page),
                Some(Row::Shares { alignment, quantum, .. }) => {
                    (*alignment, *quantum) = ((*alignment).max(page), (*quantum).max(page));
                }
                None => {}
            }
        }
    }

    /// The table of this plan.
    ///
    /// # Errors
    ///
    /// The first rule that a row breaks.
    pub fn checked(self) -> Result<Table<S>, TableError> {
        rules::check(&self.machine, self.rows.0.as_ref(), S::FACTS, self.is_legacy)?;
        Ok(Table::of(self))
    }
}

/// For constants, as [`Plan::new`].
impl<S, const N: usize> Table<S>
where
    S: KindSet<Array<Option<Row>> = [Option<Row>; N]>,
{
    /// The descriptor of a kind that has a row of its own, for struct update in constants:
    /// `Descriptor { quantum: PAGE, ..TABLE.own(vm::Stub) }`.
    ///
    /// # Panics
    ///
    /// If the kind shares the row of another; in a constant that is a compile error.
    #[must_use]
    #[track_caller]
    pub const fn own<K: KnownKind<Set = S>>(&self, kind: K) -> Descriptor {
        let _ = kind;
        match &self.plan_ref().rows.0[K::NUMBER as usize] {
            Some(Row::Own(descriptor)) => *descriptor,
            _ => panic!("a kind that shares the blocks of another has no descriptor of its own"),
        }
    }
}

#[cfg(test)]
#[expect(unreachable_pub, reason = "sets of kinds are declared for other crates")]
mod tests {
    use core::hint::black_box;

    use super::*;
    use crate::{Class, InstructionSet, PageSize, Protection, Reach};

    crate::kinds! {
        /// What a JIT keeps.
        pub enum Jit, types in jit {
            /// Compiled at once.
            Baseline: Code = "baseline",
            /// Compiled well.
            Optimised: Code = "optimised",
            /// What code loads.
            Literals: Constants = "literals",
        }
    }

    /// Branches reach what lies within 2 GiB.
    const REACH: Reach = Reach::Relative { base: 5, min: i32::MIN as i64, max: i32::MAX as i64 };
    static INSTRUCTIONS: InstructionSet = InstructionSet { reach: REACH, ..InstructionSet::unknown(64) };
    const PAGES: [PageSize; 2] = [PageSize::mib(2), PageSize::kib(4)];
    const MACHINE: Machine = Machine::new("mine", &INSTRUCTIONS, &[PAGES[1], PAGES[0]]);
    const LINE: PowerOfTwo = PowerOfTwo::from_log2(6);

    const fn extent(start: u64, end: u128) -> Extent {
        Extent::between(start, end).expect("an extent")
    }

    const fn plan(machine: Machine) -> Plan<Jit> {
        let window = extent(0x4000_0000, 0x6000_0000);
        Plan::new(machine)
            .own(jit::Baseline, Descriptor::code(window, &PAGES))
            .shares(jit::Optimised, jit::Baseline, LINE, LINE)
            .own(jit::Literals, Descriptor::constants(window, &PAGES))
            .with_anchor(extent(0x3000_0000, 0x3000_1000))
            .with_windows(jit::Literals, [Some(extent(0x5000_0000, 0x6000_0000)), None, None])
            .with_windows(jit::Optimised, [None; 3])
    }

    #[test]
    fn a_plan_at_run_time_is_what_the_compiler_makes_of_it() {
        const PLAN: Plan<Jit> = plan(MACHINE);
        static TABLE: Table<Jit> = PLAN.table();
        let now = plan(black_box(MACHINE));
        assert_eq!(now, PLAN);
        assert_eq!((now.table(), now.checked()), (TABLE, Ok(TABLE)));
        assert_eq!(now.row(Jit::Optimised), PLAN.row(Jit::Optimised));
        let literals = TABLE.descriptor(Jit::Literals).windows().next();
        assert_eq!((literals, TABLE.home(Jit::Optimised)), (Some(extent(0x5000_0000, 0x6000_0000)), Jit::Baseline));
        assert!(!now.is_legacy() && now.legacy().is_legacy());
    }

    #[test]
    fn kinds_are_told_apart_by_what_they_are_for() {
        for (index, kind) in Jit::ALL.iter().enumerate() {
            assert_eq!((kind.index(), Jit::from_name(kind.name())), (index, Some(*kind)));
            let is_code = *kind != Jit::Literals;
            assert_eq!((kind.is_code(), kind.class() == Class::Code), (is_code, is_code));
            assert!(!kind.is_writable() && !kind.is_sealable());
        }
        assert_eq!(Jit::from_name("interpreted"), None);
    }

    #[test]
    fn a_plan_whose_code_flips_has_it_in_pages_of_its_own() {
        let mut plan = plan(black_box(MACHINE));
        plan.flip();
        let code = *plan.own_mut(Jit::Baseline).expect("a row");
        assert_eq!((code.fill, code.quantum), (Fill::Flip, PAGES[1]));
        assert_eq!(plan.row(Jit::Optimised), Some(&Row::shares(Jit::Baseline.number(), PAGES[1], PAGES[1])));
        assert!(plan.own_mut(Jit::Optimised).is_none(), "it has no row of its own");
        assert_eq!(plan.owns_mut().count(), 2);
        plan.rows_mut().for_each(|(kind, row)| assert_eq!(matches!(row, Row::Own(_)), kind != Jit::Optimised));
        // Without leaves there are no pages to be in.
        let mut empty = Plan::<Jit>::new(Machine { leaves: [None; 8], ..MACHINE });
        empty.set(Jit::Baseline, Row::Own(Descriptor { protection: Protection::ReadOnly, ..code }));
        let before = empty;
        empty.flip();
        assert_eq!(empty, before);
    }
}
