//! Relocations of arm64 that occur in modules (AAELF64, section 5.7; `arch/arm64/kernel/module.c`).

use execmem_types::ByteOrder;
use object::elf::{
    EM_AARCH64, R_AARCH64_ABS16, R_AARCH64_ABS32, R_AARCH64_ABS64, R_AARCH64_ADD_ABS_LO12_NC, R_AARCH64_ADR_GOT_PAGE,
    R_AARCH64_ADR_PREL_LO21, R_AARCH64_ADR_PREL_PG_HI21, R_AARCH64_ADR_PREL_PG_HI21_NC, R_AARCH64_CALL26,
    R_AARCH64_CONDBR19, R_AARCH64_GOT_LD_PREL19, R_AARCH64_GOTPCREL32, R_AARCH64_JUMP26, R_AARCH64_LD_PREL_LO19,
    R_AARCH64_LD64_GOT_LO12_NC, R_AARCH64_LDST8_ABS_LO12_NC, R_AARCH64_LDST16_ABS_LO12_NC,
    R_AARCH64_LDST32_ABS_LO12_NC, R_AARCH64_LDST64_ABS_LO12_NC, R_AARCH64_LDST128_ABS_LO12_NC, R_AARCH64_MOVW_PREL_G0,
    R_AARCH64_MOVW_PREL_G0_NC, R_AARCH64_MOVW_PREL_G1, R_AARCH64_MOVW_PREL_G1_NC, R_AARCH64_MOVW_PREL_G2,
    R_AARCH64_MOVW_PREL_G2_NC, R_AARCH64_MOVW_PREL_G3, R_AARCH64_MOVW_SABS_G0, R_AARCH64_MOVW_SABS_G1,
    R_AARCH64_MOVW_SABS_G2, R_AARCH64_MOVW_UABS_G0, R_AARCH64_MOVW_UABS_G0_NC, R_AARCH64_MOVW_UABS_G1,
    R_AARCH64_MOVW_UABS_G1_NC, R_AARCH64_MOVW_UABS_G2, R_AARCH64_MOVW_UABS_G2_NC, R_AARCH64_MOVW_UABS_G3,
    R_AARCH64_NONE, R_AARCH64_PLT32, R_AARCH64_PREL16, R_AARCH64_PREL32, R_AARCH64_PREL64, R_AARCH64_TSTBR14,
};

use super::rules::{
    Bits, MachineRules, Meaning, PageEnd, Range, RelocationRule, SignRule, Target, Value, call, got, piece, rule,
};

pub(super) const MACHINE: MachineRules = MachineRules {
    number: EM_AARCH64,
    is_64_bit: true,
    order: ByteOrder::Little,
    flags: 0,
    relocations: RULES,
    page_end: Some(PageEnd {
        relocations: &[R_AARCH64_ADR_PREL_PG_HI21, R_AARCH64_ADR_PREL_PG_HI21_NC, R_AARCH64_ADR_GOT_PAGE],
        last_bytes: 8,
        // ADRP becomes ADR.
        cleared: 1 << 31,
        short: Target::Bits(&BYTES21),
    }),
};

/// The number that nothing had in early drafts of the ABI.
const R_AARCH64_NULL: u32 = 256;

