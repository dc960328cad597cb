//! The trampoline of each machine: rows of bytes, with room for two addresses at the end.

use alloc::vec::Vec;

use execmem_types::{ByteOrder, Isa, Sequence};

use crate::Error;
use crate::encoding::{ADDRESS_32, ADDRESS_64, Rows, row};
use crate::growth::append;

/// A trampoline of a machine: code that loads the two addresses behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trampoline {
    /// Prologue, call, epilogue. The address of the handler stands behind it, then the pointer to its data.
    pub template: &'static [u8],
    /// How an address stands in memory.
    pub address: Sequence,
}

const ROWS: &Rows<Trampoline> =
    &[(Isa::X86, X86), (Isa::Arm64, ARM64), (Isa::Riscv64, RISCV), (Isa::Powerpc32, POWERPC)];

/// Registers that a function may find arguments in, and those a call does not preserve, are saved; vector registers are
/// not: a tracer must not use them, as nowhere in a kernel. The stack is aligned to 16 bytes when a function was entered
/// by a call and the site is its first instruction.
const X86: Trampoline = Trampoline {
    template: &[
        0x9c, // pushfq
        0x50, 0x51, 0x52, 0x56, 0x57, // push rax, rcx, rdx, rsi, rdi
        0x41, 0x50, 0x41, 0x51, 0x41, 0x52, 0x41, 0x53, // push r8, r9, r10, r11
        0x48, 0x8b, 0x7c, 0x24, 0x50, // mov rdi, [rsp + 80]: where the site returns to
        0x48, 0x8b, 0x74, 0x24, 0x58, // mov rsi, [rsp + 88]: where the function returns to
        0x48, 0x8b, 0x15, 0x21, 0, 0, 0, // mov rdx, [rip + 33]: the data pointer
        0xff, 0x15, 0x13, 0, 0, 0, // call [rip + 19]: the handler
        0x41, 0x5b, 0x41, 0x5a, 0x41, 0x59, 0x41, 0x58, // pop r11, r10, r9, r8
        0x5f, 0x5e, 0x5a, 0x59, 0x58, // pop rdi, rsi, rdx, rcx, rax
        0x9d, // popfq
        0xc3, // ret
        0xcc, 0xcc, 0xcc, 0xcc, // up to a multiple of 8
    ],
    address: ADDRESS_64,
};

/// The site is the second instruction of a function, behind `mov x9, x30` (`-fpatchable-function-entry=2`).
const ARM64: Trampoline = Trampoline {
    template: &[
        0xfd, 0x7b, 0xba, 0xa9, // stp x29, x30, [sp, #-96]!
        0xe0, 0x07, 0x01, 0xa9, // stp x0, x1, [sp, #16]
        0xe2, 0x0f, 0x02, 0xa9, // stp x2, x3, [sp, #32]
        0xe4, 0x17, 0x03, 0xa9, // stp x4, x5, [sp, #48]
        0xe6, 0x1f, 0x04, 0xa9, // stp x6, x7, [sp, #64]
        0xe8, 0x27, 0x05, 0xa9, // stp x8, x9, [sp, #80]
        0xfd, 0x03, 0x00, 0x91, // mov x29, sp
        0xe0, 0x03, 0x1e, 0xaa, // mov x0, x30: where the site returns to
        0xe1, 0x03, 0x09, 0xaa, // mov x1, x9: where the function returns to
        0xb0, 0x01, 0x00, 0x58, // ldr x16, #52: the handler
        0xc2, 0x01, 0x00, 0x58, // ldr x2, #56: the data pointer
        0x00, 0x02, 0x3f, 0xd6, // blr x16
        0xe8, 0x27, 0x45, 0xa9, // ldp x8, x9, [sp, #80]
        0xe6, 0x1f, 0x44, 0xa9, // ldp x6, x7, [sp, #64]
        0xe4, 0x17, 0x43, 0xa9, // ldp x4, x5, [sp, #48]
        0xe2, 0x0f, 0x42, 0xa9, // ldp x2, x3, [sp, #32]
        0xe0, 0x07, 0x41, 0xa9, // ldp x0, x1, [sp, #16]
        0xfd, 0x7b, 0xc6, 0xa8, // ldp x29, x30, [sp], #96
        0xea, 0x03, 0x1e, 0xaa, // mov x10, x30
        0xfe, 0x03, 0x09, 0xaa, // mov x30, x9
        0x40, 0x01, 0x1f, 0xd6, // br x10
        0x1f, 0x20, 0x03, 0xd5, // nop, up to a multiple of 8
    ],
    address: ADDRESS_64,
};

