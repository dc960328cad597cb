//! Relocations that assemblers at hand do not make, on the tables of their own machines; what a linker does not do as the
//! kernel does; where symbols lie.

use execmem::Table;
use execmem_arch_arm64::{ARM64_4K, ARM64_16K, ARM64_64K};
use execmem_arch_riscv::RISCV64;
use execmem_arch_x86::TABLE;
use execmem_clients::Error;
use execmem_tests::rig::Rig;
use object::elf::{
    R_AARCH64_ADR_GOT_PAGE, R_AARCH64_ADR_PREL_PG_HI21, R_AARCH64_LD64_GOT_LO12_NC, R_AARCH64_PLT32, R_AARCH64_PREL16,
    R_AARCH64_PREL32, R_RISCV_GOT_HI20, R_RISCV_PCREL_LO12_I, R_RISCV_PLT32, R_RISCV_SET_ULEB128, R_RISCV_SUB_ULEB128,
    R_X86_64_64, R_X86_64_GOTPCREL, R_X86_64_REX_GOTPCRELX,
};
use object::{Architecture, Endianness, SectionKind};

use super::objects::{Builder, Loaded, granted, load, load_at};

const ADRP_X1: u32 = 0x9000_0001;

fn arm64() -> Builder {
    Builder::of(Architecture::Aarch64, Endianness::Little)
}

fn riscv() -> Builder {
    Builder::of(Architecture::Riscv64, Endianness::Little)
}

fn anchor(table: &Table) -> u64 {
    table.machine().anchor.expect("a kernel").start()
}

fn symbol(coming: &Loaded<'_>, name: &str) -> u64 {
    coming.names().symbol(name).unwrap_or_else(|| panic!("no symbol {name}"))
}

fn bytes<const N: usize>(engine: &Rig, address: u64) -> [u8; N] {
    let mut bytes = [0; N];
    engine.sim.read(address, &mut bytes).expect("mapped");
    bytes
}

fn word(engine: &Rig, address: u64) -> u32 {
    u32::from_le_bytes(bytes(engine, address))
}

/// The low bits of a number, with their sign.
fn signed(value: u32, bits: u32) -> i64 {
    i64::from((value << (32 - bits)).cast_signed() >> (32 - bits))
}

/// What ADRP and ADR at an address compute, and what B leads to.
fn adr(address: u64, instruction: u32) -> u64 {
    let value = signed(instruction >> 5 << 2 & 0x1f_fffc | instruction >> 29 & 3, 21);
    match instruction >> 31 {
        0 => address.wrapping_add_signed(value),
        _ => (address & !0xfff).wrapping_add_signed(value << 12),
    }
}

fn branch(address: u64, instruction: u32) -> u64 {
    assert_eq!(instruction >> 26, 5, "{instruction:#x} is no branch");
    address.wrapping_add_signed(signed(instruction, 26) << 2)
}

#[test]
fn relative_data_of_arm64_is_signed() {
    for (r_type, size, limit) in [(R_AARCH64_PREL32, 4, 1_i64 << 31), (R_AARCH64_PREL16, 2, 1 << 15)] {
        for (distance, fits) in
            [(limit - 1, true), (limit, false), (limit / 2 * 3, false), (-limit, true), (-limit - 1, false)]
        {
            let engine = Rig::new(ARM64_4K);
            let mut module = arm64();
            let section = module.section(".rodata.far", SectionKind::ReadOnlyData);
            module.define("here", section, &vec![0; size], 8);
            let far = module.symbol("far");
            module.relocate(section, 0, far, 0, r_type);
            let data = module.write();
            // Where it will lie, for an engine without anything else.
            let here = load_at(&engine, &with_weak_import(size), 0).map(|coming| {
                let here = symbol(&coming, "here");
                coming.unload();
                here
            });
            let here = here.expect("room");
            let outcome = load_at(&engine, &data, here.wrapping_add_signed(distance));
            assert_eq!(outcome.is_ok(), fits, "{size} bytes, {distance:#x}: {outcome:?}");
            match outcome {
                Ok(coming) => {
                    assert_eq!(symbol(&coming, "here"), here);
                    coming.unload();
                }
                Err(error) => assert!(matches!(error, Error::OutOfReach { .. }), "{error}"),
            }
            assert_eq!(granted(&engine), 0);
        }
    }
}

