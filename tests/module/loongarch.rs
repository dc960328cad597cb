//! Relocations of LoongArch: what the instructions compute, decoded as its manual says.

use execmem_arch_others::loongarch::{LOONGARCH, LOONGARCH_4K};
use execmem_clients::Error;
use execmem_clients::module::Loader;
use execmem_tests::rig::Rig;
use object::elf::{
    R_LARCH_32_PCREL, R_LARCH_64, R_LARCH_ADD6, R_LARCH_ADD32, R_LARCH_B16, R_LARCH_B21, R_LARCH_B26, R_LARCH_CALL36,
    R_LARCH_GOT_PC_HI20, R_LARCH_GOT_PC_LO12, R_LARCH_PCALA_HI20, R_LARCH_PCALA_LO12, R_LARCH_SUB6, R_LARCH_SUB32,
};
use object::{Architecture, Endianness, SectionKind};

use super::objects::{Builder, granted};

const BL: u32 = 0x5400_0000;
const PCALAU12I: u32 = 0x1a00_0004;
const ADDI_D: u32 = 0x02c0_0084;
const LD_D: u32 = 0x28c0_0084;
const PCADDU18I: u32 = 0x1e00_000d;
const JIRL: u32 = 0x4c00_01a0;
const BNEZ: u32 = 0x4400_0080;
const BEQ: u32 = 0x5800_0085;

fn word(engine: &Rig, address: u64) -> u32 {
    let mut bytes = [0; 4];
    engine.sim.read(address, &mut bytes).expect("mapped");
    u32::from_le_bytes(bytes)
}

/// Bits of an instruction, as a number with a sign.
fn signed(instruction: u32, from: u32, bits: u32) -> i64 {
    let field = i64::from(instruction >> from) & ((1 << bits) - 1);
    field << (64 - bits) >> (64 - bits)
}

/// The address that a pair at the distance of a page and a signed low part computes.
fn page_pair(engine: &Rig, address: u64) -> u64 {
    let (high, low) = (word(engine, address), word(engine, address + 4));
    (address & !0xfff).wrapping_add_signed((signed(high, 5, 20) << 12) + signed(low, 10, 12))
}

/// Where BL leads to: the lower 16 bits of the distance in words stand above the upper ten.
fn call(engine: &Rig, address: u64) -> u64 {
    let instruction = word(engine, address);
    assert_eq!(instruction >> 26, BL >> 26, "{instruction:#x}");
    let words = i64::from(instruction >> 10 & 0xffff) | signed(instruction, 0, 10) << 16;
    address.wrapping_add_signed(words << 2)
}

/// A module with every sort of reference, to itself and to `outer`.
fn module() -> Vec<u8> {
    let mut module = Builder::of(Architecture::LoongArch64, Endianness::Little);
    let (text, data) = (module.text, module.section(".data", SectionKind::Data));
    let outer = module.symbol("outer");
    let words = [BL, PCALAU12I, ADDI_D, PCALAU12I, LD_D, PCADDU18I, JIRL, BNEZ, BEQ, 0x0340_0000];
    let code = module.define("code", text, &words.map(u32::to_le_bytes).concat(), 16);
    let value = module.define("value", data, &[0; 0x1900], 8);
    // Where the low part is negative.
    let (entry, far) = (0, 0x1888);
    for (offset, symbol, addend, r_type) in [
        (0, outer, 0, R_LARCH_B26),
        (4, value, far, R_LARCH_PCALA_HI20),
        (8, value, far, R_LARCH_PCALA_LO12),
        (12, outer, entry, R_LARCH_GOT_PC_HI20),
        (16, outer, entry, R_LARCH_GOT_PC_LO12),
        (20, code, -0x40, R_LARCH_CALL36),
        (28, code, -0x7000, R_LARCH_B21),
        (32, code, 0x7000, R_LARCH_B16),
    ] {
        module.relocate(text, offset, symbol, addend, r_type);
    }
    for (offset, symbol, addend, r_type) in [
        (0, outer, 3, R_LARCH_64),
        (8, code, 0, R_LARCH_32_PCREL),
        (12, code, 36, R_LARCH_ADD32),
        (12, code, 4, R_LARCH_SUB32),
        (16, code, 9, R_LARCH_ADD6),
        (16, code, 2, R_LARCH_SUB6),
    ] {
        module.relocate(data, offset, symbol, addend, r_type);
    }
    module.write()
}

