//! What a slot looks like on each machine: rows.

use crate::instruction_set::{InstructionSet, Rows};

/// The slots of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotFormat {
    /// Bytes of a slot.
    pub bytes: u64,
}

/// x86: `MAX_INSN_SIZE`, 16 (`arch/x86/include/asm/kprobes.h`). The others have instructions of one word and put a
/// breakpoint or a jump behind it: two words (`MAX_INSN_SIZE` of 2 in their `asm/kprobes.h`).
const ROWS: Rows<SlotFormat> =
    [SlotFormat { bytes: 16 }, SlotFormat { bytes: 8 }, SlotFormat { bytes: 8 }, SlotFormat { bytes: 8 }];

impl SlotFormat {
    /// The slots of a machine of that name, `None` if there is no row for it.
    #[must_use]
    pub fn of_machine(machine: &str) -> Option<Self> {
        InstructionSet::row(&ROWS, machine).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_row_has_no_slots() {
        let bytes = |machine| SlotFormat::of_machine(machine).map(|format| format.bytes);
        assert_eq!([bytes("x86"), bytes("arm64"), bytes("riscv64")], [Some(16), Some(8), Some(8)]);
        assert_eq!(bytes("no such machine"), None);
    }
}
