//! Replacing an instruction while others execute it: by one store where the machine fetches that whole, and else by its
//! protocol.
//!
//! **One store.** The instruction lies in bytes that every processor fetches whole: the old one or the new one. How many
//! those are is the [rule](execmem_types::PatchRule) of the machine.
//!
//! **Breakpoint first.** An instruction of five bytes can be fetched half old, half new. So, as in
//! `arch/x86/kernel/alternative.c`, `text_poke_bp_batch`:
//!
//! 1. the first byte becomes a breakpoint, and all processors learn of it;
//! 2. the other bytes become the new ones, and all processors learn of it; a processor that comes by hits the breakpoint,
//!    and the [`Breakpoints`] hook sends it to where the site resumes;
//! 3. the first byte becomes the new one, and all processors learn of it.
//!
//! "Learn of it" is the engine's `patch`: on Linux, `membarrier(SYNC_CORE)`, so that no processor executes the second
//! half of an instruction whose first half it fetched before.
//!
//! **Others stopped.** Where the rule says neither, the caller stops the other processors outside the code, and patches it
//! as code that is not executed.

use execmem::sync::Locking;
use execmem::{CodeTag, Engine, KindSet, KindTag, Live, Memory};
use execmem_types::{LongPatch, Machine, Sequence, Site};

use crate::Error;
use crate::site::{CodeSite, Own};

/// Longest instruction that is patched, in bytes.
pub(crate) const MAX_BYTES: usize = 8;

/// How instructions of a machine are replaced while they are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sites {
    site: Site,
    /// The first byte of a site that is hit while it is patched.
    breakpoint: u8,
    /// Aligned bytes that processors fetch whole.
    whole: u64,
    longer: LongPatch,
}

/// What sends a processor on that hits a breakpoint which stands at a site while it is patched: the trap handler of a
/// kernel, or of `SIGTRAP` in a process.
pub trait Breakpoints {
    /// From now on, a processor that hits the breakpoint at `site` goes on at `resume`. Called before the breakpoint stands.
    fn arm(&self, site: u64, resume: u64);
    /// The site has no breakpoint any more, and no processor will hit one that it had. One that hit it before and is handled
    /// only now executes the site again: the instruction is there.
    fn disarm(&self, site: u64);
}

/// For sites that no processor executes while they are patched, and for machines that need no breakpoint.
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

impl Sites {
    /// Those of a machine, `None` if it has no such instructions.
    #[must_use]
    pub fn of(machine: &Machine) -> Option<Self> {
        let instructions = machine.instructions;
        let (site, breakpoint) = (instructions.site?, *instructions.breakpoint.first()?);
        Some(Sites { site, breakpoint, whole: machine.whole_bytes(), longer: instructions.patch.longer })
    }

    /// Bytes of each instruction.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.site.nop.len() as u64
    }

    /// Whether there are none, which is never so.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.site.nop.is_empty()
    }

    /// The instruction that does nothing.
    #[must_use]
    pub fn nop(&self) -> Instruction {
        Instruction::new(self.site.nop)
    }

    /// The instruction at `site` that calls `target`.
    ///
    /// # Errors
    ///
    /// [`Error::BranchOutOfReach`].
    pub fn call(&self, site: u64, target: u64) -> Result<Instruction, Error> {
        Instruction::encode(&self.site.call, site, target)
    }

    /// The instruction at `site` that jumps to `target`.
    ///
    /// # Errors
    ///
    /// [`Error::BranchOutOfReach`].
    pub fn jump(&self, site: u64, target: u64) -> Result<Instruction, Error> {
        Instruction::encode(&self.site.jump, site, target)
    }

    /// Whether one store replaces an instruction at `site`.
    fn is_whole(&self, site: u64) -> bool {
        let len = self.len();
        len.is_power_of_two() && len <= self.whole && site.is_multiple_of(len)
    }
}

/// One replacement: which instruction at which offset of an allocation, and where a processor goes on that comes by
/// meanwhile.
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
/// stands there; [`Error::OthersExecute`] if the machine has no way but to stop all others; [`Error::Engine`].
pub fn replace<M: Memory<S>, S: KindSet, L: Locking, K: CodeTag + KindTag<Set = S>>(
    engine: &Engine<M, S, L>,
    sites: &Sites,
    breakpoints: &impl Breakpoints,
    live: &Live<K>,
    what: &Replacement,
) -> Result<(), Error> {
    let Replacement { offset, old, new, resume } = *what;
    let address = live.address().wrapping_add(offset);
    replace_at(&Own { engine, live }, sites, breakpoints, &Change { address, old, new, resume })
}

