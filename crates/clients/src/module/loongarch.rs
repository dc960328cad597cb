//! Relocations of LoongArch with 64 bits that occur in modules (ELF psABI for LoongArch 2.30, 2: Relocations;
//! `arch/loongarch/kernel/module.c`). Those of the first psABI, which compute on a stack, are not known.

use execmem_types::ByteOrder;
use object::elf::{
    EF_LARCH_ABI_MODIFIER_MASK, EF_LARCH_OBJABI_V1, EM_LOONGARCH, R_LARCH_32, R_LARCH_32_PCREL, R_LARCH_64,
    R_LARCH_64_PCREL, R_LARCH_ABS_HI20, R_LARCH_ABS_LO12, R_LARCH_ABS64_HI12, R_LARCH_ABS64_LO20, R_LARCH_ADD_ULEB128,
    R_LARCH_ADD6, R_LARCH_ADD8, R_LARCH_ADD16, R_LARCH_ADD32, R_LARCH_ADD64, R_LARCH_B16, R_LARCH_B21, R_LARCH_B26,
    R_LARCH_CALL36, R_LARCH_GOT_PC_HI20, R_LARCH_GOT_PC_LO12, R_LARCH_MARK_LA, R_LARCH_MARK_PCREL, R_LARCH_NONE,
    R_LARCH_PCALA_HI20, R_LARCH_PCALA_LO12, R_LARCH_PCREL20_S2, R_LARCH_RELAX, R_LARCH_SUB_ULEB128, R_LARCH_SUB6,
    R_LARCH_SUB8, R_LARCH_SUB16, R_LARCH_SUB32, R_LARCH_SUB64,
};

use super::rules::{Bits, MachineRules, Meaning, Piece, RelocationRule, Target, Value, call, got, piece, rule};

pub(super) const MACHINE: MachineRules = MachineRules {
    number: EM_LOONGARCH,
    is_64_bit: true,
    order: ByteOrder::Little,
    // Which registers pass floating-point numbers is between the functions.
    flags: EF_LARCH_ABI_MODIFIER_MASK | EF_LARCH_OBJABI_V1,
    relocations: RULES,
    page_end: None,
};

static BRANCH16: Bits = Bits::signed(4, 18, 4, &[piece(2, 16, 10)]);
static BRANCH21: Bits = Bits::signed(4, 23, 4, &[piece(2, 16, 10), piece(18, 5, 0)]);
static BRANCH26: Bits = Bits::signed(4, 28, 4, &[piece(2, 16, 10), piece(18, 10, 0)]);
/// `pcaddu18i`, and `jirl` behind it.
static PAIR: Bits = Bits::signed(8, 38, 4, &[Piece { bias: 0x2_0000, from: 18, count: 20, to: 5 }, piece(2, 16, 42)]);
static WORDS20: Bits = Bits::signed(4, 22, 4, &[piece(2, 20, 5)]);
/// The distance to a page, rounded for a signed low part.
static PAGE20: Bits = Bits::signed(4, 32, 1, &[Piece { bias: 0x800, from: 12, count: 20, to: 5 }]);
static LOW12: Bits = Bits::any(4, 1, &[piece(0, 12, 10)]);
/// Parts of an address of 64 bits.
static HIGH20: Bits = Bits::any(4, 1, &[piece(12, 20, 5)]);
static HIGHER20: Bits = Bits::any(4, 1, &[piece(32, 20, 5)]);
static HIGHEST12: Bits = Bits::any(4, 1, &[piece(52, 12, 10)]);
/// Six bits, the others stay.
static SIX: Bits = Bits::any(1, 1, &[piece(0, 6, 0)]);

