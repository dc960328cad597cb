//! Copies of instructions of one word, for execution in a slot.
//!
//! The instruction stands in the slot as it is, and a breakpoint behind it, where the handler of probes takes over again.
//! Instructions whose effect depends on where they stand, and those that leave the ordinary flow, are refused: they would
//! need to be simulated. Source: `arch/{arm64,riscv,powerpc}/kernel/probes`, the decoders of kprobes.

use alloc::vec::Vec;

use execmem_types::{ByteOrder, InstructionSet, Isa};

use crate::Error;
use crate::encoding::{Rows, row};
use crate::growth::append;

/// Which instructions of a machine are not copied.
#[derive(Debug, Clone, Copy)]
struct Copyable {
    order: ByteOrder,
    /// Bits, and what they are in instructions that depend on their place or are not followed by the next one.
    refused: &'static [(u32, u32)],
}

/// Instructions of x86 are of any length: [`x86`](super::x86).
const ROWS: &Rows<Copyable> = &[(Isa::Arm64, ARM64), (Isa::Riscv64, RISCV), (Isa::Powerpc32, POWERPC)];

/// Arm ARM, C4.1.
const ARM64: Copyable = Copyable {
    order: ByteOrder::Little,
    refused: &[
        (0x1f00_0000, 0x1000_0000), // ADR, ADRP
        (0x1c00_0000, 0x1400_0000), // branches, exceptions, system instructions
        (0x3b00_0000, 0x1800_0000), // loads from literals
    ],
};

/// RISC-V unprivileged ISA, 34: opcode map.
const RISCV: Copyable = Copyable {
    order: ByteOrder::Little,
    refused: &[
        (0x0000_007f, 0x0000_0017), // AUIPC
        (0x0000_0073, 0x0000_0063), // BRANCH, JALR and JAL, and what is reserved between them
        (0x0000_007f, 0x0000_0073), // SYSTEM
        // Compressed instructions have half a word.
        (0x0000_0003, 0x0000_0000),
        (0x0000_0003, 0x0000_0001),
        (0x0000_0003, 0x0000_0002),
    ],
};

/// Power ISA, book I, 2.4 and 3.3.11; book III, 4.
const POWERPC: Copyable = Copyable {
    order: ByteOrder::Big,
    refused: &[
        (0xf000_0000, 0x4000_0000), // bc, sc, b, and branches to registers
        (0xfc00_0000, 0x0c00_0000), // twi
        (0xfc00_07fe, 0x7c00_0008), // tw
        (0xfc00_07fe, 0x7c00_0124), // mtmsr
        (0xfc00_07fe, 0x7c00_00a6), // mfmsr
    ],
};

/// What is executed in a slot instead of the first instruction of `code`, which stands at `source`.
///
/// # Errors
///
/// [`Error::UnknownMachine`] if there is no row for it, [`Error::Undecodable`] for less than a word,
/// [`Error::NotCopyable`]; [`Error::Engine`] if there is no heap.
pub fn copy(instructions: &InstructionSet, source: u64, code: &[u8]) -> Result<Vec<u8>, Error> {
    let row = row(ROWS, instructions.isa).ok_or(Error::UnknownMachine)?;
    let bytes = *code.first_chunk().ok_or(Error::Undecodable { address: source })?;
    let word = row.order.word_of(bytes);
    if row.refused.iter().any(|(mask, bits)| word & mask == *bits) {
        return Err(Error::NotCopyable { address: source });
    }
    let mut copy = Vec::new();
    append(&mut copy, &bytes)?;
    append(&mut copy, instructions.breakpoint)?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an assembler makes of instructions that are copied, and of ones that are not.
    const ARM64: [&[u32]; 2] = [
        &[0x8b01_0000, 0xf940_0020, 0xa9bf_7bfd, 0x9100_43ff, 0xd280_0540, 0x1ac1_2000], // add ldr stp add mov lsl
        &[
            0x1000_0000,
            0xb000_0000,
            0x1400_0001,
            0x9400_0001,
            0x5400_0041,
            0xb400_0040,
            0x3618_0040,
            0x5800_0040,
            0xd65f_03c0,
            0xd420_0080,
            0xd500_4081,
            0x98ff_ffe0,
        ],
    ];
    const RISCV: [&[u32]; 2] = [
        &[0x0075_0513, 0x0001_3283, 0x0051_3023, 0x0000_0537, 0x00b5_0533, 0x0075_051b], // addi ld sd lui add addiw
        &[0x0000_0317, 0x0040_006f, 0x0000_8067, 0x00b5_0463, 0x0000_0073, 0x0010_0073, 0x0000_8082, 0x0000_9002],
    ];
    const POWERPC: [&[u32]; 2] = [
        &[0x3863_0007, 0x7c08_02a6, 0x9421_ffc0, 0x8001_0030, 0x7c03_2214, 0x3d80_1234], // addi mflr stwu lwz add lis
        &[0x4800_0100, 0x4800_0101, 0x4082_0008, 0x4e80_0020, 0x4e80_0420, 0x4400_0002, 0x7fe0_0008, 0x0fe0_0000],
    ];

    /// Instructions of a set, with a breakpoint of our own.
    const fn set(isa: Isa, breakpoint: &'static [u8]) -> InstructionSet {
        InstructionSet { isa, breakpoint, ..InstructionSet::unknown(64) }
    }

    #[test]
    fn what_depends_on_its_place_is_refused_and_the_rest_copied() {
        for (isa, [copied, refused]) in [(Isa::Arm64, ARM64), (Isa::Riscv64, RISCV), (Isa::Powerpc32, POWERPC)] {
            let bytes = |word: u32| if isa == Isa::Powerpc32 { word.to_be_bytes() } else { word.to_le_bytes() };
            let set = set(isa, &[1, 2, 3, 4]);
            for word in copied {
                let slot = copy(&set, 0x1000, &bytes(*word));
                assert_eq!(slot, Ok([bytes(*word), [1, 2, 3, 4]].concat()), "{isa:?} {word:#x}");
            }
            for word in refused {
                let refused = Err(Error::NotCopyable { address: 0x1000 });
                assert_eq!(copy(&set, 0x1000, &bytes(*word)), refused, "{isa:?} {word:#x}");
            }
            assert_eq!(copy(&set, 8, &[0; 3]), Err(Error::Undecodable { address: 8 }));
        }
        assert_eq!(copy(&set(Isa::X86, &[]), 0, &[0x90; 4]), Err(Error::UnknownMachine));
    }
}