#[test]
fn modules_of_loongarch_refer_to_what_they_should_on_both_page_sizes() {
    for table in [LOONGARCH, LOONGARCH_4K] {
        let engine = Rig::new(table);
        // In the direct-mapped window, where a kernel is.
        let outer = 0x9000_0000_0123_4560;
        let coming = Loader::new(&engine)
            .and_then(|loader| loader.load(&module(), &|_: &str| Some(outer)))
            .unwrap_or_else(|error| panic!("{error}"));
        let [code, value] = ["code", "value"].map(|name| coming.names().symbol(name).expect(name));
        let veneer = call(&engine, code);
        let mut there = [0; 32];
        engine.sim.fetch(veneer, &mut there).expect("published");
        let veneers = table.machine().instructions.veneers;
        assert!(veneers.iter().any(|sequence| sequence.decode(veneer, &there) == Some(outer)), "{there:x?}");
        assert_eq!(page_pair(&engine, code + 4), value + 0x1888);
        let entry = page_pair(&engine, code + 12);
        assert_eq!(word(&engine, entry), 0x0123_4560);
        assert_eq!(word(&engine, entry + 4), 0x9000_0000);
        let (high, low) = (word(&engine, code + 20), word(&engine, code + 24));
        let distance = (signed(high, 5, 20) << 18) + (signed(low, 10, 16) << 2);
        assert_eq!((code + 20).wrapping_add_signed(distance), code - 0x40);
        let bnez = word(&engine, code + 28);
        let words = i64::from(bnez >> 10 & 0xffff) | signed(bnez, 0, 5) << 16;
        assert_eq!((code + 28).wrapping_add_signed(words << 2), code - 0x7000);
        assert_eq!((bnez >> 5 & 31, word(&engine, code + 32) & 0x3ff), (4, BEQ & 0x3ff), "registers stay");
        assert_eq!((code + 32).wrapping_add_signed(signed(word(&engine, code + 32), 10, 16) << 2), code + 0x7000);
        assert_eq!((word(&engine, value), word(&engine, value + 4)), (0x0123_4563, 0x9000_0000));
        assert_eq!((value + 8).wrapping_add_signed(word(&engine, value + 8).cast_signed().into()), code);
        assert_eq!((word(&engine, value + 12), word(&engine, value + 16) & 63), (32, 7));
        coming.unload();
        assert_eq!(granted(&engine), 0);
    }
}

#[test]
fn what_loongarch_cannot_reach_is_refused() {
    let engine = Rig::new(LOONGARCH_4K);
    for (addend, fits) in [(0x1_fffc, true), (0x2_0000, false), (-0x2_0000, true), (-0x2_0004, false), (2, false)] {
        let mut module = Builder::of(Architecture::LoongArch64, Endianness::Little);
        let text = module.text;
        let code = module.define("code", text, &BEQ.to_le_bytes(), 16);
        module.relocate(text, 0, code, addend, R_LARCH_B16);
        let outcome = Loader::new(&engine).and_then(|loader| loader.load(&module.write(), &|_: &str| None));
        match outcome {
            Ok(coming) => {
                assert!(fits, "{addend:#x}");
                coming.unload();
            }
            Err(error) => assert!(!fits && matches!(error, Error::OutOfReach { .. }), "{addend:#x}: {error}"),
        }
    }
    assert_eq!(granted(&engine), 0);
}