/// The site is the first instruction of a function and links in `t0`, which no argument is in.
const RISCV: Trampoline = Trampoline {
    template: &bytes_of::<30, 120>(
        &[
            0xfa01_0113, // addi sp, sp, -96
            0x0051_3023, // sd t0, 0(sp)
            0x0011_3423, // sd ra, 8(sp)
            0x00a1_3823, // sd a0, 16(sp)
            0x00b1_3c23, // sd a1, 24(sp)
            0x02c1_3023, // sd a2, 32(sp)
            0x02d1_3423, // sd a3, 40(sp)
            0x02e1_3823, // sd a4, 48(sp)
            0x02f1_3c23, // sd a5, 56(sp)
            0x0501_3023, // sd a6, 64(sp)
            0x0511_3423, // sd a7, 72(sp)
            0x0002_8513, // mv a0, t0: where the site returns to
            0x0000_8593, // mv a1, ra: where the function returns to
            0x0000_0317, // auipc t1, 0
            0x04c3_3603, // ld a2, 76(t1): the data pointer
            0x0443_3303, // ld t1, 68(t1): the handler
            0x0003_00e7, // jalr t1
            0x0001_3283, // ld t0, 0(sp)
            0x0081_3083, // ld ra, 8(sp)
            0x0101_3503, // ld a0, 16(sp)
            0x0181_3583, // ld a1, 24(sp)
            0x0201_3603, // ld a2, 32(sp)
            0x0281_3683, // ld a3, 40(sp)
            0x0301_3703, // ld a4, 48(sp)
            0x0381_3783, // ld a5, 56(sp)
            0x0401_3803, // ld a6, 64(sp)
            0x0481_3883, // ld a7, 72(sp)
            0x0601_0113, // addi sp, sp, 96
            0x0002_8067, // jr t0
            0x0000_0013, // nop, up to a multiple of 8
        ],
        ByteOrder::Little,
    ),
    address: ADDRESS_64,
};

/// The site is the second instruction of a function, behind `mflr r0`.
const POWERPC: Trampoline = Trampoline {
    template: &bytes_of::<34, 136>(
        &[
            0x9421_ffc0, // stwu r1, -64(r1)
            0x9001_0030, // stw r0, 48(r1)
            0x7d68_02a6, // mflr r11
            0x9161_0034, // stw r11, 52(r1)
            0x9061_0010, // stw r3, 16(r1)
            0x9081_0014, // stw r4, 20(r1)
            0x90a1_0018, // stw r5, 24(r1)
            0x90c1_001c, // stw r6, 28(r1)
            0x90e1_0020, // stw r7, 32(r1)
            0x9101_0024, // stw r8, 36(r1)
            0x9121_0028, // stw r9, 40(r1)
            0x9141_002c, // stw r10, 44(r1)
            0x7d63_5b78, // mr r3, r11: where the site returns to
            0x7c04_0378, // mr r4, r0: where the function returns to
            0x429f_0005, // bcl 20, 31, .+4: where this is
            0x7d88_02a6, // mflr r12
            0x80ac_0050, // lwz r5, 80(r12): the data pointer
            0x818c_004c, // lwz r12, 76(r12): the handler
            0x7d89_03a6, // mtctr r12
            0x4e80_0421, // bctrl
            0x8061_0010, // lwz r3, 16(r1)
            0x8081_0014, // lwz r4, 20(r1)
            0x80a1_0018, // lwz r5, 24(r1)
            0x80c1_001c, // lwz r6, 28(r1)
            0x80e1_0020, // lwz r7, 32(r1)
            0x8101_0024, // lwz r8, 36(r1)
            0x8121_0028, // lwz r9, 40(r1)
            0x8141_002c, // lwz r10, 44(r1)
            0x8161_0034, // lwz r11, 52(r1)
            0x8001_0030, // lwz r0, 48(r1)
            0x3821_0040, // addi r1, r1, 64
            0x7c08_03a6, // mtlr r0
            0x7d69_03a6, // mtctr r11
            0x4e80_0420, // bctr
        ],
        ByteOrder::Big,
    ),
    address: ADDRESS_32,
};

/// Instructions of one word each.
const fn bytes_of<const WORDS: usize, const BYTES: usize>(words: &[u32; WORDS], order: ByteOrder) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    let mut index = 0;
    while index < BYTES {
        bytes[index] = order.bytes_of(words[index / 4])[index % 4];
        index += 1;
    }
    bytes
}

impl Trampoline {
    /// The trampoline of an instruction set, `None` if there is no row for it.
    #[must_use]
    pub fn of(isa: Isa) -> Option<Self> {
        row(ROWS, isa)
    }

    /// Its bytes, addresses included.
    pub(super) const fn len(&self) -> u64 {
        self.template.len() as u64 + 2 * self.address.len()
    }

    /// The code for a handler and a pointer to its data.
    ///
    /// # Errors
    ///
    /// [`Error::BranchOutOfReach`] if one of them is no address of the machine.
    pub(super) fn code(&self, handler: u64, data: u64) -> Result<Vec<u8>, Error> {
        let mut code = Vec::new();
        append(&mut code, self.template)?;
        for address in [handler, data] {
            let site = code.len() as u64;
            let encoded = self.address.encode(site, address);
            append(&mut code, encoded.ok_or(Error::BranchOutOfReach { site, target: address })?.bytes())?;
        }
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_behind_are_aligned_and_where_the_code_loads_them_from() {
        for (_, row) in ROWS {
            assert!(row.template.len().is_multiple_of(8));
        }
        let displacement = |at: usize| usize::from(X86.template[at]) + at + 4;
        assert_eq!((displacement(27), displacement(33)), (X86.template.len() + 8, X86.template.len()));
        let literal = |at: usize| {
            let word = u32::from_le_bytes(ARM64.template[at..at + 4].try_into().expect("a word"));
            at + (word >> 5 & 0x7ffff) as usize * 4
        };
        assert_eq!((literal(36), literal(40)), (ARM64.template.len(), ARM64.template.len() + 8));
    }
}
