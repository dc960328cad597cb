//! The machine this process runs on, and the table for it.

use execmem_types::{
    Descriptor, Extent, Fill, Growth, Kind, Machine, PageSize, Placement, PowerOfTwo, Protection, Reach, Row, Seal,
    Table, TableError, Trap, Unused,
};

use crate::Options;

/// Size of the pages that text should be mapped with.
pub(crate) const LARGE: PageSize = PageSize::mib(2);

/// Trap instruction and reach of a direct call of the machine this is compiled for. The arch crates have the same
/// numbers with their sources; this crate may not depend on them.
const fn instructions() -> (Trap, Reach) {
    if cfg!(target_arch = "x86_64") {
        (Trap::byte(0xcc), Reach::Relative { base: 5, min: i32::MIN as i64, max: i32::MAX as i64 })
    } else if cfg!(target_arch = "aarch64") {
        (Trap::word([0x00, 0x20, 0x20, 0xd4]), Reach::Relative { base: 0, min: -(128 << 20), max: (128 << 20) - 4 })
    } else if cfg!(target_arch = "riscv64") {
        (
            Trap::half([0x02, 0x90]),
            Reach::Relative { base: 0, min: -(1 << 31) - (1 << 11), max: (1 << 31) - (1 << 11) - 1 },
        )
    } else if cfg!(target_arch = "powerpc") {
        (Trap::word([0x7f, 0xe0, 0x00, 0x08]), Reach::Relative { base: 0, min: -(32 << 20), max: (32 << 20) - 4 })
    } else {
        (Trap::ZERO, Reach::Relative { base: 0, min: 0, max: 0 })
    }
}

/// The machine this process runs on.
pub(crate) fn machine() -> Machine {
    let page = PageSize::from_bytes(rustix::param::page_size() as u64).unwrap_or(PageSize::kib(4));
    let (trap, reach) = instructions();
    Machine {
        name: std::env::consts::ARCH,
        address_bits: usize::BITS,
        leaves: [Some(page), Some(LARGE).filter(|large| *large > page), None, None, None, None, None, None],
        trap,
        reach,
        anchor: None,
        limits: execmem_types::Limits::NONE,
    }
}

/// The table for a window: code from the bottom, data from the top, every kind packed in large pages by rights. Where
/// rights flip, code and constants have pages of their own: flipping one small page splits a large one for good.
pub(crate) fn table(machine: Machine, window: Extent, flips: bool, options: &Options) -> Result<Table, TableError> {
    let inner = window.part(LARGE.bytes(), window.len().saturating_sub(2 * LARGE.bytes()));
    let window = inner.filter(|_| options.is_guarded).unwrap_or(window);
    let page = machine.page();
    let large = [machine.leaves[1].or(machine.leaves[0]), machine.leaves[1].and(machine.leaves[0]), None, None];
    let small = [Some(page), None, None, None];
    let quantum = if flips { page } else { PowerOfTwo::from_log2(4) };
    let fill = if flips { Fill::Flip } else { Fill::Poke };
    let text = Descriptor {
        windows: [Some(window), None, None],
        placement: Placement::BottomUp,
        granularities: if flips { small } else { large },
        growth: Growth::Whole,
        alignment: quantum,
        quantum,
        protection: Protection::ReadExecute,
        fill,
        unused: Unused::Trap,
        seal: Seal::Never,
        is_anchored: machine.anchor.is_some(),
        is_shadowed: false,
        is_exclusive: false,
        is_writable_and_executable: false,
        lead: options.lead_bytes,
    };
    let constants = Descriptor {
        placement: Placement::TopDown,
        protection: Protection::ReadOnly,
        unused: Unused::Zero,
        is_anchored: false,
        lead: 0,
        ..text
    };
    let data = Descriptor {
        granularities: large,
        alignment: PowerOfTwo::from_log2(4),
        quantum: PowerOfTwo::from_log2(4),
        protection: Protection::ReadWrite,
        fill: Fill::Direct,
        ..constants
    };
    let sealed = Descriptor { protection: Protection::ReadOnly, seal: Seal::Block, ..data };
    let shares = |with, like: &Descriptor| Row::Shares { with, alignment: like.alignment, quantum: like.quantum };
    let line = PowerOfTwo::from_log2(6).max(quantum);
    Table::checked(
        machine,
        [
            Row::Own(text),
            Row::Own(data),
            Row::Own(constants),
            Row::Own(sealed),
            shares(Kind::Text, &text),
            shares(Kind::Data, &data),
            shares(Kind::RoData, &constants),
            shares(Kind::Text, &text),
            shares(Kind::Text, &text),
            Row::Own(Descriptor { alignment: line, quantum: line, ..text }),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_this_machine_keeps_every_rule() {
        let window = Extent::new(0x4000_0000, 1 << 24).expect("window");
        let table = |flips| table(machine(), window, flips, &Options::default()).expect("every rule");
        assert_eq!(table(false).descriptor(Kind::Bpf).quantum.bytes(), 64);
        assert_eq!(table(false).home(Kind::Ftrace), Kind::Text);
        assert_eq!(table(true).quantum(Kind::Kprobe), machine().page());
        assert_eq!(table(true).quantum(Kind::Data).bytes(), 16);
    }
}
