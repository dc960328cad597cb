//! Relocations of x86-64 that occur in modules (psABI 1.0, table 4.9; `arch/x86/kernel/module.c`).

use object::elf::{
    EM_X86_64, R_X86_64_32, R_X86_64_32S, R_X86_64_64, R_X86_64_NONE, R_X86_64_PC32, R_X86_64_PC64, R_X86_64_PLT32,
};

use super::rules::{MachineRules, RelocationRule, Target, Value, call, rule};

pub(super) const MACHINE: MachineRules = MachineRules { number: EM_X86_64, relocations: RULES, address_bits: 64 };

const RULES: &[RelocationRule] = &[
    rule(R_X86_64_PC32, "R_X86_64_PC32", Value::Relative, Target::Signed32),
    // Nothing is linked lazily here, so a call through the PLT is a call.
    call(R_X86_64_PLT32, "R_X86_64_PLT32", Target::Signed32),
    rule(R_X86_64_64, "R_X86_64_64", Value::Absolute, Target::Word64),
    rule(R_X86_64_32S, "R_X86_64_32S", Value::Absolute, Target::Signed32),
    rule(R_X86_64_32, "R_X86_64_32", Value::Absolute, Target::Unsigned32),
    rule(R_X86_64_PC64, "R_X86_64_PC64", Value::Relative, Target::Word64),
    rule(R_X86_64_NONE, "R_X86_64_NONE", Value::Nothing, Target::Nothing),
];