/// One replacement: which instruction at which address, and where a processor goes on that comes by meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The site.
    pub address: u64,
    /// What stands there.
    pub old: Instruction,
    /// What shall stand there.
    pub new: Instruction,
    /// Where a processor goes on that comes by meanwhile.
    pub resume: u64,
}

/// The same for a site in any [`CodeSite`].
///
/// # Errors
///
/// As [`replace`], and [`Error::NoCode`] if the site is not in the code.
pub fn replace_at(
    code: &impl CodeSite,
    sites: &Sites,
    breakpoints: &impl Breakpoints,
    what: &Change,
) -> Result<(), Error> {
    let site = what.address;
    code.check_patchable(site)?;
    let mut found = [0; MAX_BYTES];
    let found = &mut found[..what.old.bytes().len()];
    code.read(site, found)?;
    if found != what.old.bytes() || what.new.len != what.old.len {
        return Err(Error::UnexpectedCode { site });
    }
    match sites.longer {
        _ if sites.is_whole(site) => code.patch(site, what.new.bytes()),
        LongPatch::BreakpointFirst => {
            breakpoints.arm(site, what.resume);
            let outcome = behind_breakpoint(code, what, sites.breakpoint);
            breakpoints.disarm(site);
            outcome
        }
        LongPatch::StopOthers => Err(Error::OthersExecute { site, len: sites.len(), whole: sites.whole }),
    }
}

/// The three steps of the breakpoint protocol; backwards if one fails.
fn behind_breakpoint(code: &impl CodeSite, what: &Change, breakpoint: u8) -> Result<(), Error> {
    let (old, new, site) = (what.old.bytes(), what.new.bytes(), what.address);
    code.patch(site, &[breakpoint])?;
    // No processor gets behind the breakpoint, and all that were there have left: `patch` has told them.
    let rest = code.patch_unexecuted(site + 1, &new[1..]);
    let first = rest.and_then(|()| code.patch(site, &new[..1]));
    first.inspect_err(|_| {
        // `patch` has put back what its own step replaced; what is left is to undo the steps before it.
        let _ = code.patch_unexecuted(site + 1, &old[1..]);
        let _ = code.patch(site, &old[..1]);
    })
}

#[cfg(test)]
mod tests {
    use execmem_arch_x86::MACHINE_X86;
    use execmem_types::{Features, InstructionSet, Isa};

    use super::*;

    /// The machine with other instructions: of one word, that processors with a feature fetch whole.
    fn words(features: Features) -> Machine {
        const WORD: Sequence = crate::encoding::little(&[crate::encoding::word(1, None)]);
        const WHOLE: &[execmem_types::Whole] =
            &[execmem_types::Whole { bytes: execmem_types::PowerOfTwo::from_log2(2), needs: Features::ZICCIF }];
        static WORDS: InstructionSet = InstructionSet {
            site: Some(Site { nop: &[0; 4], call: WORD, jump: WORD }),
            breakpoint: &[1, 2, 3, 4],
            patch: execmem_types::PatchRule { whole: WHOLE, longer: LongPatch::StopOthers },
            isa: Isa::Other,
            ..execmem_arch_x86::INSTRUCTIONS_X86
        };
        Machine { instructions: &WORDS, features, ..MACHINE_X86 }
    }

    #[test]
    fn one_store_is_enough_where_fetch_sees_it_whole() {
        let sites = |machine: &Machine| Sites::of(machine).expect("a site");
        let promised = sites(&words(Features::ZICCIF));
        assert!(promised.is_whole(0x1004) && !promised.is_whole(0x1002), "aligned");
        assert!(!sites(&words(Features::NONE)).is_whole(0x1004), "no promise");
        let five = sites(&Machine { features: Features::FETCH_8, ..MACHINE_X86 });
        assert!(!five.is_whole(0x1000), "five bytes are no single store");
    }

    #[test]
    fn a_machine_without_sites_has_none() {
        static NOTHING: InstructionSet = InstructionSet::unknown(64);
        assert_eq!(Sites::of(&Machine { instructions: &NOTHING, ..MACHINE_X86 }), None);
    }
}
