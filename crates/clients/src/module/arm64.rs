//! Relocations of arm64 that occur in modules (AAELF64, section 5.7; `arch/arm64/kernel/module.c`).

use object::elf::{
    EM_AARCH64, R_AARCH64_ABS16, R_AARCH64_ABS32, R_AARCH64_ABS64, R_AARCH64_ADD_ABS_LO12_NC, R_AARCH64_ADR_PREL_LO21,
    R_AARCH64_ADR_PREL_PG_HI21, R_AARCH64_ADR_PREL_PG_HI21_NC, R_AARCH64_CALL26, R_AARCH64_CONDBR19, R_AARCH64_JUMP26,
    R_AARCH64_LD_PREL_LO19, R_AARCH64_LDST8_ABS_LO12_NC, R_AARCH64_LDST16_ABS_LO12_NC, R_AARCH64_LDST32_ABS_LO12_NC,
    R_AARCH64_LDST64_ABS_LO12_NC, R_AARCH64_LDST128_ABS_LO12_NC, R_AARCH64_NONE, R_AARCH64_PREL16, R_AARCH64_PREL32,
    R_AARCH64_PREL64, R_AARCH64_TSTBR14,
};

use super::rules::{Bits, MachineRules, Piece, RelocationRule, Target, Value, call, piece, rule};

pub(super) const MACHINE: MachineRules = MachineRules { number: EM_AARCH64, relocations: RULES, address_bits: 64 };

const fn word(signed_bits: u8, multiple_of: u8, pieces: &'static [Piece]) -> Bits {
    Bits { bytes: 4, signed_bits, multiple_of, pieces }
}

static BRANCH26: Bits = word(28, 4, &[piece(2, 26, 0)]);
static BRANCH19: Bits = word(21, 4, &[piece(2, 19, 5)]);
static BRANCH14: Bits = word(16, 4, &[piece(2, 14, 5)]);
static PAGE21: Bits = word(33, 1, &[piece(12, 2, 29), piece(14, 19, 5)]);
static PAGE21_UNCHECKED: Bits = word(64, 1, &[piece(12, 2, 29), piece(14, 19, 5)]);
static BYTES21: Bits = word(21, 1, &[piece(0, 2, 29), piece(2, 19, 5)]);
/// The low 12 bits of an address, without those that the size of the access makes zero.
static LOW12: [Bits; 5] = [
    word(64, 1, &[piece(0, 12, 10)]),
    word(64, 2, &[piece(1, 11, 10)]),
    word(64, 4, &[piece(2, 10, 10)]),
    word(64, 8, &[piece(3, 9, 10)]),
    word(64, 16, &[piece(4, 8, 10)]),
];

const RULES: &[RelocationRule] = &[
    call(R_AARCH64_CALL26, "R_AARCH64_CALL26", Target::Bits(&BRANCH26)),
    call(R_AARCH64_JUMP26, "R_AARCH64_JUMP26", Target::Bits(&BRANCH26)),
    rule(R_AARCH64_ABS64, "R_AARCH64_ABS64", Value::Absolute, Target::Word64),
    rule(R_AARCH64_ADR_PREL_PG_HI21, "R_AARCH64_ADR_PREL_PG_HI21", Value::RelativePage, Target::Bits(&PAGE21)),
    rule(
        R_AARCH64_ADR_PREL_PG_HI21_NC,
        "R_AARCH64_ADR_PREL_PG_HI21_NC",
        Value::RelativePage,
        Target::Bits(&PAGE21_UNCHECKED),
    ),
    rule(R_AARCH64_ADD_ABS_LO12_NC, "R_AARCH64_ADD_ABS_LO12_NC", Value::Absolute, Target::Bits(&LOW12[0])),
    rule(R_AARCH64_PREL32, "R_AARCH64_PREL32", Value::Relative, Target::Either(4)),
    rule(R_AARCH64_PREL64, "R_AARCH64_PREL64", Value::Relative, Target::Word64),
    rule(R_AARCH64_LDST64_ABS_LO12_NC, "R_AARCH64_LDST64_ABS_LO12_NC", Value::Absolute, Target::Bits(&LOW12[3])),
    rule(R_AARCH64_LDST32_ABS_LO12_NC, "R_AARCH64_LDST32_ABS_LO12_NC", Value::Absolute, Target::Bits(&LOW12[2])),
    rule(R_AARCH64_LDST8_ABS_LO12_NC, "R_AARCH64_LDST8_ABS_LO12_NC", Value::Absolute, Target::Bits(&LOW12[0])),
    rule(R_AARCH64_LDST16_ABS_LO12_NC, "R_AARCH64_LDST16_ABS_LO12_NC", Value::Absolute, Target::Bits(&LOW12[1])),
    rule(R_AARCH64_LDST128_ABS_LO12_NC, "R_AARCH64_LDST128_ABS_LO12_NC", Value::Absolute, Target::Bits(&LOW12[4])),
    rule(R_AARCH64_ADR_PREL_LO21, "R_AARCH64_ADR_PREL_LO21", Value::Relative, Target::Bits(&BYTES21)),
    rule(R_AARCH64_LD_PREL_LO19, "R_AARCH64_LD_PREL_LO19", Value::Relative, Target::Bits(&BRANCH19)),
    rule(R_AARCH64_CONDBR19, "R_AARCH64_CONDBR19", Value::Relative, Target::Bits(&BRANCH19)),
    rule(R_AARCH64_TSTBR14, "R_AARCH64_TSTBR14", Value::Relative, Target::Bits(&BRANCH14)),
    rule(R_AARCH64_ABS32, "R_AARCH64_ABS32", Value::Absolute, Target::Either(4)),
    rule(R_AARCH64_ABS16, "R_AARCH64_ABS16", Value::Absolute, Target::Either(2)),
    rule(R_AARCH64_PREL16, "R_AARCH64_PREL16", Value::Relative, Target::Either(2)),
    rule(R_AARCH64_NONE, "R_AARCH64_NONE", Value::Nothing, Target::Nothing),
];
