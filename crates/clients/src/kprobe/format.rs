//! What a slot looks like on each machine: rows.

use execmem_types::Isa;

use crate::encoding::{Rows, row};

/// The slots of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotFormat {
    /// Bytes of a slot.
    pub bytes: u64,
}

/// x86: `MAX_INSN_SIZE`, 16 (`arch/x86/include/asm/kprobes.h`). The others have instructions of one word and put a
/// breakpoint or a jump behind it: two words (`MAX_INSN_SIZE` of 2 in their `asm/kprobes.h`).
const ROWS: &Rows<SlotFormat> = &[
    (Isa::X86, SlotFormat { bytes: 16 }),
    (Isa::Arm64, SlotFormat { bytes: 8 }),
    (Isa::Riscv64, SlotFormat { bytes: 8 }),
    (Isa::Powerpc32, SlotFormat { bytes: 8 }),
];

impl SlotFormat {
    /// The slots of an instruction set, `None` if there is no row for it.
    #[must_use]
    pub fn of(isa: Isa) -> Option<Self> {
        row(ROWS, isa)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_row_has_no_slots() {
        let bytes = |isa| SlotFormat::of(isa).map(|format| format.bytes);
        assert_eq!([bytes(Isa::X86), bytes(Isa::Arm64), bytes(Isa::Riscv64)], [Some(16), Some(8), Some(8)]);
        assert_eq!(bytes(Isa::Other), None);
    }
}
