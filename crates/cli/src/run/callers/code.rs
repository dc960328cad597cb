//! The code that callers are given: functions with an instruction to probe, or a site to trace, a tracer, and modules.

use anyhow::Result;
use execmem_clients::kprobe::{word, x86};
use execmem_clients::patch::Sites;
use execmem_types::{InstructionSet, Isa};

use crate::generate::{self, foreign::Foreign};

/// The code of a machine. That of x86-64 is executed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Samples {
    instructions: &'static InstructionSet,
    foreign: Option<&'static Foreign>,
}

impl Samples {
    /// The code of an instruction set, `None` if there is none.
    pub(super) fn of(instructions: &'static InstructionSet) -> Option<Self> {
        let foreign = Foreign::of(instructions.isa);
        let is_known = foreign.is_some() || instructions.isa == Isa::X86;
        is_known.then_some(Samples { instructions, foreign })
    }

    /// A function to probe.
    pub(super) fn probed(&self, number: u32) -> Vec<u8> {
        self.foreign.map_or_else(|| probed(number), |foreign| foreign.probed(number))
    }

    /// What is executed in a slot instead of the first instruction of a function.
    pub(super) fn slot(&self, source: u64, code: &[u8], slot: u64) -> Result<Vec<u8>, execmem_clients::Error> {
        match self.foreign {
            None => Ok(x86::copy(source, code, slot)?.code),
            Some(_) => word::copy(self.instructions, source, code),
        }
    }

    /// What stands at the start of a probed function: a jump to the slot, or a breakpoint.
    pub(super) fn probe(&self, sites: &Sites, source: u64, slot: u64) -> Result<Vec<u8>, execmem_clients::Error> {
        match self.foreign {
            None => Ok(sites.jump(source, slot)?.bytes().to_vec()),
            Some(_) => Ok(self.instructions.breakpoint.to_vec()),
        }
    }

    /// A function to trace, and where its site is.
    pub(super) fn traced(&self, nop: &[u8], number: u32) -> (Vec<u8>, u64) {
        self.foreign.map_or_else(|| (traced(nop, number), 0), |foreign| foreign.traced(nop, number))
    }

    /// A tracer.
    pub(super) fn tracer(&self) -> Vec<u8> {
        self.foreign.map_or_else(|| TRACER.to_vec(), Foreign::returning)
    }

    /// What modules import.
    pub(super) fn adder(&self, addend: u32) -> Vec<u8> {
        self.foreign.map_or_else(|| generate::adder(addend), Foreign::returning)
    }

    /// A module.
    pub(super) fn module(&self, number: u32) -> Result<Vec<u8>> {
        Ok(self.foreign.map_or_else(|| generate::module(number), |foreign| foreign.module(number))?)
    }
}

/// What a probed or traced function adds to its argument.
const fn addend(number: u32) -> u32 {
    number.wrapping_mul(2_654_435_761)
}

/// `mov eax, [rip + 10]; add eax, edi; ret`, and behind it, at a multiple of 16, the addend.
fn probed(number: u32) -> Vec<u8> {
    let mut code = vec![0x8b, 0x05, 10, 0, 0, 0, 0x01, 0xf8, 0xc3];
    code.resize(16, 0xcc);
    code.extend(addend(number).to_le_bytes());
    code
}

/// A site, then `lea eax, [rdi + addend]; ret`.
fn traced(nop: &[u8], number: u32) -> Vec<u8> {
    [nop, &[0x8d, 0x87], &addend(number).to_le_bytes(), &[0xc3]].concat()
}

/// A tracer: `lock inc qword [rdx]; ret`.
const TRACER: &[u8] = &[0xf0, 0x48, 0xff, 0x02, 0xc3];

/// What a probed or traced function returns.
pub(super) const fn result(number: u32, argument: u32) -> u32 {
    addend(number).wrapping_add(argument)
}
