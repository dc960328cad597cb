//! Relocations of riscv that occur in modules (psABI 1.0, section 8.4; `arch/riscv/kernel/module.c`).

use execmem_types::ByteOrder;
use object::elf::{
    EF_RISCV_FLOAT_ABI, EF_RISCV_RVC, EF_RISCV_TSO, EM_RISCV, R_RISCV_32, R_RISCV_32_PCREL, R_RISCV_64, R_RISCV_ADD8,
    R_RISCV_ADD16, R_RISCV_ADD32, R_RISCV_ADD64, R_RISCV_BRANCH, R_RISCV_CALL, R_RISCV_CALL_PLT, R_RISCV_GOT_HI20,
    R_RISCV_GOT32_PCREL, R_RISCV_HI20, R_RISCV_JAL, R_RISCV_LO12_I, R_RISCV_LO12_S, R_RISCV_NONE, R_RISCV_PCREL_HI20,
    R_RISCV_PCREL_LO12_I, R_RISCV_PCREL_LO12_S, R_RISCV_PLT32, R_RISCV_RELAX, R_RISCV_RVC_BRANCH, R_RISCV_RVC_JUMP,
    R_RISCV_SET_ULEB128, R_RISCV_SET6, R_RISCV_SET8, R_RISCV_SET16, R_RISCV_SET32, R_RISCV_SUB_ULEB128, R_RISCV_SUB6,
    R_RISCV_SUB8, R_RISCV_SUB16, R_RISCV_SUB32, R_RISCV_SUB64,
};

use super::rules::{Bits, MachineRules, Meaning, Piece, RelocationRule, Target, Value, call, got, piece, rule};

pub(super) const MACHINE: MachineRules = MachineRules {
    number: EM_RISCV,
    is_64_bit: true,
    order: ByteOrder::Little,
    // Which registers pass floating-point numbers is between the functions; 16 registers (RVE) is another machine.
    flags: EF_RISCV_RVC | EF_RISCV_FLOAT_ABI | EF_RISCV_TSO,
    relocations: RULES,
    page_end: None,
};

/// The upper 20 bits, rounded for a signed low part.
const HIGH: Piece = Piece { bias: 0x800, from: 12, count: 20, to: 12 };

static U_TYPE: Bits = Bits::signed(4, 32, 1, &[HIGH]);
static I_TYPE: Bits = Bits::any(4, 1, &[piece(0, 12, 20)]);
static S_TYPE: Bits = Bits::any(4, 1, &[piece(0, 5, 7), piece(5, 7, 25)]);
static B_TYPE: Bits = Bits::signed(4, 13, 2, &[piece(1, 4, 8), piece(5, 6, 25), piece(11, 1, 7), piece(12, 1, 31)]);
static J_TYPE: Bits = Bits::signed(4, 21, 2, &[piece(1, 10, 21), piece(11, 1, 20), piece(12, 8, 12), piece(20, 1, 31)]);
/// `auipc`, and `jalr` behind it.
static PAIR: Bits = Bits::signed(8, 32, 1, &[HIGH, piece(0, 12, 52)]);
static COMPRESSED_BRANCH: Bits =
    Bits::signed(2, 9, 2, &[piece(1, 2, 3), piece(3, 2, 10), piece(5, 1, 2), piece(6, 2, 5), piece(8, 1, 12)]);
static COMPRESSED_JUMP: Bits = Bits::signed(
    2,
    12,
    2,
    &[
        piece(1, 3, 3),
        piece(4, 1, 11),
        piece(5, 1, 2),
        piece(6, 1, 7),
        piece(7, 1, 6),
        piece(8, 2, 9),
        piece(10, 1, 8),
        piece(11, 1, 12),
    ],
);

/// Six bits, the others stay.
static SIX: Bits = Bits::any(1, 1, &[piece(0, 6, 0)]);

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
    rule(R_RISCV_32_PCREL, "R_RISCV_32_PCREL", Value::Relative, Target::Signed(4)),
    rule(R_RISCV_BRANCH, "R_RISCV_BRANCH", Value::Relative, Target::Bits(&B_TYPE)),
    rule(R_RISCV_JAL, "R_RISCV_JAL", Value::Relative, Target::Bits(&J_TYPE)),
    rule(R_RISCV_RVC_BRANCH, "R_RISCV_RVC_BRANCH", Value::Relative, Target::Bits(&COMPRESSED_BRANCH)),
    rule(R_RISCV_RVC_JUMP, "R_RISCV_RVC_JUMP", Value::Relative, Target::Bits(&COMPRESSED_JUMP)),
    rule(R_RISCV_HI20, "R_RISCV_HI20", Value::Absolute, Target::Bits(&U_TYPE)),
    rule(R_RISCV_LO12_I, "R_RISCV_LO12_I", Value::Absolute, Target::Bits(&I_TYPE)),
    rule(R_RISCV_LO12_S, "R_RISCV_LO12_S", Value::Absolute, Target::Bits(&S_TYPE)),
    rule(R_RISCV_SET6, "R_RISCV_SET6", Value::Absolute, Target::Bits(&SIX)),
    rule(R_RISCV_SUB6, "R_RISCV_SUB6", Value::Subtract, Target::Bits(&SIX)),
    rule(R_RISCV_SET_ULEB128, "R_RISCV_SET_ULEB128", Value::Difference, Target::Uleb128),
    rule(R_RISCV_SUB_ULEB128, "R_RISCV_SUB_ULEB128", Value::Subtrahend, Target::Nothing),
    call(R_RISCV_PLT32, "R_RISCV_PLT32", Target::Signed(4)),
    got(Meaning::Entry, rule(R_RISCV_GOT_HI20, "R_RISCV_GOT_HI20", Value::High, Target::Bits(&U_TYPE))),
    got(Meaning::Entry, rule(R_RISCV_GOT32_PCREL, "R_RISCV_GOT32_PCREL", Value::Relative, Target::Signed(4))),
    // Instructions may be shortened here; they are not.
    rule(R_RISCV_RELAX, "R_RISCV_RELAX", Value::Nothing, Target::Nothing),
    rule(R_RISCV_NONE, "R_RISCV_NONE", Value::Nothing, Target::Nothing),
];