/// The same object without the relocation.
fn with_weak_import(size: usize) -> Vec<u8> {
    let mut module = arm64();
    let section = module.section(".rodata.far", SectionKind::ReadOnlyData);
    module.define("here", section, &vec![0; size], 8);
    module.write()
}

/// A page and more of ADRP, each for the same symbol.
fn pages(entries: usize) -> Vec<u8> {
    let mut module = arm64();
    let text = module.text;
    module.define("code", text, &ADRP_X1.to_le_bytes().repeat(entries), 4096);
    let far = module.symbol("far");
    for offset in (0..entries as u64 * 4).step_by(4) {
        module.relocate(text, offset, far, 0x123, R_AARCH64_ADR_PREL_PG_HI21);
    }
    module.write()
}

#[test]
fn adrp_does_not_stand_at_the_end_of_a_page() {
    const ENTRIES: usize = 3000;
    for table in [ARM64_4K, ARM64_16K, ARM64_64K] {
        let engine = Rig::new(table);
        let start = load_at(&engine, &pages(ENTRIES), anchor(&table)).map(|coming| {
            let start = symbol(&coming, "code");
            coming.unload();
            start
        });
        let start = start.expect("a module");
        // Near enough for ADR, and not.
        for far in [start + 0x8_0000, start - 0x8_0000, anchor(&table)] {
            let coming = load_at(&engine, &pages(ENTRIES), far).expect("a module");
            let code = symbol(&coming, "code");
            let wanted = (far + 0x123) & !0xfff;
            for place in (code..code + ENTRIES as u64 * 4).step_by(4) {
                let instruction = word(&engine, place);
                let is_end = place & 0xfff >= 0xff8;
                if instruction & 0x1f00_0000 == 0x1000_0000 {
                    assert_eq!(adr(place, instruction), wanted);
                    assert!(!is_end || instruction >> 31 == 0, "ADRP at {place:#x}");
                    continue;
                }
                assert!(is_end && far.abs_diff(place) > 0xf_0000, "{place:#x}: {instruction:#x}");
                let detour = branch(place, instruction);
                assert!(detour & 0xfff < 0xff8 && !(code..code + ENTRIES as u64 * 4).contains(&detour));
                assert_eq!(adr(detour, word(&engine, detour)), wanted);
                assert_eq!(word(&engine, detour) & 0x9f00_001f, ADRP_X1, "the same register");
                assert_eq!(branch(detour + 4, word(&engine, detour + 4)), place + 4);
            }
            coming.unload();
        }
        assert_eq!(granted(&engine), 0);
        engine.audit().expect("audit");
    }
}

#[test]
fn addresses_are_read_from_a_table_on_x86() {
    let engine = Rig::new(TABLE);
    let mut module = Builder::new();
    let (text, outer) = (module.text, module.symbol("outer"));
    // mov rax, [rip + outer@GOTPCREL], with and without REX in the type; call [rip + code@GOTPCREL].
    let code = module.define(
        "code",
        text,
        &[0x48, 0x8b, 5, 0, 0, 0, 0, 0x48, 0x8b, 5, 0, 0, 0, 0, 0xff, 0x15, 0, 0, 0, 0],
        16,
    );
    module.relocate(text, 3, outer, -4, R_X86_64_REX_GOTPCRELX);
    module.relocate(text, 10, outer, -4, R_X86_64_GOTPCREL);
    module.relocate(text, 16, code, -4, R_X86_64_GOTPCREL);
    // Out of reach of a call: 8 TiB away.
    let coming = load_at(&engine, &module.write(), 0x0008_0000_1234).expect("a module");
    let code = symbol(&coming, "code");
    let entry = |offset: u64| (code + offset + 4).wrapping_add_signed(signed(word(&engine, code + offset), 32));
    assert_eq!(entry(3), entry(10), "one entry for a symbol");
    assert_ne!(entry(3), entry(16));
    assert_eq!(u64::from_le_bytes(bytes(&engine, entry(3))), 0x0008_0000_1234);
    assert_eq!(u64::from_le_bytes(bytes(&engine, entry(16))), code);
    let found = engine.find(entry(3)).expect("live");
    assert_eq!(found.kind, execmem::Kind::RoData);
    coming.unload();
    assert_eq!(granted(&engine), 0);
}

