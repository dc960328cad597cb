//! Replacing an instruction while others execute it: the rule of each machine, and the protocol.
//!
//! **Word** (fixed-length instructions). The instruction is aligned and one store replaces it: a processor fetches the old
//! one or the new one. The architectures allow it for NOP and branches (Arm ARM B2.2.5, concurrent modification and
//! execution). The backend must write an aligned word in one piece.
//!
//! **Breakpoint** (x86). An instruction of five bytes can be fetched half old, half new: Intel promises nothing for code
//! that is modified and executed at once, not even for one aligned store (SDM 3A, 9.1.3; AMD does, APM 2, 7.6.1), and
//! sites need not lie within one. Only single bytes are replaced in one piece everywhere. So, as in
//! `arch/x86/kernel/alternative.c`, `text_poke_bp_batch`:
//!
//! 1. the first byte becomes a breakpoint, and all processors learn of it;
//! 2. the other bytes become the new ones, and all processors learn of it; whoever comes by hits the breakpoint, and the
//!    [`Breakpoints`] hook sends it to where the site resumes;
//! 3. the first byte becomes the new one, and all processors learn of it.
//!
//! "Learn of it" is the engine's `patch`: on Linux, `membarrier(SYNC_CORE)`, so that no processor executes the second
//! half of an instruction whose first half it fetched before.

use execmem::sync::Locking;
use execmem::{Backend, CodeTag, Engine, Handle, Live};
use execmem_types::{Operand, Sequence, Template};

use crate::Error;
use crate::encoding::{big, distance, little, slice, word};
use crate::instruction_set::{InstructionSet, Rows};

/// Longest instruction that is patched, in bytes.
const MAX_BYTES: usize = 8;

/// How call sites of a machine look, and how they are replaced: a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatchRule {
    /// What stands at a site that calls nothing.
    pub nop: &'static [u8],
    /// A call.
    pub call: Sequence,
    /// A jump.
    pub jump: Sequence,
    /// How one is replaced by another.
    pub protocol: Protocol,
}

/// How an instruction is replaced while it is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// By one store of an aligned word.
    Word,
    /// Byte by byte, behind a breakpoint of one byte.
    Breakpoint(u8),
}

/// x86: `x86_nops[5]`, `CALL_INSN_OPCODE`, `JMP32_INSN_OPCODE`, `INT3_INSN_OPCODE`; arm64:
/// `aarch64_insn_gen_nop`, `aarch64_insn_gen_branch_imm`; powerpc: `PPC_RAW_NOP`, `create_branch`.
const ROWS: Rows<PatchRule> = [X86, ARM64, RISCV, POWERPC];

const X86: PatchRule = PatchRule {
    nop: &[0x0f, 0x1f, 0x44, 0, 0],
    call: little(&[Template { len: 5, bits: 0xe8, operand: Some(REL32) }]),
    jump: little(&[Template { len: 5, bits: 0xe9, operand: Some(REL32) }]),
    protocol: Protocol::Breakpoint(0xcc),
};
const REL32: Operand = distance(5, &[slice(0, 32, 8)]);

const ARM64: PatchRule = PatchRule {
    nop: &[0x1f, 0x20, 0x03, 0xd5],
    call: little(&[word(0x9400_0000, Some(IMM26))]),
    jump: little(&[word(0x1400_0000, Some(IMM26))]),
    protocol: Protocol::Word,
};
const IMM26: Operand = distance(0, &[slice(2, 26, 0)]);

/// The call links in `t0`, so that `ra` stays the caller's; it reaches 1 MiB. That fetch sees an aligned word whole is
/// `Ziccif`, which every machine of profile RVA20 has.
const RISCV: PatchRule = PatchRule {
    nop: &[0x13, 0, 0, 0],
    call: little(&[word(0x0000_02ef, Some(J_TYPE))]),
    jump: little(&[word(0x0000_006f, Some(J_TYPE))]),
    protocol: Protocol::Word,
};
const J_TYPE: Operand = distance(0, &[slice(1, 10, 21), slice(11, 1, 20), slice(12, 8, 12), slice(20, 1, 31)]);

