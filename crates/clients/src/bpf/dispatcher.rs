//! The dispatcher: one call that knows its targets, so that no indirect branch is needed to reach the usual ones.
//!
//! One page of code has two halves, one in use and one that is not. Callers call an *entry* behind it, a jump to the half
//! in use. An update writes the comparisons for the new targets into the other half and redirects the jump while others
//! execute it; once a grace period is over, nobody is in the half before, and the next update may write it. So no
//! processor ever executes a half that is being written. Source: `kernel/bpf/dispatcher.c`.
//!
//! The target wanted comes in the third argument, as `bpf_func` does; one that is not known is called indirectly.

use alloc::vec::Vec;

use execmem::kinds::Bpf;
use execmem::sync::Locking;
use execmem::{Backend, Handle, Kind};
use execmem_types::{Operand, Sequence, Template};

use super::Program;
use crate::client::Client;
use crate::encoding::{ADDRESS_64, address, big, distance, little, slice, word};
use crate::instruction_set::{InstructionSet, Rows};
use crate::patch::{Breakpoints, Instruction, PatchRule, Replacement, replace};
use crate::{Credit, Error, Id};

/// Most targets of one dispatcher (`BPF_DISPATCHER_MAX`).
pub const MAX_TARGETS: usize = 48;

const PAGE_BYTES: u64 = 4096;
const HALF_BYTES: u64 = PAGE_BYTES / 2;
/// The entry stands behind the halves, so that every jump reaches them.
const ENTRY: u64 = PAGE_BYTES;

/// The code of a half on a machine: a row of its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dispatch {
    /// Compares the target wanted with a target, and branches there if they are equal: one after the other, each of
    /// which names the target.
    pub compare: &'static [Sequence],
    /// Goes to the target wanted.
    pub otherwise: &'static [u8],
}

const ROWS: Rows<Dispatch> = [X86, ARM64, RISCV, POWERPC];

const X86: Dispatch = Dispatch {
    compare: &[
        // mov rax, target; cmp rdx, rax
        little(&[
            Template { len: 10, bits: 0xb848, operand: Some(address(&[slice(0, 64, 16)])) },
            Template { len: 3, bits: 0xc2_3948, operand: None },
        ]),
        // je target
        little(&[Template { len: 6, bits: 0x840f, operand: Some(distance(6, &[slice(0, 32, 16)])) }]),
    ],
    otherwise: &[0xff, 0xe2], // jmp rdx
};

const ARM64: Dispatch = Dispatch {
    compare: &[
        little(&[
            word(0xd280_0009, Some(address(&[slice(0, 16, 5)]))), // movz x9, target
            word(0xf2a0_0009, Some(address(&[slice(16, 16, 5)]))), // movk x9, target, lsl 16
            word(0xf2c0_0009, Some(address(&[slice(32, 16, 5)]))), // movk x9, target, lsl 32
            word(0xf2e0_0009, Some(address(&[slice(48, 16, 5)]))), // movk x9, target, lsl 48
            word(0xeb09_005f, None),                              // cmp x2, x9
            word(0x5400_0041, None),                              // b.ne .+8
        ]),
        little(&[word(0x1400_0000, Some(distance(0, &[slice(2, 26, 0)])))]), // b target
    ],
    otherwise: &[0x40, 0x00, 0x1f, 0xd6], // br x2
};

const RISCV: Dispatch = Dispatch {
    compare: &[
        little(&[
            word(0x0000_0297, None),        // auipc t0, 0
            word(0x0182_b283, None),        // ld t0, 24(t0): the target, which stands behind
            word(0x0056_1c63, None),        // bne a2, t0, .+24
            word(0x0000_0317, Some(UPPER)), // auipc t1, target
            word(0x0003_0067, Some(LOWER)), // jalr zero, target(t1)
            word(0x0000_0013, None),        // nop
        ]),
        ADDRESS_64,
    ],
    otherwise: &[0x67, 0x00, 0x06, 0x00], // jr a2
};
/// The distance from the fourth instruction, rounded for a lower part with a sign.
const UPPER: Operand = Operand { bias: 0x800, ..distance(12, &[slice(12, 20, 12)]) };
const LOWER: Operand = distance(12, &[slice(0, 12, 20)]);

const POWERPC: Dispatch = Dispatch {
    compare: &[
        big(&[
            word(0x3d80_0000, Some(address(&[slice(16, 16, 0)]))), // lis r12, target@h
            word(0x618c_0000, Some(address(&[slice(0, 16, 0)]))),  // ori r12, r12, target@l
            word(0x7c05_6040, None),                               // cmplw r5, r12
            word(0x4082_0008, None),                               // bne .+8
        ]),
        big(&[word(0x4800_0000, Some(distance(0, &[slice(2, 24, 2)])))]), // b target
    ],
    otherwise: &[0x7c, 0xa9, 0x03, 0xa6, 0x4e, 0x80, 0x04, 0x20], // mtctr r5; bctr
};

impl Dispatch {
    /// The row of a machine of that name, `None` if there is none.
    #[must_use]
    pub fn of_machine(machine: &str) -> Option<Self> {
        InstructionSet::row(&ROWS, machine).copied()
    }