#[test]
fn addresses_are_read_from_a_table_on_arm64() {
    let engine = Rig::new(ARM64_4K);
    let mut module = arm64();
    let (text, outer) = (module.text, module.symbol("outer"));
    // adrp x1, :got:outer; ldr x1, [x1, :got_lo12:outer]
    module.define("code", text, &[ADRP_X1.to_le_bytes(), 0xf940_0021_u32.to_le_bytes()].concat(), 16);
    module.relocate(text, 0, outer, 0, R_AARCH64_ADR_GOT_PAGE);
    module.relocate(text, 4, outer, 0, R_AARCH64_LD64_GOT_LO12_NC);
    let coming = load_at(&engine, &module.write(), 0x7654_3210).expect("a module");
    let code = symbol(&coming, "code");
    let entry = adr(code, word(&engine, code)) + u64::from(word(&engine, code + 4) >> 10 & 0xfff) * 8;
    assert_eq!(u64::from_le_bytes(bytes(&engine, entry)), 0x7654_3210);
    coming.unload();
}

#[test]
fn addresses_are_read_from_a_table_on_riscv() {
    let engine = Rig::new(RISCV64);
    let mut module = riscv();
    let (text, outer) = (module.text, module.symbol("outer"));
    // auipc a0, %got_pcrel_hi(outer); ld a0, %pcrel_lo(code)(a0)
    let code =
        module.define("code", text, &[0x0000_0517_u32.to_le_bytes(), 0x0005_3503_u32.to_le_bytes()].concat(), 16);
    module.relocate(text, 0, outer, 0, R_RISCV_GOT_HI20);
    module.relocate(text, 4, code, 0, R_RISCV_PCREL_LO12_I);
    let coming = load_at(&engine, &module.write(), 0x7654_3210).expect("a module");
    let code = symbol(&coming, "code");
    let high = i64::from(word(&engine, code).cast_signed() >> 12 << 12);
    let entry = code.wrapping_add_signed(high + i64::from(word(&engine, code + 4).cast_signed() >> 20));
    assert_eq!(u64::from_le_bytes(bytes(&engine, entry)), 0x7654_3210);
    coming.unload();
}