const RULES: &[RelocationRule] = &[
    call(R_LARCH_B26, "R_LARCH_B26", Target::Bits(&BRANCH26)),
    rule(R_LARCH_PCALA_HI20, "R_LARCH_PCALA_HI20", Value::RelativeToPage, Target::Bits(&PAGE20)),
    rule(R_LARCH_PCALA_LO12, "R_LARCH_PCALA_LO12", Value::Absolute, Target::Bits(&LOW12)),
    entry(R_LARCH_GOT_PC_HI20, "R_LARCH_GOT_PC_HI20", Value::RelativeToPage, Target::Bits(&PAGE20)),
    entry(R_LARCH_GOT_PC_LO12, "R_LARCH_GOT_PC_LO12", Value::Absolute, Target::Bits(&LOW12)),
    rule(R_LARCH_64, "R_LARCH_64", Value::Absolute, Target::Word64),
    rule(R_LARCH_32, "R_LARCH_32", Value::Absolute, Target::Either(4)),
    rule(R_LARCH_32_PCREL, "R_LARCH_32_PCREL", Value::Relative, Target::Signed(4)),
    rule(R_LARCH_64_PCREL, "R_LARCH_64_PCREL", Value::Relative, Target::Word64),
    rule(R_LARCH_ADD32, "R_LARCH_ADD32", Value::Add, Target::Wrapping(4)),
    rule(R_LARCH_SUB32, "R_LARCH_SUB32", Value::Subtract, Target::Wrapping(4)),
    rule(R_LARCH_ADD64, "R_LARCH_ADD64", Value::Add, Target::Wrapping(8)),
    rule(R_LARCH_SUB64, "R_LARCH_SUB64", Value::Subtract, Target::Wrapping(8)),
    rule(R_LARCH_ADD16, "R_LARCH_ADD16", Value::Add, Target::Wrapping(2)),
    rule(R_LARCH_SUB16, "R_LARCH_SUB16", Value::Subtract, Target::Wrapping(2)),
    rule(R_LARCH_ADD8, "R_LARCH_ADD8", Value::Add, Target::Wrapping(1)),
    rule(R_LARCH_SUB8, "R_LARCH_SUB8", Value::Subtract, Target::Wrapping(1)),
    rule(R_LARCH_ADD6, "R_LARCH_ADD6", Value::Add, Target::Bits(&SIX)),
    rule(R_LARCH_SUB6, "R_LARCH_SUB6", Value::Subtract, Target::Bits(&SIX)),
    rule(R_LARCH_ADD_ULEB128, "R_LARCH_ADD_ULEB128", Value::Difference, Target::Uleb128),
    rule(R_LARCH_SUB_ULEB128, "R_LARCH_SUB_ULEB128", Value::Subtrahend, Target::Nothing),
    rule(R_LARCH_B16, "R_LARCH_B16", Value::Relative, Target::Bits(&BRANCH16)),
    rule(R_LARCH_B21, "R_LARCH_B21", Value::Relative, Target::Bits(&BRANCH21)),
    call(R_LARCH_CALL36, "R_LARCH_CALL36", Target::Bits(&PAIR)),
    rule(R_LARCH_PCREL20_S2, "R_LARCH_PCREL20_S2", Value::Relative, Target::Bits(&WORDS20)),
    rule(R_LARCH_ABS_HI20, "R_LARCH_ABS_HI20", Value::Absolute, Target::Bits(&HIGH20)),
    rule(R_LARCH_ABS_LO12, "R_LARCH_ABS_LO12", Value::Absolute, Target::Bits(&LOW12)),
    rule(R_LARCH_ABS64_LO20, "R_LARCH_ABS64_LO20", Value::Absolute, Target::Bits(&HIGHER20)),
    rule(R_LARCH_ABS64_HI12, "R_LARCH_ABS64_HI12", Value::Absolute, Target::Bits(&HIGHEST12)),
    // Instructions may be shortened here; they are not.
    rule(R_LARCH_RELAX, "R_LARCH_RELAX", Value::Nothing, Target::Nothing),
    rule(R_LARCH_MARK_LA, "R_LARCH_MARK_LA", Value::Nothing, Target::Nothing),
    rule(R_LARCH_MARK_PCREL, "R_LARCH_MARK_PCREL", Value::Nothing, Target::Nothing),
    rule(R_LARCH_NONE, "R_LARCH_NONE", Value::Nothing, Target::Nothing),
];

/// A row of a type whose instruction reads the GOT.
const fn entry(number: u32, name: &'static str, value: Value, target: Target) -> RelocationRule {
    got(Meaning::Entry, rule(number, name, value, target))
}