    /// The code of a half at an address.
    fn code(&self, half: u64, targets: &[u64]) -> Result<Vec<u8>, Error> {
        let mut code = Vec::new();
        for &target in targets {
            for part in self.compare {
                let site = half + code.len() as u64;
                let encoded = part.encode(site, target).ok_or(Error::BranchOutOfReach { site, target })?;
                code.extend_from_slice(encoded.bytes());
            }
        }
        code.extend(self.otherwise);
        match code.len() as u64 {
            len if len > HALF_BYTES => Err(Error::CodeTooLong { len, room: HALF_BYTES }),
            _ => Ok(code),
        }
    }
}

/// A dispatcher. Freed by [`Bpf::close`](super::Bpf::close).
#[derive(Debug)]
#[must_use = "a dispatcher that is dropped is never freed"]
pub struct Dispatcher<P> {
    code: Id<Program>,
    address: u64,
    rule: PatchRule,
    dispatch: Dispatch,
    breakpoints: P,
    /// 0 or 1.
    half_in_use: u64,
}

impl<P: Breakpoints> Dispatcher<P> {
    pub(super) fn new<B: Backend, L: Locking>(
        client: &Client<'_, B, L, Program>,
        breakpoints: P,
    ) -> Result<Self, Error> {
        let table = client.engine.table();
        let machine = table.machine();
        let dispatch = Dispatch::of_machine(machine.name).ok_or(Error::UnknownMachine)?;
        let rule = PatchRule::of_machine(machine.name).ok_or(Error::UnknownMachine)?;
        if !table.can_poke(Kind::Bpf) {
            return Err(Error::NotPatchable { kind: Kind::Bpf });
        }
        let len = ENTRY + rule.nop.len() as u64;
        let code = client.install::<Bpf>(len, Credit::Limited, |address| {
            let mut code = dispatch.code(address, &[])?;
            fill(client, address, &mut code, ENTRY);
            code.extend_from_slice(rule.jump(address + ENTRY, address)?.bytes());
            Ok(code)
        })?;
        let (address, image) = (code.address(), code.extent());
        let code = client.hold(Program { code, image });
        Ok(Dispatcher { code, address, rule, dispatch, breakpoints, half_in_use: 0 })
    }

    /// What callers call, with the target wanted in the third argument.
    #[must_use]
    pub const fn entry(&self) -> u64 {
        self.address + ENTRY
    }

    /// Where the half in use stands.
    #[must_use]
    pub const fn half(&self) -> u64 {
        self.half_address(self.half_in_use)
    }

    const fn half_address(&self, half: u64) -> u64 {
        self.address + half * HALF_BYTES
    }

    /// Writes the other half, redirects the entry to it, and waits for `grace`: until nobody is in the half before.
    ///
    /// # Errors
    ///
    /// [`Error::CodeTooLong`] for more targets than [`MAX_TARGETS`], [`Error::BranchOutOfReach`], [`Error::ForeignId`] if
    /// it is of another client, [`Error::Engine`]; the half before stays in use then.
    pub(super) fn update<B: Backend, L: Locking>(
        &mut self,
        client: &Client<'_, B, L, Program>,
        targets: &[u64],
        grace: impl FnOnce(),
    ) -> Result<(), Error> {
        if targets.len() > MAX_TARGETS {
            return Err(Error::TooManyTargets { wanted: targets.len(), limit: MAX_TARGETS });
        }
        let (before, after) = (self.half_in_use, 1 - self.half_in_use);
        let half = self.half_address(after);
        let mut code = self.dispatch.code(half, targets)?;
        fill(client, half, &mut code, HALF_BYTES);
        let jump = |half| self.rule.jump(self.entry(), self.half_address(half));
        let what = self.redirection(jump(before)?, jump(after)?, before);
        client.with(self.code, |held| {
            client.engine.patch(&held.code, after * HALF_BYTES, &code)?;
            replace(client.engine, &self.rule, &self.breakpoints, &held.code, &what)
        })?;
        self.half_in_use = after;
        grace();
        Ok(())
    }

    /// Whoever comes by while the jump is replaced goes to the half before, which is whole until the grace period ends.
    const fn redirection(&self, old: Instruction, new: Instruction, before: u64) -> Replacement {
        Replacement { offset: ENTRY, old, new, resume: self.half_address(before) }
    }
}

impl<P> Dispatcher<P> {
    pub(super) const fn id(&self) -> Id<Program> {
        self.code
    }
}

/// Fills up to `len` bytes with traps, behind code that stands at an address.
fn fill<B: Backend, L: Locking>(client: &Client<'_, B, L, Program>, address: u64, code: &mut Vec<u8>, len: u64) {
    let start = code.len();
    code.resize(usize::try_from(len).unwrap_or(start), 0);
    client.engine.table().machine().trap.fill(address + start as u64, &mut code[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_hold_as_many_targets_as_linux_allows() {
        for (name, row) in ["x86", "arm64", "riscv", "powerpc"].into_iter().zip(ROWS) {
            let near = if name.starts_with("powerpc") { 0xbe80_0000 } else { 0x1_0000_0000 };
            let targets: Vec<u64> = (0..48).map(|number| near + number * 64).collect();
            let code = row.code(near + 0x10_0000, &targets).expect(name);
            assert!(code.len() as u64 <= HALF_BYTES, "{name}");
            assert!(matches!(row.code(near, &[0x7f00_0000_0000]), Err(Error::BranchOutOfReach { .. })), "{name}");
        }
    }
}
