//! Inputs to begin with, made here: objects that load, and bytes of operations.

use object::elf::{R_RISCV_PCREL_HI20, R_RISCV_PCREL_LO12_I, R_RISCV_SET_ULEB128, R_RISCV_SUB_ULEB128, R_X86_64_PC32};
use object::write::{Object, Relocation, SectionId, StandardSection, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
};

use crate::Random;
use crate::targets::named;

/// The machines in the order of targets: architecture, byte order, and beyond the numbers of its relocations.
const MACHINES: [(Architecture, Endianness, u32); 4] = [
    (Architecture::X86_64, Endianness::Little, 44),
    (Architecture::Aarch64, Endianness::Little, 580),
    (Architecture::Riscv64, Endianness::Little, 66),
    (Architecture::PowerPc, Endianness::Big, 253),
];
const TARGETS: [&str; 4] = ["loader-x86", "loader-arm64", "loader-riscv", "loader-powerpc"];

/// An object under construction.
struct Builder(Object<'static>);

impl Builder {
    fn symbol(&mut self, name: &str, section: SymbolSection) -> SymbolId {
        self.0.add_symbol(Symbol {
            name: name.into(),
            value: 0,
            size: 0,
            kind: SymbolKind::Text,
            scope: SymbolScope::Dynamic,
            weak: false,
            section,
            flags: SymbolFlags::None,
        })
    }

    fn define(&mut self, name: &str, section: SectionId, bytes: &[u8]) -> SymbolId {
        let symbol = self.symbol(name, SymbolSection::Undefined);
        self.0.add_symbol_data(symbol, section, bytes, 8);
        symbol
    }

    fn section(&mut self, name: &str, kind: SectionKind) -> SectionId {
        self.0.add_section(Vec::new(), name.into(), kind)
    }

    fn relocate(&mut self, section: SectionId, offset: u64, symbol: SymbolId, addend: i64, r_type: u32) {
        let flags = RelocationFlags::Elf { r_type };
        self.0.add_relocation(section, Relocation { offset, symbol, addend, flags }).expect("a relocation");
    }
}

/// An object with a section of every kind; relocations of a type in code and data, to a symbol of its own and to one of
/// another module.
fn object(machine: usize, r_type: Option<u32>) -> Vec<u8> {
    let (architecture, order, _) = MACHINES[machine];
    let mut module = Builder(Object::new(BinaryFormat::Elf, architecture, order));
    let (text, data) = (module.0.section_id(StandardSection::Text), module.0.section_id(StandardSection::Data));
    let code = module.define("code", text, &[0; 64]);
    let value = module.define("value", data, &[0; 32]);
    for (name, kind) in [
        (".rodata", SectionKind::ReadOnlyData),
        (".data..ro_after_init", SectionKind::Data),
        (".data..percpu", SectionKind::Data),
        (".init.text", SectionKind::Text),
        (".init.data", SectionKind::Data),
        (".init.rodata", SectionKind::ReadOnlyData),
        ("__ksymtab", SectionKind::ReadOnlyData),
        (".modinfo", SectionKind::ReadOnlyData),
        (".note.gnu.build-id", SectionKind::ReadOnlyData),
    ] {
        let section = module.section(name, kind);
        module.define(&format!("in{name}"), section, b"depends=first\0second\0");
    }
    let bss = module.0.section_id(StandardSection::UninitializedData);
    let zeroed = module.symbol("zeroed", SymbolSection::Undefined);
    module.0.add_symbol_bss(zeroed, bss, 500, 64);
    module.define("init_module", text, &[0; 8]);
    module.define("__ksymtab_code", data, &[0; 8]);
    let imported = module.symbol("imported", SymbolSection::Undefined);
    if let Some(r_type) = r_type {
        for (section, symbol, first) in [(text, code, 0), (text, imported, 16), (data, value, 0), (data, code, 16)] {
            module.relocate(section, first, symbol, 0, r_type);
        }
    }
    module.0.write().expect("an object")
}

/// Objects of a machine that load, one for each type of relocation; and one of a type that nobody knows.
pub(crate) fn objects(machine: usize) -> Vec<Vec<u8>> {
    let Some(target) = named(TARGETS[machine]) else { return Vec::new() };
    let all = (0..MACHINES[machine].2).map(|r_type| object(machine, Some(r_type)));
    let known = all.filter(|object| (target.run)(object));
    let pairs = (machine == 2).then(pairs).into_iter().flatten();
    [object(machine, None), object(machine, Some(250))].into_iter().chain(known).chain(pairs).collect()
}

/// Objects of riscv whose relocations are about each other: both halves of an address, both halves of a difference.
fn pairs() -> impl Iterator<Item = Vec<u8>> {
    let halves = [(R_RISCV_PCREL_HI20, R_RISCV_PCREL_LO12_I, 4), (R_RISCV_SET_ULEB128, R_RISCV_SUB_ULEB128, 0)];
    halves.into_iter().map(|(first, second, offset)| {
        let (architecture, order, _) = MACHINES[2];
        let mut module = Builder(Object::new(BinaryFormat::Elf, architecture, order));
        let text = module.0.section_id(StandardSection::Text);
        let code = module.define("code", text, &[0x80, 0x80, 0, 0, 0, 0, 0, 0]);
        let end = module.define("end", text, &[0; 8]);
        module.relocate(text, 0, if offset == 0 { end } else { code }, 0, first);
        module.relocate(text, offset, code, 0, second);
        module.0.write().expect("an object")
    })
}

/// Objects with what finalize steps look for.
pub(crate) fn finalized() -> Vec<Vec<u8>> {
    let alternatives = [12, 14].into_iter().map(alternatives);
    let sites = ["__mcount_loc", "__patchable_function_entries"].into_iter();
    let sites = sites.flat_map(|name| [(0, 1), (1, 257)].map(|(machine, r_type)| sites_of(machine, name, r_type)));
    alternatives.chain(sites).collect()
}

/// Code with two alternatives, in entries of so many bytes.
fn alternatives(entry: u64) -> Vec<u8> {
    let mut module = Builder(Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little));
    let text = module.0.section_id(StandardSection::Text);
    // Room for `call [rip + rel32]` and more; what replaces it is a call and a move.
    let site = module.define("site", text, &[0xff, 0x15, 0, 0, 0, 0, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90]);
    let replacements = module.section(".altinstr_replacement", SectionKind::Text);
    let replacement = module.define("new", replacements, &[0xe8, 0, 0, 0, 0, 0x48, 0x89, 0xc3]);
    let table = module.section(".altinstructions", SectionKind::ReadOnlyData);
    let mut bytes = Vec::new();
    for (feature, site_bytes, new_bytes) in [(3_u8, 12_u8, 8_u8), (0x83, 6, 5)] {
        bytes.extend([0; 8]);
        bytes.extend([feature, 0]);
        bytes.extend(std::iter::repeat_n(2, usize::from(entry == 14) * 2));
        bytes.extend([site_bytes, new_bytes]);
    }
    module.define("table", table, &bytes);
    for at in [0, entry] {
        module.relocate(table, at, site, 0, R_X86_64_PC32);
        module.relocate(table, at + 4, replacement, 0, R_X86_64_PC32);
    }
    module.0.write().expect("an object")
}