const POWERPC: PatchRule = PatchRule {
    nop: &[0x60, 0, 0, 0],
    call: big(&[word(0x4800_0001, Some(LI))]),
    jump: big(&[word(0x4800_0000, Some(LI))]),
    protocol: Protocol::Word,
};
const LI: Operand = distance(0, &[slice(2, 24, 2)]);

/// What sends a processor on that hits a breakpoint which stands at a site while it is patched: the trap handler of a
/// kernel, or of `SIGTRAP` in a process.
pub trait Breakpoints {
    /// From now on, whoever hits the breakpoint at `site` goes on at `resume`. Called before the breakpoint stands.
    fn arm(&self, site: u64, resume: u64);
    /// The site has no breakpoint any more, and no processor will hit one that it had.
    fn disarm(&self, site: u64);
}

/// For sites that nobody executes while they are patched, and for machines that need no breakpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoBreakpoints;

impl Breakpoints for NoBreakpoints {
    fn arm(&self, _site: u64, _resume: u64) {}
    fn disarm(&self, _site: u64) {}
}

impl<P: Breakpoints + ?Sized> Breakpoints for &P {
    fn arm(&self, site: u64, resume: u64) {
        (**self).arm(site, resume);
    }
    fn disarm(&self, site: u64) {
        (**self).disarm(site);
    }
}

/// An instruction, ready to be put at its site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    bytes: [u8; MAX_BYTES],
    len: usize,
}

impl Instruction {
    /// The bytes in memory order.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }

    fn encode(branch: &Sequence, site: u64, target: u64) -> Result<Self, Error> {
        let encoded = branch.encode(site, target).ok_or(Error::BranchOutOfReach { site, target })?;
        Ok(Instruction::new(encoded.bytes()))
    }

    fn new(parts: &[u8]) -> Self {
        let mut bytes = [0; MAX_BYTES];
        let len = parts.len().min(MAX_BYTES);
        bytes[..len].copy_from_slice(&parts[..len]);
        Instruction { bytes, len }
    }
}

impl PatchRule {
    /// The rule of a machine of that name, `None` if there is no row for it.
    #[must_use]
    pub fn of_machine(machine: &str) -> Option<Self> {
        InstructionSet::row(&ROWS, machine).copied()
    }

    /// The instruction that does nothing.
    #[must_use]
    pub fn nop(&self) -> Instruction {
        Instruction::new(self.nop)
    }

    /// The instruction at `site` that calls `target`.
    ///
    /// # Errors
    ///
    /// [`Error::BranchOutOfReach`].
    pub fn call(&self, site: u64, target: u64) -> Result<Instruction, Error> {
        Instruction::encode(&self.call, site, target)
    }

    /// The instruction at `site` that jumps to `target`.
    ///
    /// # Errors
    ///
    /// [`Error::BranchOutOfReach`].
    pub fn jump(&self, site: u64, target: u64) -> Result<Instruction, Error> {
        Instruction::encode(&self.jump, site, target)
    }

    /// Refuses sites that the protocol cannot patch.
    fn check_site(&self, site: u64) -> Result<(), Error> {
        let is_aligned = self.protocol != Protocol::Word || site.is_multiple_of(self.nop.len() as u64);
        if is_aligned { Ok(()) } else { Err(Error::MisalignedSite { site }) }
    }
}

/// One replacement: which instruction at which offset of an allocation, and where whoever comes by meanwhile goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replacement {
    /// Offset of the site in the allocation.
    pub offset: u64,
    /// What stands there.
    pub old: Instruction,
    /// What shall stand there.
    pub new: Instruction,
    /// Where a processor goes on that comes by meanwhile.
    pub resume: u64,
}

