//! The dispatcher: one call that knows its targets, so that no indirect branch is needed to reach the usual ones.
//!
//! One page of code has two halves, one in use and one that is not. Callers call an *entry*, a jump to the half in use.
//! An update writes the comparisons for the new targets into the other half and redirects the jump while others execute
//! it; once a grace period is over, nobody is in the half before, and the next update may write it. So no processor ever
//! executes a half that is being written. Source: `kernel/bpf/dispatcher.c`.
//!
//! The target wanted comes in the third argument, as `bpf_func` does; one that is not known is called indirectly.

use alloc::vec::Vec;

use execmem::kinds::Bpf;
use execmem::sync::Locking;
use execmem::{Backend, Handle, Kind};

use super::Program;
use crate::client::Client;
use crate::patch::{Breakpoints, Instruction, PatchRule, Replacement, replace};
use crate::{Credit, Error, Id};

/// Most targets of one dispatcher (`BPF_DISPATCHER_MAX`).
pub const MAX_TARGETS: usize = 48;

const PAGE_BYTES: u64 = 4096;
const HALF_BYTES: u64 = PAGE_BYTES / 2;

/// The code of a half on a machine: a row of its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dispatch {
    /// Loads a target into a scratch register; its address follows.
    pub load: &'static [u8],
    /// Compares the target wanted with it, and branches if they are equal; 32 bits of distance follow.
    pub branch_if_equal: &'static [u8],
    /// Goes to the target wanted.
    pub otherwise: &'static [u8],
}

const ROWS: [(&str, Dispatch); 2] = [("x86", X86), ("x86_64", X86)];

const X86: Dispatch = Dispatch {
    load: &[0x48, 0xb8],                              // mov rax, imm64
    branch_if_equal: &[0x48, 0x39, 0xc2, 0x0f, 0x84], // cmp rdx, rax; je rel32
    otherwise: &[0xff, 0xe2],                         // jmp rdx
};

impl Dispatch {
    /// The row of a machine of that name, `None` if there is none.
    #[must_use]
    pub fn of_machine(machine: &str) -> Option<Self> {
        ROWS.iter().find(|(name, _)| *name == machine).map(|&(_, row)| row)
    }

    /// The code of a half at an address.
    fn code(&self, half: u64, targets: &[u64]) -> Result<Vec<u8>, Error> {
        let mut code = Vec::new();
        for &target in targets {
            code.extend(self.load);
            code.extend(target.to_le_bytes());
            code.extend(self.branch_if_equal);
            let site = half + code.len() as u64;
            let distance = i32::try_from(target.wrapping_sub(site + 4).cast_signed());
            code.extend(distance.map_err(|_| Error::BranchOutOfReach { site, target })?.to_le_bytes());
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
    /// The jump to the half in use.
    entry: Id<Program>,
    entry_address: u64,
    page: Id<Program>,
    page_address: u64,
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
        let page = client.install::<Bpf>(PAGE_BYTES, Credit::Limited, |half| dispatch.code(half, &[]))?;
        let page_address = page.address();
        let entry = client.install::<Bpf>(rule.nop.len() as u64, Credit::Limited, |address| {
            Ok(rule.jump.encode(address, page_address)?.bytes().to_vec())
        });
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                client.free(page);
                return Err(error);
            }
        };
        let entry_address = entry.address();
        let hold = |code: execmem::Live<Bpf>| {
            let image = code.extent();
            client.hold(Program { code, image })
        };
        let (entry, page) = (hold(entry), hold(page));
        Ok(Dispatcher { entry, entry_address, page, page_address, rule, dispatch, breakpoints, half_in_use: 0 })
    }

    /// What callers call, with the target wanted in the third argument.
    #[must_use]
    pub const fn entry(&self) -> u64 {
        self.entry_address
    }

    /// Where the half in use stands.
    #[must_use]
    pub const fn half(&self) -> u64 {
        self.half_address(self.half_in_use)
    }

    const fn half_address(&self, half: u64) -> u64 {
        self.page_address + half * HALF_BYTES
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
        let len = code.len();
        code.resize(usize::try_from(HALF_BYTES).unwrap_or(len), 0);
        client.engine.table().machine().trap.fill(half + len as u64, &mut code[len..]);
        client.with(self.page, |page| Ok(client.engine.patch(&page.code, after * HALF_BYTES, &code)?))?;
        let jump = |half| self.rule.jump.encode(self.entry_address, self.half_address(half));
        let what = self.redirection(jump(before)?, jump(after)?, before);
        client.with(self.entry, |entry| replace(client.engine, &self.rule, &self.breakpoints, &entry.code, &what))?;
        self.half_in_use = after;
        grace();
        Ok(())
    }

    /// Whoever comes by while the jump is replaced goes to the half before, which is whole until the grace period ends.
    const fn redirection(&self, old: Instruction, new: Instruction, before: u64) -> Replacement {
        Replacement { offset: 0, old, new, resume: self.half_address(before) }
    }
}

impl<P> Dispatcher<P> {
    pub(super) const fn ids(&self) -> [Id<Program>; 2] {
        [self.entry, self.page]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_hold_as_many_targets_as_linux_allows() {
        let targets: Vec<u64> = (0..48).map(|number| 0x1_0000_0000 + number * 64).collect();
        let code = X86.code(0x1_0010_0000, &targets).expect("near");
        assert!(code.len() as u64 <= HALF_BYTES);
        assert!(matches!(X86.code(0x1_0010_0000, &[0x7f00_0000_0000]), Err(Error::BranchOutOfReach { .. })));
    }
}