#[test]
fn pairs_of_relocations_write_a_difference_of_seven_bits_a_byte() {
    let load_pair = |first: u64, second: &[(u64, u32)], field: &[u8]| {
        let engine = Rig::new(RISCV64);
        let mut module = riscv();
        let text = module.text;
        let start = module.define("start", text, &[0x13, 0, 0, 0], 4);
        let end = module.define("end", text, &[0x13, 0, 0, 0], 4096);
        let table = module.section(".rodata.lengths", SectionKind::ReadOnlyData);
        module.define("table", table, field, 1);
        module.relocate(table, first, end, 5, R_RISCV_SET_ULEB128);
        second.iter().for_each(|(offset, r_type)| module.relocate(table, *offset, start, 0, *r_type));
        let coming = load_at(&engine, &module.write(), anchor(&RISCV64));
        let found = coming.map(|coming| {
            let found: [u8; 4] = bytes(&engine, symbol(&coming, "table"));
            coming.unload();
            found
        });
        assert_eq!(granted(&engine), 0);
        found
    };
    let pair = [(1, R_RISCV_SUB_ULEB128)];
    // 4096 + 5 is 0x1005: 5, 0x20.
    assert_eq!(load_pair(1, &pair, &[9, 0x80, 0x00, 9]), Ok([9, 0x85, 0x20, 9]));
    assert!(matches!(load_pair(1, &pair, &[9, 0x00, 9, 9]), Err(Error::OutOfReach { .. })), "seven bits are too few");
    let unpaired = |outcome: Result<_, Error>| matches!(outcome, Err(Error::Unpaired { .. }));
    assert!(
        unpaired(load_pair(1, &[], &[9, 0x80, 0x00, 9]))
            && unpaired(load_pair(1, &[(2, R_RISCV_SUB_ULEB128)], &[9, 0x80, 0x00, 9]))
    );
    assert!(matches!(load_pair(1, &pair, &[9, 0x80, 0x80, 0x80]), Err(Error::OutsideSection { .. })), "no end");
}

#[test]
fn distances_to_functions_go_by_way_of_veneers_where_they_must() {
    for (table, mut module, r_type) in [(ARM64_4K, arm64(), R_AARCH64_PLT32), (RISCV64, riscv(), R_RISCV_PLT32)] {
        let engine = Rig::new(table);
        let table_section = module.text;
        module.define("code", table_section, &[0; 8], 8);
        let outer = module.symbol("outer");
        module.relocate(table_section, 4, outer, 0, r_type);
        let (near, data) = (anchor(&table), module.write());
        let target = |imports| {
            let coming = load_at(&engine, &data, imports)?;
            let place = symbol(&coming, "code") + 4;
            let target = place.wrapping_add_signed(signed(word(&engine, place), 32));
            coming.unload();
            Ok::<_, Error>(target)
        };
        assert_eq!(target(near), Ok(near));
        match target(near - (1 << 40)) {
            Ok(veneer) => assert_ne!(veneer, near - (1 << 40)),
            Err(error) => assert!(table.machine().instructions.veneers.is_empty(), "{error}"),
        }
    }
}

#[test]
fn a_symbol_in_an_empty_section_that_is_alone_in_its_kind_has_an_address() {
    let engine = Rig::new(TABLE);
    let mut module = Builder::new();
    let text = module.text;
    module.define("code", text, &[0; 16], 16);
    let empty = module.section(".data", SectionKind::Data);
    let end = module.define("nothing", empty, &[], 8);
    module.relocate(text, 0, end, 0, R_X86_64_64);
    let coming = load(&engine, &module.write()).expect("a module");
    let nothing = symbol(&coming, "nothing");
    assert_eq!(u64::from_le_bytes(bytes(&engine, symbol(&coming, "code"))), nothing);
    assert_eq!(engine.find(nothing).map(|found| found.kind), Some(execmem::Kind::Data), "nobody else's memory");
    coming.unload();
    assert_eq!(granted(&engine), 0);
}

#[test]
fn a_symbol_at_the_end_of_code_stays_when_the_init_code_behind_it_goes() {
    let engine = Rig::new(TABLE);
    let mut module = Builder::new();
    let text = module.text;
    module.define("code", text, &[0xc3; 64], 64);
    let end = module.symbol("code_end");
    module.object.symbol_mut(end).section = object::write::SymbolSection::Section(text);
    module.object.symbol_mut(end).value = 64;
    let init = module.section(".init.text", SectionKind::Text);
    module.define("init_module", init, &[0xc3; 64], 64);
    let coming = load(&engine, &module.write()).expect("a module");
    assert_eq!(coming.names().symbol("code_end"), coming.init(), "they share an address");
    let module = coming.finish().expect("memory");
    assert!(module.names().symbol("code_end").is_some());
    assert_eq!(module.names().symbol("init_module"), None);
    module.unload();
}
