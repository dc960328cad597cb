//! The trampoline of each machine: rows of bytes, with room for two addresses at the end.

use alloc::vec::Vec;

/// A trampoline of a machine: code that loads the two addresses behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trampoline {
    /// Prologue, call, epilogue. The address of the handler stands behind it, then the pointer to its data.
    pub template: &'static [u8],
}

const ROWS: [(&str, Trampoline); 4] = [("x86", X86), ("x86_64", X86), ("arm64", ARM64), ("aarch64", ARM64)];

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
};

impl Trampoline {
    /// The trampoline of a machine of that name, `None` if there is no row for it.
    #[must_use]
    pub fn of_machine(machine: &str) -> Option<Self> {
        ROWS.iter().find(|(name, _)| *name == machine).map(|&(_, row)| row)
    }

    /// Its bytes, addresses included.
    pub(super) const fn len(&self) -> u64 {
        self.template.len() as u64 + 16
    }

    /// The code for a handler and a pointer to its data.
    pub(super) fn code(&self, handler: u64, data: u64) -> Vec<u8> {
        [self.template, &handler.to_le_bytes(), &data.to_le_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_behind_are_aligned_and_where_the_code_loads_them_from() {
        for (name, row) in ROWS {
            assert!(row.template.len().is_multiple_of(8), "{name}");
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