static BRANCH26: Bits = Bits::signed(4, 28, 4, &[piece(2, 26, 0)]);
static BRANCH19: Bits = Bits::signed(4, 21, 4, &[piece(2, 19, 5)]);
static BRANCH14: Bits = Bits::signed(4, 16, 4, &[piece(2, 14, 5)]);
static PAGE21: Bits = Bits::signed(4, 33, 1, &[piece(12, 2, 29), piece(14, 19, 5)]);
static PAGE21_UNCHECKED: Bits = Bits::any(4, 1, &[piece(12, 2, 29), piece(14, 19, 5)]);
static BYTES21: Bits = Bits::signed(4, 21, 1, &[piece(0, 2, 29), piece(2, 19, 5)]);
/// The low 12 bits of an address, without those that the size of the access makes zero.
static LOW12: [Bits; 5] = [
    Bits::any(4, 1, &[piece(0, 12, 10)]),
    Bits::any(4, 2, &[piece(1, 11, 10)]),
    Bits::any(4, 4, &[piece(2, 10, 10)]),
    Bits::any(4, 8, &[piece(3, 9, 10)]),
    Bits::any(4, 16, &[piece(4, 8, 10)]),
];
/// 16 bits of a number, for MOVZ and MOVK.
static HALVES: [Bits; 4] = [
    Bits::any(4, 1, &[piece(0, 16, 5)]),
    Bits::any(4, 1, &[piece(16, 16, 5)]),
    Bits::any(4, 1, &[piece(32, 16, 5)]),
    Bits::any(4, 1, &[piece(48, 16, 5)]),
];
/// The highest 16 bits that are not zero.
static UNSIGNED: [Bits; 3] = [
    Bits { range: Range::Unsigned(16), ..HALVES[0] },
    Bits { range: Range::Unsigned(32), ..HALVES[1] },
    Bits { range: Range::Unsigned(48), ..HALVES[2] },
];
/// The same of a number with a sign: the instruction becomes MOVZ, or MOVN of the complement.
static SIGNED: [Bits; 4] = [
    Bits { range: Range::Signed(17), sign: Some(MOVE), ..HALVES[0] },
    Bits { range: Range::Signed(33), sign: Some(MOVE), ..HALVES[1] },
    Bits { range: Range::Signed(49), sign: Some(MOVE), ..HALVES[2] },
    Bits { sign: Some(MOVE), ..HALVES[3] },
];
const MOVE: SignRule = SignRule { mask: 3 << 29, positive: 2 << 29, negative: 0 };

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
    rule(R_AARCH64_PREL32, "R_AARCH64_PREL32", Value::Relative, Target::Signed(4)),
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
    rule(R_AARCH64_PREL16, "R_AARCH64_PREL16", Value::Relative, Target::Signed(2)),
    rule(R_AARCH64_MOVW_UABS_G0, "R_AARCH64_MOVW_UABS_G0", Value::Absolute, Target::Bits(&UNSIGNED[0])),
    rule(R_AARCH64_MOVW_UABS_G0_NC, "R_AARCH64_MOVW_UABS_G0_NC", Value::Absolute, Target::Bits(&HALVES[0])),
    rule(R_AARCH64_MOVW_UABS_G1, "R_AARCH64_MOVW_UABS_G1", Value::Absolute, Target::Bits(&UNSIGNED[1])),
    rule(R_AARCH64_MOVW_UABS_G1_NC, "R_AARCH64_MOVW_UABS_G1_NC", Value::Absolute, Target::Bits(&HALVES[1])),
    rule(R_AARCH64_MOVW_UABS_G2, "R_AARCH64_MOVW_UABS_G2", Value::Absolute, Target::Bits(&UNSIGNED[2])),
    rule(R_AARCH64_MOVW_UABS_G2_NC, "R_AARCH64_MOVW_UABS_G2_NC", Value::Absolute, Target::Bits(&HALVES[2])),
    rule(R_AARCH64_MOVW_UABS_G3, "R_AARCH64_MOVW_UABS_G3", Value::Absolute, Target::Bits(&HALVES[3])),
    rule(R_AARCH64_MOVW_SABS_G0, "R_AARCH64_MOVW_SABS_G0", Value::Absolute, Target::Bits(&SIGNED[0])),
    rule(R_AARCH64_MOVW_SABS_G1, "R_AARCH64_MOVW_SABS_G1", Value::Absolute, Target::Bits(&SIGNED[1])),
    rule(R_AARCH64_MOVW_SABS_G2, "R_AARCH64_MOVW_SABS_G2", Value::Absolute, Target::Bits(&SIGNED[2])),
    rule(R_AARCH64_MOVW_PREL_G0, "R_AARCH64_MOVW_PREL_G0", Value::Relative, Target::Bits(&SIGNED[0])),
    rule(R_AARCH64_MOVW_PREL_G0_NC, "R_AARCH64_MOVW_PREL_G0_NC", Value::Relative, Target::Bits(&HALVES[0])),
    rule(R_AARCH64_MOVW_PREL_G1, "R_AARCH64_MOVW_PREL_G1", Value::Relative, Target::Bits(&SIGNED[1])),
    rule(R_AARCH64_MOVW_PREL_G1_NC, "R_AARCH64_MOVW_PREL_G1_NC", Value::Relative, Target::Bits(&HALVES[1])),
    rule(R_AARCH64_MOVW_PREL_G2, "R_AARCH64_MOVW_PREL_G2", Value::Relative, Target::Bits(&SIGNED[2])),
    rule(R_AARCH64_MOVW_PREL_G2_NC, "R_AARCH64_MOVW_PREL_G2_NC", Value::Relative, Target::Bits(&HALVES[2])),
    rule(R_AARCH64_MOVW_PREL_G3, "R_AARCH64_MOVW_PREL_G3", Value::Relative, Target::Bits(&SIGNED[3])),
    call(R_AARCH64_PLT32, "R_AARCH64_PLT32", Target::Signed(4)),
    entry(R_AARCH64_ADR_GOT_PAGE, "R_AARCH64_ADR_GOT_PAGE", Value::RelativePage, Target::Bits(&PAGE21)),
    entry(R_AARCH64_LD64_GOT_LO12_NC, "R_AARCH64_LD64_GOT_LO12_NC", Value::Absolute, Target::Bits(&LOW12[3])),
    entry(R_AARCH64_GOT_LD_PREL19, "R_AARCH64_GOT_LD_PREL19", Value::Relative, Target::Bits(&BRANCH19)),
    got(Meaning::Entry, rule(R_AARCH64_GOTPCREL32, "R_AARCH64_GOTPCREL32", Value::Relative, Target::Signed(4))),
    rule(R_AARCH64_NULL, "R_AARCH64_NULL", Value::Nothing, Target::Nothing),
    rule(R_AARCH64_NONE, "R_AARCH64_NONE", Value::Nothing, Target::Nothing),
];

/// A row of a type whose instruction reads the GOT.
const fn entry(number: u32, name: &'static str, value: Value, target: Target) -> RelocationRule {
    got(Meaning::EntryOfSum, rule(number, name, value, target))
}
