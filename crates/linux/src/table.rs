//! The table for a window: which kinds are where in it.

use execmem_types::{
    Class, Descriptor, Extent, Kind, KindSet, MAX_WINDOWS, Machine, PageSize, Plan, PowerOfTwo, Row, Table, TableError,
};

use crate::host::LARGE;

/// A window with fewer units has no large pages for anything but code, and a window of one for nothing: the kinds would
/// not find room beside each other.
const FEW_UNITS: u64 = 16;

/// What a table depends on besides the machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) window: Extent,
    /// All of it is within reach of the anchor.
    pub(crate) is_near: bool,
    /// Content arrives while memory is writable, and publishing makes it executable.
    pub(crate) flips: bool,
    /// Unmapped memory is at the ends of the window and between kinds.
    pub(crate) is_guarded: bool,
    /// Bytes before each entry point.
    pub(crate) lead: u16,
    /// In which unit, counted from its end of the window, code and other kinds begin. In the first half of the units.
    pub(crate) begins: [u64; 2],
}

/// The windows of a kind.
type Windows = [Option<Extent>; MAX_WINDOWS];

/// A table for any set of kinds: the first kind of each class has a row, in which the others of that class share. Code from
/// the bottom, data from the top, every kind packed in large pages by rights. Where rights flip, code and constants have
/// pages of their own: flipping one small page splits a large one for good.
pub(crate) fn table<S: KindSet>(machine: Machine, layout: &Layout) -> Result<Table<S>, TableError> {
    let first_like = |kind: S| S::ALL.iter().copied().find(|other| other.class() == kind.class()).unwrap_or(kind);
    let plan = Plan::from_fn(machine, |kind: S| {
        let own = row(&machine, layout, kind.class());
        let home = first_like(kind);
        Some(if home == kind { Row::Own(own) } else { Row::sharing(home, own.alignment, own.quantum) })
    });
    plan.checked()
}

/// The same for the kinds of Linux. BPF programs, of which there are thousands, have blocks and lines of caches of their own:
/// with quanta of 16 bytes, holes that fit nothing are left between them (T1 of the bench maps 14 blocks instead of 13).
pub(crate) fn table_of_linux(machine: Machine, layout: &Layout) -> Result<Table, TableError> {
    let line = PowerOfTwo::from_log2(6);
    let code = row(&machine, layout, Class::Code);
    let programs = code.with_units(line.max(code.alignment), line.max(code.quantum));
    table::<Kind>(machine, layout)?.adjusted(|plan| plan.set(Kind::Bpf, Row::Own(programs)))
}

/// The row of the kinds of a class.
fn row(machine: &Machine, layout: &Layout, class: Class) -> Descriptor {
    let page = machine.page();
    let both: &[PageSize] = if page < LARGE { &[LARGE, page] } else { &[page] };
    let units = layout.window.len() / LARGE.bytes();
    let large: &[PageSize] = if units < FEW_UNITS { &[page] } else { both };
    let packed: &[PageSize] = if units == 1 { &[page] } else { both };
    let flipped = |or: Descriptor| if layout.flips { or.flipped(page) } else { or };
    let [code, data, constants, sealed] = [0, 1, 2, 3].map(|class| layout.windows(class));
    let first = layout.window;
    match class {
        Class::Code => {
            let row = Descriptor { is_anchored: layout.is_near, lead: layout.lead, ..Descriptor::code(first, packed) };
            flipped(row.with_windows(code))
        }
        Class::Data => Descriptor::data(first, large).with_windows(data),
        Class::Constants => flipped(Descriptor::constants(first, large).with_windows(constants)),
        Class::SealedAfterInit => Descriptor::sealed_after_init(first, large).with_windows(sealed),
    }
}

impl Layout {
    /// The windows of code (0), data (1), constants (2) and sealed data (3), the first with the random beginning.
    fn windows(&self, class: usize) -> Windows {
        let whole = self.stretch(class).unwrap_or(self.window);
        let units = whole.len() / LARGE.bytes();
        let begin = self.begins[usize::from(class > 0)] % (units / 2).max(1) * LARGE.bytes();
        let cut = if class == 0 { begin } else { whole.len() - begin };
        let [low, high] = [whole.part(0, cut), whole.part(cut, whole.len() - cut)];
        match class {
            0 => [high, low, None],
            _ => [low, high, None],
        }
    }

