//! Relocations of riscv that occur in modules (psABI 1.0, section 8.4; `arch/riscv/kernel/module.c`).

use object::elf::{
    EM_RISCV, R_RISCV_32, R_RISCV_32_PCREL, R_RISCV_64, R_RISCV_ADD8, R_RISCV_ADD16, R_RISCV_ADD32, R_RISCV_ADD64,
    R_RISCV_BRANCH, R_RISCV_CALL, R_RISCV_CALL_PLT, R_RISCV_HI20, R_RISCV_JAL, R_RISCV_LO12_I, R_RISCV_LO12_S,
    R_RISCV_NONE, R_RISCV_PCREL_HI20, R_RISCV_PCREL_LO12_I, R_RISCV_PCREL_LO12_S, R_RISCV_RELAX, R_RISCV_RVC_BRANCH,
    R_RISCV_RVC_JUMP, R_RISCV_SET8, R_RISCV_SET16, R_RISCV_SET32, R_RISCV_SUB8, R_RISCV_SUB16, R_RISCV_SUB32,
    R_RISCV_SUB64,
};

use super::rules::{Bits, MachineRules, Piece, RelocationRule, Target, Value, call, piece, rule};

pub(super) const MACHINE: MachineRules = MachineRules { number: EM_RISCV, relocations: RULES, address_bits: 64 };

/// The upper 20 bits, rounded for a signed low part.
const HIGH: Piece = Piece { bias: 0x800, from: 12, count: 20, to: 12 };

const fn word(signed_bits: u8, multiple_of: u8, pieces: &'static [Piece]) -> Bits {
    Bits { bytes: 4, signed_bits, multiple_of, pieces }
}

static U_TYPE: Bits = word(32, 1, &[HIGH]);
static I_TYPE: Bits = word(64, 1, &[piece(0, 12, 20)]);
static S_TYPE: Bits = word(64, 1, &[piece(0, 5, 7), piece(5, 7, 25)]);
static B_TYPE: Bits = word(13, 2, &[piece(1, 4, 8), piece(5, 6, 25), piece(11, 1, 7), piece(12, 1, 31)]);
static J_TYPE: Bits = word(21, 2, &[piece(1, 10, 21), piece(11, 1, 20), piece(12, 8, 12), piece(20, 1, 31)]);
/// `auipc`, and `jalr` behind it.
static PAIR: Bits = Bits { bytes: 8, signed_bits: 32, multiple_of: 1, pieces: &[HIGH, piece(0, 12, 52)] };
static COMPRESSED_BRANCH: Bits = Bits {
    bytes: 2,
    signed_bits: 9,
    multiple_of: 2,
    pieces: &[piece(1, 2, 3), piece(3, 2, 10), piece(5, 1, 2), piece(6, 2, 5), piece(8, 1, 12)],
};
static COMPRESSED_JUMP: Bits = Bits {
    bytes: 2,
    signed_bits: 12,
    multiple_of: 2,
    pieces: &[
        piece(1, 3, 3),
        piece(4, 1, 11),
        piece(5, 1, 2),
        piece(6, 1, 7),
        piece(7, 1, 6),
        piece(8, 2, 9),
        piece(10, 1, 8),
        piece(11, 1, 12),
    ],
};

const RULES: &[RelocationRule] = &[
    call(R_RISCV_CALL_PLT, "R_RISCV_CALL_PLT", Target::Bits(&PAIR)),
    call(R_RISCV_CALL, "R_RISCV_CALL", Target::Bits(&PAIR)),
    rule(R_RISCV_64, "R_RISCV_64", Value::Absolute, Target::Word64),
    rule(R_RISCV_PCREL_HI20, "R_RISCV_PCREL_HI20", Value::High, Target::Bits(&U_TYPE)),
    rule(R_RISCV_PCREL_LO12_I, "R_RISCV_PCREL_LO12_I", Value::Low, Target::Bits(&I_TYPE)),
    rule(R_RISCV_PCREL_LO12_S, "R_RISCV_PCREL_LO12_S", Value::Low, Target::Bits(&S_TYPE)),
    rule(R_RISCV_ADD32, "R_RISCV_ADD32", Value::Add, Target::Wrapping(4)),
    rule(R_RISCV_SUB32, "R_RISCV_SUB32", Value::Subtract, Target::Wrapping(4)),
    rule(R_RISCV_ADD64, "R_RISCV_ADD64", Value::Add, Target::Wrapping(8)),
    rule(R_RISCV_SUB64, "R_RISCV_SUB64", Value::Subtract, Target::Wrapping(8)),
    rule(R_RISCV_ADD16, "R_RISCV_ADD16", Value::Add, Target::Wrapping(2)),
    rule(R_RISCV_SUB16, "R_RISCV_SUB16", Value::Subtract, Target::Wrapping(2)),
    rule(R_RISCV_ADD8, "R_RISCV_ADD8", Value::Add, Target::Wrapping(1)),
    rule(R_RISCV_SUB8, "R_RISCV_SUB8", Value::Subtract, Target::Wrapping(1)),
    rule(R_RISCV_SET8, "R_RISCV_SET8", Value::Absolute, Target::Wrapping(1)),
    rule(R_RISCV_SET16, "R_RISCV_SET16", Value::Absolute, Target::Wrapping(2)),
    rule(R_RISCV_SET32, "R_RISCV_SET32", Value::Absolute, Target::Wrapping(4)),
    rule(R_RISCV_32, "R_RISCV_32", Value::Absolute, Target::Either(4)),
    rule(R_RISCV_32_PCREL, "R_RISCV_32_PCREL", Value::Relative, Target::Signed32),
    rule(R_RISCV_BRANCH, "R_RISCV_BRANCH", Value::Relative, Target::Bits(&B_TYPE)),
    rule(R_RISCV_JAL, "R_RISCV_JAL", Value::Relative, Target::Bits(&J_TYPE)),
    rule(R_RISCV_RVC_BRANCH, "R_RISCV_RVC_BRANCH", Value::Relative, Target::Bits(&COMPRESSED_BRANCH)),
    rule(R_RISCV_RVC_JUMP, "R_RISCV_RVC_JUMP", Value::Relative, Target::Bits(&COMPRESSED_JUMP)),
    rule(R_RISCV_HI20, "R_RISCV_HI20", Value::Absolute, Target::Bits(&U_TYPE)),
    rule(R_RISCV_LO12_I, "R_RISCV_LO12_I", Value::Absolute, Target::Bits(&I_TYPE)),
    rule(R_RISCV_LO12_S, "R_RISCV_LO12_S", Value::Absolute, Target::Bits(&S_TYPE)),
    // Instructions may be shortened here; they are not.
    rule(R_RISCV_RELAX, "R_RISCV_RELAX", Value::Nothing, Target::Nothing),
    rule(R_RISCV_NONE, "R_RISCV_NONE", Value::Nothing, Target::Nothing),
];
