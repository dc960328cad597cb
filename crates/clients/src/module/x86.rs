//! Relocations of x86-64 that occur in modules (psABI 1.0, table 4.9; `arch/x86/kernel/module.c`), and those of objects
//! that read addresses from a GOT.

use execmem_types::ByteOrder;
use object::elf::{
    EM_X86_64, R_X86_64_32, R_X86_64_32S, R_X86_64_64, R_X86_64_GOTPCREL, R_X86_64_GOTPCRELX, R_X86_64_NONE,
    R_X86_64_PC32, R_X86_64_PC64, R_X86_64_PLT32, R_X86_64_REX_GOTPCRELX,
};

use super::rules::{MachineRules, Meaning, RelocationRule, Target, Value, call, got, rule};

pub(super) const MACHINE: MachineRules = MachineRules {
    number: EM_X86_64,
    is_64_bit: true,
    order: ByteOrder::Little,
    flags: 0,
    relocations: RULES,
    page_end: None,
};

const RULES: &[RelocationRule] = &[
    rule(R_X86_64_PC32, "R_X86_64_PC32", Value::Relative, Target::Signed(4)),
    // Nothing is linked lazily here, so a call through the PLT is a call.
    call(R_X86_64_PLT32, "R_X86_64_PLT32", Target::Signed(4)),
    rule(R_X86_64_64, "R_X86_64_64", Value::Absolute, Target::Word64),
    rule(R_X86_64_32S, "R_X86_64_32S", Value::Absolute, Target::Signed(4)),
    rule(R_X86_64_32, "R_X86_64_32", Value::Absolute, Target::Unsigned32),
    rule(R_X86_64_PC64, "R_X86_64_PC64", Value::Relative, Target::Word64),
    entry(R_X86_64_GOTPCREL, "R_X86_64_GOTPCREL"),
    // A linker may read the address from the instruction instead; here it stays in the GOT.
    entry(R_X86_64_GOTPCRELX, "R_X86_64_GOTPCRELX"),
    entry(R_X86_64_REX_GOTPCRELX, "R_X86_64_REX_GOTPCRELX"),
    rule(R_X86_64_NONE, "R_X86_64_NONE", Value::Nothing, Target::Nothing),
];

/// A row of a type whose instruction reads the GOT.
const fn entry(number: u32, name: &'static str) -> RelocationRule {
    got(Meaning::Entry, rule(number, name, Value::Relative, Target::Signed(4)))
}
