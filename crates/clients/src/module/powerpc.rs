//! Relocations of 32-bit powerpc that occur in modules (System V ABI, PowerPC Processor Supplement, 4: Relocation;
//! `arch/powerpc/kernel/module_32.c`).

use execmem_types::ByteOrder;
use object::elf::{
    EM_PPC, R_PPC_ADDR14, R_PPC_ADDR16, R_PPC_ADDR16_HA, R_PPC_ADDR16_HI, R_PPC_ADDR16_LO, R_PPC_ADDR24, R_PPC_ADDR32,
    R_PPC_LOCAL24PC, R_PPC_NONE, R_PPC_PLTREL24, R_PPC_REL14, R_PPC_REL16, R_PPC_REL16_HA, R_PPC_REL16_HI,
    R_PPC_REL16_LO, R_PPC_REL24, R_PPC_REL32, R_PPC_UADDR16, R_PPC_UADDR32,
};

use super::rules::{Bits, MachineRules, Piece, RelocationRule, Target, Value, call, piece, rule};

/// Flags that say where an object came from (embedded ABI), and that it can be relocated, with or without a library.
const FLAGS: u32 = 0x8001_8000;

pub(super) const MACHINE: MachineRules = MachineRules {
    number: EM_PPC,
    is_64_bit: false,
    order: ByteOrder::Big,
    flags: FLAGS,
    relocations: RULES,
    page_end: None,
};

static BRANCH24: Bits = Bits::signed(4, 26, 4, &[piece(2, 24, 2)]);
static BRANCH14: Bits = Bits::signed(4, 16, 4, &[piece(2, 14, 2)]);
static LOW: Bits = half(&[piece(0, 16, 0)]);
static HIGH: Bits = half(&[piece(16, 16, 0)]);
/// The upper half, rounded for a signed low one.
static HIGH_ADJUSTED: Bits = half(&[Piece { bias: 0x8000, from: 16, count: 16, to: 0 }]);

/// Half of an instruction with half of an address.
const fn half(pieces: &'static [Piece]) -> Bits {
    Bits::any(2, 1, pieces)
}

const RULES: &[RelocationRule] = &[
    call(R_PPC_REL24, "R_PPC_REL24", Target::Bits(&BRANCH24)),
    rule(R_PPC_ADDR16_HA, "R_PPC_ADDR16_HA", Value::Absolute, Target::Bits(&HIGH_ADJUSTED)),
    rule(R_PPC_ADDR16_LO, "R_PPC_ADDR16_LO", Value::Absolute, Target::Bits(&LOW)),
    rule(R_PPC_ADDR32, "R_PPC_ADDR32", Value::Absolute, Target::Either(4)),
    rule(R_PPC_REL32, "R_PPC_REL32", Value::Relative, Target::Either(4)),
    rule(R_PPC_ADDR16_HI, "R_PPC_ADDR16_HI", Value::Absolute, Target::Bits(&HIGH)),
    // A call within the object: no other function of that name takes its place.
    call(R_PPC_LOCAL24PC, "R_PPC_LOCAL24PC", Target::Bits(&BRANCH24)),
    // The addend tells a linker which table of addresses r30 points to.
    RelocationRule {
        value: Value::RelativeToSymbol,
        ..call(R_PPC_PLTREL24, "R_PPC_PLTREL24", Target::Bits(&BRANCH24))
    },
    rule(R_PPC_REL14, "R_PPC_REL14", Value::Relative, Target::Bits(&BRANCH14)),
    rule(R_PPC_REL16, "R_PPC_REL16", Value::Relative, Target::Signed(2)),
    rule(R_PPC_REL16_LO, "R_PPC_REL16_LO", Value::Relative, Target::Bits(&LOW)),
    rule(R_PPC_REL16_HI, "R_PPC_REL16_HI", Value::Relative, Target::Bits(&HIGH)),
    rule(R_PPC_REL16_HA, "R_PPC_REL16_HA", Value::Relative, Target::Bits(&HIGH_ADJUSTED)),
    rule(R_PPC_ADDR24, "R_PPC_ADDR24", Value::Absolute, Target::Bits(&BRANCH24)),
    rule(R_PPC_ADDR14, "R_PPC_ADDR14", Value::Absolute, Target::Bits(&BRANCH14)),
    rule(R_PPC_ADDR16, "R_PPC_ADDR16", Value::Absolute, Target::Either(2)),
    rule(R_PPC_UADDR32, "R_PPC_UADDR32", Value::Absolute, Target::Either(4)),
    rule(R_PPC_UADDR16, "R_PPC_UADDR16", Value::Absolute, Target::Either(2)),
    rule(R_PPC_NONE, "R_PPC_NONE", Value::Nothing, Target::Nothing),
];