    /// Where the first code goes, up to the end of its window.
    pub(crate) fn first_code(&self) -> Extent {
        self.windows(0).into_iter().flatten().next().unwrap_or(self.window)
    }

    /// The units at the ends of a guarded window, in which nothing is ever mapped.
    pub(crate) fn ends(&self) -> [Option<Extent>; 2] {
        let last = self.window.len().checked_sub(LARGE.bytes());
        [self.window.part(0, LARGE.bytes()), last.and_then(|last| self.window.part(last, LARGE.bytes()))]
    }

    /// The part of the window for a class. Guarded, each has a part of its own, with a unit before and behind it that
    /// nothing is ever mapped in: code half of the window, the others equal parts of the rest. In a window with few units
    /// all share what is between its ends.
    fn stretch(&self, class: usize) -> Option<Extent> {
        const PARTS: [(u64, u64); 4] = [(0, 3), (3, 1), (4, 1), (5, 1)];
        if !self.is_guarded {
            return None;
        }
        let units = self.window.len() / LARGE.bytes();
        let (first, count) = if units < FEW_UNITS { (0, 6) } else { PARTS[class] };
        let at = |part: u64| 1 + (units - 1) * part / 6;
        let (start, end) = (at(first), at(first + count) - 1);
        self.window.part(start * LARGE.bytes(), end.checked_sub(start)? * LARGE.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::machine;

    fn layout(units: u64, is_guarded: bool, flips: bool, begins: [u64; 2]) -> Layout {
        let window = Extent::new(0x4000_0000, units * LARGE.bytes()).expect("window");
        Layout { window, is_near: false, flips, is_guarded, lead: 0, begins }
    }

    #[test]
    fn the_table_of_this_machine_keeps_every_rule() {
        for units in [1, 2, 7, 8, 16, 512] {
            for begins in [[0, 0], [1, 0], [3, 255], [u64::MAX, 7]] {
                for flips in [false, true] {
                    let table = |is_guarded| table_of_linux(machine(), &layout(units, is_guarded, flips, begins));
                    let plain = table(false).expect("every rule");
                    assert_eq!(plain.home(Kind::Ftrace), Kind::Text);
                    let sum: u64 = plain.descriptor(Kind::Text).windows().map(Extent::len).sum();
                    assert_eq!(sum, units * LARGE.bytes(), "all of the window");
                    assert!(units < 3 || table(true).is_ok(), "{units} guarded");
                }
            }
        }
        let table = |flips| table_of_linux(machine(), &layout(16, false, flips, [0, 0])).expect("every rule");
        assert_eq!((table(false).quantum(Kind::Text).bytes(), table(false).quantum(Kind::Bpf).bytes()), (16, 64));
        assert_eq!(table(true).quantum(Kind::Kprobe), machine().page());
        assert_eq!(table(true).quantum(Kind::Data).bytes(), 16);
    }

    #[test]
    fn guarded_kinds_have_an_unused_unit_between_them() {
        for units in [16, 17, 23, 512] {
            let table = table_of_linux(machine(), &layout(units, true, false, [1, 1])).expect("every rule");
            let of = |kind| {
                let windows = || table.descriptor(kind).windows();
                let start = windows().map(Extent::start).min().expect("a window");
                (start, windows().map(Extent::last).max().expect("a window"))
            };
            let mut stretches = [of(Kind::Text), of(Kind::Data), of(Kind::RoData), of(Kind::RoAfterInit)];
            stretches.sort_unstable();
            let window = layout(units, true, false, [0, 0]).window;
            assert!(stretches[0].0 >= window.start() + LARGE.bytes());
            assert!(stretches[3].1 <= window.last() - LARGE.bytes());
            assert!(stretches.windows(2).all(|pair| pair[1].0 - pair[0].1 > LARGE.bytes()), "{stretches:x?}");
        }
    }
}
