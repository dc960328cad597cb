//! Objects for the tests, and ways to damage them.

use execmem::Kind;
use execmem_arch_x86::TABLE;
use execmem_clients::Error;
use execmem_clients::module::{Coming, Loader};
use execmem_tests::rig::Rig;
pub(crate) use execmem_tests::world::granted;
use object::elf::{R_X86_64_32S, R_X86_64_64, R_X86_64_PC32, R_X86_64_PLT32, SHT_RELA};
use object::read::elf::{ElfFile64, FileHeader as _, SectionHeader as _};
use object::write::{Object, Relocation, SectionId, StandardSection, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
};

/// A module in an engine of these tests.
pub(crate) type Loaded<'e> = Coming<&'e Rig>;

/// An engine at kernel addresses.
pub(crate) fn engine() -> Rig {
    Rig::new(TABLE)
}

/// Where the tests say that everything a module imports lies.
pub(crate) const IMPORTS_AT: u64 = 0xffff_ffff_8123_4560;

/// Loads with every import resolved.
pub(crate) fn load<'e>(engine: &'e Rig, data: &[u8]) -> Result<Loaded<'e>, Error> {
    load_at(engine, data, IMPORTS_AT)
}

/// Loads with every import at an address.
pub(crate) fn load_at<'e>(engine: &'e Rig, data: &[u8], imports: u64) -> Result<Loaded<'e>, Error> {
    Loader::new(engine)?.load(data, &|_: &str| Some(imports))
}

/// A module under construction.
pub(crate) struct Builder {
    pub(crate) object: Object<'static>,
    pub(crate) text: SectionId,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Builder::of(Architecture::X86_64, Endianness::Little)
    }

    pub(crate) fn of(architecture: Architecture, order: Endianness) -> Self {
        let mut object = Object::new(BinaryFormat::Elf, architecture, order);
        let text = object.section_id(StandardSection::Text);
        Builder { object, text }
    }

    pub(crate) fn section(&mut self, name: &str, kind: SectionKind) -> SectionId {
        self.object.add_section(Vec::new(), name.into(), kind)
    }

    pub(crate) fn symbol(&mut self, name: &str) -> SymbolId {
        self.object.add_symbol(Symbol {
            name: name.into(),
            value: 0,
            size: 0,
            kind: SymbolKind::Text,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Undefined,
            flags: SymbolFlags::None,
        })
    }

    pub(crate) fn define(&mut self, name: &str, section: SectionId, bytes: &[u8], align: u64) -> SymbolId {
        let symbol = self.symbol(name);
        self.object.add_symbol_data(symbol, section, bytes, align);
        symbol
    }

    pub(crate) fn relocate(&mut self, section: SectionId, offset: u64, symbol: SymbolId, addend: i64, r_type: u32) {
        let flags = RelocationFlags::Elf { r_type };
        self.object.add_relocation(section, Relocation { offset, symbol, addend, flags }).expect("a relocation");
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        self.object.write().expect("an object")
    }
}

/// A module with all seven kinds and a relocation of every type in each direction.
pub(crate) fn complete() -> Vec<u8> {
    let mut module = Builder::new();
    let text = module.text;
    let data = module.object.section_id(StandardSection::Data);
    let constants = module.object.section_id(StandardSection::ReadOnlyData);
    let sealed = module.section(".data..ro_after_init", SectionKind::Data);
    let init_text = module.section(".init.text", SectionKind::Text);
    let init_data = module.section(".init.data", SectionKind::Data);
    let init_constants = module.section(".init.rodata", SectionKind::ReadOnlyData);
    let bss = module.object.section_id(StandardSection::UninitializedData);
    let imported = module.symbol("imported");
    let main = module.define("main", text, &[0xcc; 5], 16);
    let pair = module.define("pair", text, &[0; 24], 16);
    let value = module.define("value", data, &[0; 16], 8);
    let _ = (module.define("table", constants, &[7; 100], 32), module.define("kept", sealed, &[0; 8], 8));
    module.define("init_module", init_text, &[0; 12], 16);
    module.define("once", init_data, &[1; 40], 8);
    module.define("strings", init_constants, &[2; 33], 1);
    let zeroed = module.symbol("zeroed");
    module.object.add_symbol_bss(zeroed, bss, 5000, 64);
    let at = |module: &Builder, symbol| module.object.symbol(symbol).value;
    let (pair_at, value_at) = (at(&module, pair), at(&module, value));
    module.relocate(text, pair_at, imported, -4, R_X86_64_PLT32);
    module.relocate(text, pair_at + 4, value, 12, R_X86_64_PC32);
    module.relocate(text, pair_at + 8, zeroed, 4, R_X86_64_32S);
    module.relocate(text, pair_at + 16, main, 0, R_X86_64_64);
    module.relocate(data, value_at + 8, pair, 3, R_X86_64_64);
    module.relocate(init_text, 4, main, -4, R_X86_64_PLT32);
    module.write()
}

/// The kinds a module has memory of.
pub(crate) fn kinds(coming: &Loaded<'_>) -> Vec<Kind> {
    let mut kinds: Vec<_> = coming.extents().map(|(kind, _)| kind).collect();
    kinds.sort();
    kinds
}

/// Where the header of a section lies in the file, and where its bytes do.
pub(crate) fn section_places(data: &[u8], name: &str) -> (usize, usize) {
    let file = ElfFile64::<Endianness>::parse(data).expect("an object");
    let header = file.elf_header();
    let table = header.sections(Endianness::Little, data).expect("sections");
    let (index, section) = table.section_by_name(Endianness::Little, name.as_bytes()).expect("the section");
    let headers = usize::try_from(header.e_shoff(Endianness::Little)).expect("small");
    let bytes = usize::try_from(section.sh_offset(Endianness::Little)).expect("small");
    let is_rela = section.sh_type(Endianness::Little) == SHT_RELA;
    assert!(is_rela == name.starts_with(".rela"), "the section is what its name says");
    (headers + index.0 * 64, bytes)
}

/// Overwrites a little-endian number in a file.
pub(crate) fn put<const N: usize>(data: &mut [u8], at: usize, bytes: [u8; N]) {
    data[at..at + N].copy_from_slice(&bytes);
}