/// Replaces an instruction of published code while others execute it. The old one is back if that fails.
///
/// # Errors
///
/// [`Error::NotPatchable`] if the table flips rights; [`Error::UnexpectedCode`] if something else than the old instruction
/// stands there; [`Error::MisalignedSite`], [`Error::Engine`].
pub fn replace<B: Backend, L: Locking, K: CodeTag>(
    engine: &Engine<B, L>,
    rule: &PatchRule,
    breakpoints: &impl Breakpoints,
    live: &Live<K>,
    what: &Replacement,
) -> Result<(), Error> {
    let site = live.address().wrapping_add(what.offset);
    if !engine.table().can_poke(live.kind()) {
        return Err(Error::NotPatchable { kind: live.kind() });
    }
    rule.check_site(site)?;
    let mut found = [0; MAX_BYTES];
    let found = &mut found[..what.old.bytes().len()];
    engine.read(live, what.offset, found)?;
    if found != what.old.bytes() || what.new.len != what.old.len {
        return Err(Error::UnexpectedCode { site });
    }
    match rule.protocol {
        Protocol::Word => Ok(engine.patch(live, what.offset, what.new.bytes())?),
        Protocol::Breakpoint(trap) => {
            breakpoints.arm(site, what.resume);
            let outcome = behind_breakpoint(engine, live, what, trap);
            breakpoints.disarm(site);
            outcome
        }
    }
}

/// The three steps of the breakpoint protocol; backwards if one fails.
fn behind_breakpoint<B: Backend, L: Locking, K: CodeTag>(
    engine: &Engine<B, L>,
    live: &Live<K>,
    what: &Replacement,
    trap: u8,
) -> Result<(), Error> {
    let (old, new) = (what.old.bytes(), what.new.bytes());
    engine.patch(live, what.offset, &[trap])?;
    let rest = engine.patch(live, what.offset + 1, &new[1..]);
    let first = rest.and_then(|()| engine.patch(live, what.offset, &new[..1]));
    first.map_err(|error| {
        // `patch` has put back what its own step replaced; what is left is to undo the steps before it.
        let _ = engine.patch(live, what.offset + 1, &old[1..]);
        let _ = engine.patch(live, what.offset, &old[..1]);
        error.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_encoded_as_the_manuals_say_and_reach_exactly_so_far() {
        let site = 0x1_0000_0000;
        let call = X86.call(site, site + 5 + 0x7fff_ffff).expect("in reach");
        assert_eq!(call.bytes(), [0xe8, 0xff, 0xff, 0xff, 0x7f]);
        assert!(X86.call(site, site + 5 + 0x8000_0000).is_err());
        assert_eq!(X86.jump(site, site + 5 - 0x8000_0000).expect("in reach").bytes(), [0xe9, 0, 0, 0, 0x80]);
        assert_eq!(ARM64.call(site, site + 8).expect("in reach").bytes(), [2, 0, 0, 0x94]);
        assert_eq!(ARM64.jump(site, site - 4).expect("in reach").bytes(), [0xff, 0xff, 0xff, 0x17]);
        assert!(ARM64.call(site, site + (128 << 20)).is_err());
        assert!(ARM64.call(site, site - (128 << 20)).is_ok());
        assert!(ARM64.call(site, site + 2).is_err());
        assert_eq!(RISCV.call(site, site + 0xf_f7fe).expect("in reach").bytes(), [0xef, 0xf2, 0xef, 0x7f]);
        assert_eq!(RISCV.jump(site, site - 4).expect("in reach").bytes(), [0x6f, 0xf0, 0xdf, 0xff]);
        assert!(RISCV.call(site, site + (1 << 20)).is_err() && RISCV.call(site, site - (1 << 20)).is_ok());
        let site = 0xbe80_0000;
        assert_eq!(POWERPC.call(site, site - 8).expect("in reach").bytes(), [0x4b, 0xff, 0xff, 0xf9]);
        assert!(POWERPC.jump(site, site + (32 << 20)).is_err() && POWERPC.jump(site, site - (32 << 20)).is_ok());
    }

    #[test]
    fn words_are_patched_where_they_are_aligned() {
        assert_eq!(ARM64.check_site(6), Err(Error::MisalignedSite { site: 6 }));
        assert_eq!((ARM64.check_site(8), X86.check_site(7)), (Ok(()), Ok(())));
    }
}
