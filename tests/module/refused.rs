//! What the loader does not understand: refused by name, and nothing stays allocated.

use execmem::Table;
use execmem_arch_arm64::ARM64_4K;
use execmem_arch_riscv::RISCV64;
use execmem_arch_x86::TABLE;
use execmem_clients::Error;
use execmem_clients::module::{SectionRefusal, SymbolRefusal};
use execmem_tests::rig::Rig;
use object::elf::{
    R_X86_64_64, SHF_ALLOC, SHF_COMPRESSED, SHF_EXECINSTR, SHF_TLS, SHF_WRITE, SHT_CREL, SHT_REL, SHT_RELR,
    STT_GNU_IFUNC,
};
use object::write::{Symbol, SymbolSection};
use object::{Architecture, Endianness, FileFlags, SectionFlags, SectionKind, SymbolFlags, SymbolKind, SymbolScope};

use super::objects::{Builder, complete, granted, load, put, section_places};

/// What the loader of a table says of an object.
fn refusal(table: Table, data: &[u8]) -> Error {
    let engine = Rig::new(table);
    let error = load(&engine, data).expect_err("not understood");
    assert_eq!((granted(&engine), engine.stats().bytes_mapped()), (0, 0), "refused before memory is taken");
    engine.audit().expect("audit");
    error
}

#[test]
fn headers_of_another_class_byte_order_or_with_unknown_flags_are_refused() {
    let object = |architecture, order| Builder::of(architecture, order).write();
    let said = |table, data: &[u8]| refusal(table, data).to_string();
    let narrow = object(Architecture::X86_64_X32, Endianness::Little);
    assert_eq!(said(TABLE, &narrow), "the object has 32 bits, x86-64 objects have not");
    let big = object(Architecture::Aarch64, Endianness::Big);
    assert_eq!(said(ARM64_4K, &big), "the object is big-endian, this loader's arm64 is not");
    assert_eq!(
        said(TABLE, &object(Architecture::Riscv64, Endianness::Little)),
        "the object is for riscv, this loader for x86-64"
    );
    let flagged = |architecture, e_flags| {
        let mut module = Builder::of(architecture, Endianness::Little);
        module.object.flags = FileFlags::Elf { os_abi: 0, abi_version: 0, e_flags };
        module.write()
    };
    let unknown = refusal(RISCV64, &flagged(Architecture::Riscv64, 0x9));
    assert_eq!(
        unknown.to_string(),
        "flags 0x8 of the riscv object are not known",
        "16 registers, and shorter instructions"
    );
    assert!(matches!(refusal(TABLE, &flagged(Architecture::X86_64, 1)), Error::UnknownFlags { unknown: 1, .. }));
    let engine = Rig::new(RISCV64);
    load(&engine, &flagged(Architecture::Riscv64, 0x5)).expect("shorter instructions and doubles").unload();
}

#[test]
fn relocations_of_another_format_are_refused_where_they_matter() {
    for kind in [SHT_REL, SHT_CREL, SHT_RELR] {
        let mut data = complete();
        let (header, _) = section_places(&data, ".rela.text");
        put(&mut data, header + 4, kind.to_le_bytes());
        let error = refusal(TABLE, &data);
        let reason = SectionRefusal::RelocationFormat(kind);
        assert!(matches!(error, Error::RefusedSection { reason: found, .. } if found == reason), "{error}");
        assert!(error.to_string().contains("(.rela.text) holds"), "{error}");
    }
    // What is not loaded is not relocated either.
    let mut module = Builder::new();
    let code = module.define("code", module.text, &[0xc3; 16], 16);
    let debug = module.section(".debug_info", SectionKind::Debug);
    module.object.append_section_data(debug, &[0; 8], 8);
    module.relocate(debug, 0, code, 0, R_X86_64_64);
    let mut data = module.write();
    let (header, _) = section_places(&data, ".rela.debug_info");
    put(&mut data, header + 4, SHT_REL.to_le_bytes());
    let engine = Rig::new(TABLE);
    load(&engine, &data).expect("its text needs no relocation").unload();
}

/// An object with one more section.
fn with_section(name: &str, flags: u32) -> Vec<u8> {
    let mut module = Builder::new();
    let section = module.section(name, SectionKind::Data);
    module.define("inside", section, &[0; 16], 8);
    module.object.section_mut(section).flags = SectionFlags::Elf { sh_flags: flags.into() };
    module.write()
}

#[test]
fn sections_that_are_not_understood_are_refused_by_name() {
    let cases = [
        (SHF_WRITE | SHF_EXECINSTR, SectionRefusal::WritableCode, "is writable and executable"),
        (SHF_WRITE | SHF_TLS, SectionRefusal::ThreadLocal, "is thread-local, which modules cannot have"),
        (SHF_COMPRESSED, SectionRefusal::Compressed, "is compressed"),
    ];
    for (flags, reason, words) in cases {
        let error = refusal(TABLE, &with_section(".odd", SHF_ALLOC | flags));
        assert!(matches!(error, Error::RefusedSection { reason: found, .. } if found == reason), "{error}");
        assert!(error.to_string().ends_with(&format!("(.odd) {words}")), "{error}");
    }
    let mut data = with_section(".odd", SHF_ALLOC);
    let (header, _) = section_places(&data, ".odd");
    put(&mut data, header + 4, 0x6fff_4c00_u32.to_le_bytes());
    assert!(refusal(TABLE, &data).to_string().ends_with("(.odd) is of type 0x6fff4c00, which has no meaning here"));
}

fn with_symbol(
    kind: SymbolKind,
    section: SymbolSection,
    flags: SymbolFlags<object::write::SectionId, object::write::SymbolId>,
) -> Vec<u8> {
    let mut module = Builder::new();
    module.define("code", module.text, &[0xc3; 16], 16);
    let (name, scope, weak) = ("strange".into(), SymbolScope::Dynamic, false);
    let value = if section == SymbolSection::Common { 8 } else { 0 };
    module.object.add_symbol(Symbol { name, value, size: 8, kind, scope, weak, section, flags });
    module.write()
}

#[test]
fn symbols_that_are_not_understood_are_refused_by_name() {
    let text = SymbolSection::Section(Builder::new().text);
    let elf = |st_info| SymbolFlags::Elf { st_info, st_other: 0 };
    let of_type = |kind: u8| with_symbol(SymbolKind::Text, text, elf(0x10 | kind));
    let cases = [
        (with_symbol(SymbolKind::Data, SymbolSection::Common, SymbolFlags::None), SymbolRefusal::Common),
        (with_symbol(SymbolKind::Tls, SymbolSection::Undefined, SymbolFlags::None), SymbolRefusal::ThreadLocal),
        (of_type(STT_GNU_IFUNC), SymbolRefusal::IndirectFunction),
        (with_symbol(SymbolKind::Text, text, elf(0x70)), SymbolRefusal::UnknownBinding(7)),
    ];
    for (data, reason) in cases {
        let error = refusal(TABLE, &data);
        assert!(matches!(error, Error::RefusedSymbol { reason: found, .. } if found == reason), "{reason:?}: {error}");
        assert!(error.to_string().starts_with("symbol strange "), "{error}");
    }
    assert!(refusal(TABLE, &of_type(STT_GNU_IFUNC)).to_string().starts_with("symbol strange in section .text is"));
}