/// Code with two places to trace.
fn sites_of(machine: usize, name: &str, absolute: u32) -> Vec<u8> {
    let (architecture, order, _) = MACHINES[machine];
    let mut module = Builder(Object::new(BinaryFormat::Elf, architecture, order));
    let text = module.0.section_id(StandardSection::Text);
    let code = match machine {
        0 => [0x0f, 0x1f, 0x44, 0, 0, 0xc3, 0x90, 0x90].repeat(4),
        _ => 0xd503_201f_u32.to_le_bytes().repeat(8),
    };
    let code = module.define("code", text, &code);
    let list = module.section(name, SectionKind::Data);
    module.define("list", list, &[0; 16]);
    module.relocate(list, 0, code, 0, absolute);
    module.relocate(list, 8, code, 16, absolute);
    module.0.write().expect("an object")
}

/// Bytes that targets take as operations.
pub(crate) fn operations() -> Vec<Vec<u8>> {
    let mut random = Random::new(7);
    let bytes = |first: u8| {
        let len = 64 + random.below(1024);
        let rest = (0..len).map(|_| random.next().to_le_bytes()[3]);
        [first].into_iter().chain(rest).collect()
    };
    (0..24).map(bytes).collect()
}

/// Every table as it is, and with one row that grows from the other end.
pub(crate) fn tables() -> Vec<Vec<u8>> {
    let numbers = 0..u8::try_from(execmem_tests::tables::all().count()).unwrap_or(u8::MAX);
    numbers.flat_map(|table| [vec![table], vec![table, table, 6, 2, 0, 0, table / 2, 0, 0]]).collect()
}
