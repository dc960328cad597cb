//! The dispatcher: one call that knows its targets, so that no indirect branch is needed to reach the usual ones.
//!
//! One page of code has two halves, one in use and one that is not. Callers call an *entry* behind it, a jump to the half
//! in use. An update writes the comparisons for the new targets into the other half and redirects the jump while others
//! execute it; once a grace period is over, no thread is in the half before, and the next update may write it. So no
//! processor ever executes a half that is being written. Source: `kernel/bpf/dispatcher.c`.
//!
//! The target wanted comes in the third argument, as `bpf_func` does; one that is not known is called indirectly.

use alloc::vec::Vec;

use execmem::{EngineRef, Kind, KnownKind as _};
use execmem_types::{Isa, Operand, Sequence, Template};

use super::Program;
use crate::client::Client;
use crate::encoding::{ADDRESS_64, Rows, address, big, distance, little, row, slice, word};
use crate::growth::{append, fill_up};
use crate::patch::{Breakpoints, Instruction, Replacement, Sites, replace};
use crate::{BpfKinds, Credit, Error, Id};

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

const ROWS: &Rows<Dispatch> = &[(Isa::X86, X86), (Isa::Arm64, ARM64), (Isa::Riscv64, RISCV), (Isa::Powerpc32, POWERPC)];

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
    /// The row of an instruction set, `None` if there is none.
    #[must_use]
    pub fn of(isa: Isa) -> Option<Self> {
        row(ROWS, isa)
    }

    /// The code of a half at an address.
    fn code(&self, half: u64, targets: &[u64]) -> Result<Vec<u8>, Error> {
        let mut code = Vec::new();
        for &target in targets {
            for part in self.compare {
                let site = half + code.len() as u64;
                let encoded = part.encode(site, target).ok_or(Error::BranchOutOfReach { site, target })?;
                append(&mut code, encoded.bytes())?;
            }
        }
        append(&mut code, self.otherwise)?;
        match code.len() as u64 {
            len if len > HALF_BYTES => Err(Error::CodeTooLong { len, room: HALF_BYTES }),
            _ => Ok(code),
        }
    }
}

/// A dispatcher. Freed by [`Bpf::close`](super::Bpf::close).
#[derive(Debug)]
#[must_use = "a dispatcher that is dropped is never freed"]
pub struct Dispatcher<P, S: BpfKinds = Kind> {
    code: Id<Program<S>>,
    address: u64,
    sites: Sites,
    dispatch: Dispatch,
    breakpoints: P,
    /// 0 or 1.
    half_in_use: u64,
}

impl<P: Breakpoints, S: BpfKinds> Dispatcher<P, S> {
    /// Makes the code of one without targets. `prepare` is asked before it is published.
    pub(super) fn new<E: EngineRef<Set = S>>(
        client: &Client<E, Program<S>>,
        breakpoints: P,
        prepare: impl FnOnce() -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let table = client.engine().table();
        let machine = table.machine();
        let dispatch = Dispatch::of(machine.instructions.isa).ok_or(Error::UnknownMachine)?;
        let sites = Sites::of(machine).ok_or(Error::UnknownMachine)?;
        if !table.can_poke(S::Bpf::KIND) {
            return Err(Error::NotPatchable { kind: S::Bpf::KIND.into() });
        }
        let len = ENTRY + sites.len();
        let code = client.install::<S::Bpf>(len, Credit::Limited, |address| {
            prepare()?;
            let mut code = dispatch.code(address, &[])?;
            fill(client, address, &mut code, ENTRY)?;
            append(&mut code, sites.jump(address + ENTRY, address)?.bytes())?;
            Ok(code)
        })?;
        let (address, image) = (code.address(), code.extent());
        let code = client.hold(Program { code, image })?;
        Ok(Dispatcher { code, address, sites, dispatch, breakpoints, half_in_use: 0 })
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

    /// Writes the other half, redirects the entry to it, and waits for `grace`: until no thread is in the half before.
    ///
    /// # Errors
    ///
    /// [`Error::CodeTooLong`] for more targets than [`MAX_TARGETS`], [`Error::BranchOutOfReach`], [`Error::ForeignId`] if
    /// it is of another client, [`Error::Engine`]; the half before stays in use then.
    pub(super) fn update<E: EngineRef<Set = S>>(
        &mut self,
        client: &Client<E, Program<S>>,
        targets: &[u64],
        grace: impl FnOnce(),
    ) -> Result<(), Error> {
        if targets.len() > MAX_TARGETS {
            return Err(Error::TooManyTargets { wanted: targets.len(), limit: MAX_TARGETS });
        }
        let (before, after) = (self.half_in_use, 1 - self.half_in_use);
        let half = self.half_address(after);
        let mut code = self.dispatch.code(half, targets)?;
        fill(client, half, &mut code, HALF_BYTES)?;
        let jump = |half| self.sites.jump(self.entry(), self.half_address(half));
        let what = self.redirection(jump(before)?, jump(after)?, before);
        client.with(self.code, |held| {
            client.engine().patch_unexecuted(&held.code, after * HALF_BYTES, &code)?;
            replace(client.engine(), &self.sites, &self.breakpoints, &held.code, &what)
        })?;
        self.half_in_use = after;
        grace();
        Ok(())
    }

    /// A thread that comes by while the jump is replaced goes to the half before, which is whole until the grace period ends.
    const fn redirection(&self, old: Instruction, new: Instruction, before: u64) -> Replacement {
        Replacement { offset: ENTRY, old, new, resume: self.half_address(before) }
    }
}

impl<P, S: BpfKinds> Dispatcher<P, S> {
    pub(super) const fn id(&self) -> Id<Program<S>> {
        self.code
    }
}

/// Fills up to `len` bytes with traps, behind code that stands at an address.
fn fill<E: EngineRef<Set: BpfKinds>>(
    client: &Client<E, Program<E::Set>>,
    address: u64,
    code: &mut Vec<u8>,
    len: u64,
) -> Result<(), Error> {
    let start = code.len();
    fill_up(code, usize::try_from(len).unwrap_or(start))?;
    client.engine().table().machine().trap().fill(address + start as u64, &mut code[start..]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_hold_as_many_targets_as_linux_allows() {
        for (isa, row) in ROWS {
            let near = if *isa == Isa::Powerpc32 { 0xbe80_0000 } else { 0x1_0000_0000 };
            let targets: Vec<u64> = (0..48).map(|number| near + number * 64).collect();
            let code = row.code(near + 0x10_0000, &targets).expect("in reach");
            assert!(code.len() as u64 <= HALF_BYTES, "{isa:?}");
            assert!(matches!(row.code(near, &[0x7f00_0000_0000]), Err(Error::BranchOutOfReach { .. })), "{isa:?}");
        }
    }
}
