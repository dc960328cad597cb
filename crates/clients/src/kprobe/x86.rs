//! Copies of x86-64 instructions that do at another address what they do at theirs.
//!
//! An operand relative to the instruction keeps its target: only the displacement changes, so the copy has the length of
//! the original and its prefixes. A jump behind it goes on where the original would. Instructions that name the next
//! one, by calling, returning or branching, are refused: they would need to be emulated.

use alloc::vec::Vec;

use iced_x86::{Decoder, DecoderOptions, FlowControl};

use crate::Error;
use crate::growth::append;

/// Longest instruction in bytes (Intel SDM 2A, 2.3.11).
pub const MAX_INSTRUCTION_BYTES: usize = 15;

/// Bytes of `jmp rel32`.
const JUMP_BYTES: usize = 5;
const JUMP: u8 = 0xe9;

/// What is executed in a slot: a copy of one instruction, and a jump back behind the original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The bytes for the slot.
    pub code: Vec<u8>,
    /// Bytes of the instruction alone.
    pub instruction_bytes: usize,
}

/// Copies the first instruction of `code`, which stands at `source`, for execution at `slot`.
///
/// # Errors
///
/// [`Error::Undecodable`], [`Error::NotCopyable`], [`Error::BranchOutOfReach`] if the operand or the jump back cannot
/// reach; [`Error::Engine`] if there is no heap.
///
/// # Heap
///
/// The first call makes the tables of the decoder, which stay for ever (`cargo xtask refuse` prints how large they are), and
/// the process ends if there is no heap for them. Systems that cannot afford that make a copy of any instruction at their
/// start, or leave the feature `x86-decoder` out and copy instructions themselves.
pub fn copy(source: u64, code: &[u8], slot: u64) -> Result<Copied, Error> {
    let window = &code[..code.len().min(MAX_INSTRUCTION_BYTES)];
    let mut decoder = Decoder::with_ip(64, window, source, DecoderOptions::NONE);
    let instruction = decoder.decode();
    if instruction.is_invalid() {
        return Err(Error::Undecodable { address: source });
    }
    if instruction.flow_control() != FlowControl::Next {
        return Err(Error::NotCopyable { address: source });
    }
    let len = instruction.len();
    let mut copy = Vec::new();
    append(&mut copy, &window[..len])?;
    if instruction.is_ip_rel_memory_operand() {
        let offsets = decoder.get_constant_offsets(&instruction);
        let (at, size) = (offsets.displacement_offset(), offsets.displacement_size());
        let target = instruction.ip_rel_memory_address();
        let distance = distance(slot.wrapping_add(len as u64), target);
        let distance = distance.ok_or(Error::BranchOutOfReach { site: slot, target })?;
        let field = copy.get_mut(at..at + size).filter(|field| field.len() == 4);
        field.ok_or(Error::NotCopyable { address: source })?.copy_from_slice(&distance.to_le_bytes());
    }
    let back = source.wrapping_add(len as u64);
    let behind = slot.wrapping_add((len + JUMP_BYTES) as u64);
    let jump = distance(behind, back).ok_or(Error::BranchOutOfReach { site: slot, target: back })?;
    append(&mut copy, &[JUMP])?;
    append(&mut copy, &jump.to_le_bytes())?;
    Ok(Copied { code: copy, instruction_bytes: len })
}

/// The displacement from one address to another, if 32 bits hold it.
fn distance(from: u64, to: u64) -> Option<i32> {
    i32::try_from(to.wrapping_sub(from).cast_signed()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: u64 = 0xffff_ffff_8100_0000;
    const SLOT: u64 = 0xffff_ffff_c000_0040;

    #[test]
    fn relative_operands_keep_their_target() {
        // mov rax, [rip + 0x10]; cmp dword [rip + 0x20], 5: a constant stands behind the displacement.
        for (code, at, len) in
            [(&[0x48, 0x8b, 0x05, 0x10, 0, 0, 0][..], 3, 7_u64), (&[0x83, 0x3d, 0x20, 0, 0, 0, 5], 2, 7)]
        {
            let copied = copy(SOURCE, code, SLOT).expect("a copy");
            let word = |bytes: &[u8]| i32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
            let target = |base: u64, bytes| (base + len).wrapping_add_signed(i64::from(word(bytes)));
            assert_eq!(target(SLOT, &copied.code), target(SOURCE, code));
            assert_eq!((copied.instruction_bytes, copied.code.len()), (7, 12));
            assert_eq!(copied.code[..at], code[..at], "prefixes and opcode stay");
        }
    }

    #[test]
    fn other_instructions_are_copied_as_they_are_and_jump_back() {
        let copied = copy(SOURCE, &[0x55, 0x90, 0x90], SLOT).expect("push rbp");
        assert_eq!(copied.code[..2], [0x55, JUMP]);
        let back = i32::from_le_bytes(copied.code[2..6].try_into().expect("4 bytes"));
        assert_eq!((SLOT + 6).wrapping_add_signed(back.into()), SOURCE + 1);
    }

    #[test]
    fn what_names_the_next_instruction_is_refused() {
        let refused: [&[u8]; 6] = [&[0xe8, 0, 0, 0, 0], &[0xc3], &[0x74, 5], &[0xff, 0xe0], &[0xcc], &[0xeb, 0xfe]];
        for code in refused {
            assert_eq!(copy(SOURCE, code, SLOT), Err(Error::NotCopyable { address: SOURCE }), "{code:x?}");
        }
        for code in [&[][..], &[0x48, 0x8b], &[0x06]] {
            assert_eq!(copy(SOURCE, code, SLOT), Err(Error::Undecodable { address: SOURCE }), "{code:x?}");
        }
    }

    #[test]
    fn operands_and_jumps_out_of_reach_are_refused() {
        let far = 0x7fff_0000_0000;
        for code in [&[0x48, 0x8b, 0x05, 0x10, 0, 0, 0][..], &[0x55]] {
            let refused = copy(SOURCE, code, far).expect_err("128 TiB away");
            assert!(matches!(refused, Error::BranchOutOfReach { site, .. } if site == far), "{refused}");
        }
    }
}
