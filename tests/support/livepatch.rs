//! Objects that patch others while they run, made by hand: compilers at hand make none.

use object::elf::{SHF_ALLOC, SHT_RELA, SHT_SYMTAB};
use object::read::elf::{ElfFile64, FileHeader as _, SectionHeader as _, Sym as _};
use object::write::Object;
use object::{Endianness, SectionFlags, SectionKind};

/// Relocations of a section that wait for an object.
#[derive(Debug, Clone, Copy)]
pub struct LateList<'a> {
    /// The object.
    pub object: &'a str,
    /// The section.
    pub section: &'a str,
    /// Offset, name of the symbol, addend and type of each.
    pub relocations: &'a [(u64, &'a str, i64, u32)],
}

impl LateList<'_> {
    fn name(&self) -> String {
        format!(".klp.rela.{}.{}", self.object, self.section)
    }
}

/// What Linux marks such sections and symbols with.
const SHF_RELA_LIVEPATCH: u32 = 0x0010_0000;
const SHN_LIVEPATCH: u16 = 0xff20;

/// Writes a little-endian object of 64 bits with such relocations. Symbols whose name begins with `.klp.sym.` are marked.
///
/// # Panics
///
/// If it lacks a section or a symbol that they name.
#[must_use]
pub fn patching(mut object: Object<'_>, lists: &[LateList<'_>]) -> Vec<u8> {
    for list in lists {
        let section = object.add_section(Vec::new(), list.name().into_bytes(), SectionKind::Elf(SHT_RELA));
        object.append_section_data(section, &vec![0; list.relocations.len() * 24], 8);
        let sh_flags = u64::from(SHF_ALLOC | SHF_RELA_LIVEPATCH);
        object.section_mut(section).flags = SectionFlags::Elf { sh_flags };
    }
    let mut data = object.write().expect("an object");
    let original = data.clone();
    let (order, small) = (Endianness::Little, |number: u64| usize::try_from(number).expect("small"));
    let file = ElfFile64::<Endianness>::parse(&*original).expect("an object");
    let table = file.elf_header().sections(order, &*original).expect("sections");
    let symbols = table.symbols(order, &*original, SHT_SYMTAB).expect("symbols");
    let mut put = |at: usize, bytes: &[u8]| data[at..at + bytes.len()].copy_from_slice(bytes);
    let symbol = |wanted: &str| {
        let mut names = symbols.iter().map(|symbol| symbol.name(order, symbols.strings()).expect("a name"));
        names.position(|name| name == wanted.as_bytes()).expect(wanted)
    };
    let start = |index: usize| {
        let section = table.section(object::SectionIndex(index)).expect("a section");
        small(section.sh_offset(order))
    };
    for list in lists {
        let named = |name: &str| table.section_by_name(order, name.as_bytes()).expect(name).0.0;
        let (index, target) = (named(&list.name()), named(list.section));
        let header = small(file.elf_header().e_shoff(order)) + index * 64;
        let number = |number: usize| u32::try_from(number).expect("small").to_le_bytes();
        put(header + 40, &number(symbols.section().0));
        put(header + 44, &number(target));
        put(header + 56, &24_u64.to_le_bytes());
        for (place, (offset, name, addend, r_type)) in list.relocations.iter().enumerate() {
            let at = start(index) + place * 24;
            put(at, &offset.to_le_bytes());
            put(at + 8, &((symbol(name) as u64) << 32 | u64::from(*r_type)).to_le_bytes());
            put(at + 16, &addend.to_le_bytes());
        }
    }
    for (index, entry) in symbols.iter().enumerate() {
        let name = entry.name(order, symbols.strings()).expect("a name");
        if name.starts_with(b".klp.sym.") {
            put(start(symbols.section().0) + index * 24 + 6, &SHN_LIVEPATCH.to_le_bytes());
        }
    }
    data
}
