//! Reads an object once, checks what everything later relies on, and refuses what has no meaning to the loader. Sections
//! take memory; symbols and relocations stay in the file.

use alloc::vec::Vec;

use execmem_types::ByteOrder;
use object::elf::{
    ET_REL, FileHeader32, FileHeader64, SHF_ALLOC, SHF_COMPRESSED, SHF_EXECINSTR, SHF_TLS, SHF_WRITE, SHT_CREL,
    SHT_FINI_ARRAY, SHT_INIT_ARRAY, SHT_NOBITS, SHT_NOTE, SHT_PREINIT_ARRAY, SHT_PROGBITS, SHT_REL, SHT_RELA, SHT_RELR,
    SHT_SYMTAB, SHT_SYMTAB_SHNDX, STB_GLOBAL, STB_GNU_UNIQUE, STB_LOCAL, STB_WEAK, STT_COMMON, STT_GNU_IFUNC, STT_TLS,
};
use object::read::elf::{FileHeader, SectionHeader as _, SectionTable};
use object::{Endianness, FileKind, SectionIndex};

use super::entries::{Format, NameFault, Place, Relocations, Symbol, SymbolTable, name_at};
use super::grow::push;
use super::limits::{Budget, LoadLimits, Resource};
use super::livepatch;
use super::names::keeps;
use super::refusal::{ElfMachine, SectionRefusal, SymbolRefusal};
use super::rules::MachineRules;
use super::sort::sort;
use crate::{Error, Field, Name};

/// An object, checked.
#[derive(Debug)]
pub(super) struct ObjectFile<'data> {
    pub(super) file: &'data [u8],
    pub(super) format: Format,
    /// Number 0 is the empty section.
    pub(super) sections: Vec<Section<'data>>,
    /// Number 0 is the empty symbol.
    pub(super) symbols: SymbolTable<'data>,
    /// Relocations by the section they patch.
    pub(super) relocations: Vec<(usize, Relocations<'data>)>,
    /// Those that wait for another object.
    pub(super) late: Vec<LateList<'data>>,
}

/// Relocations that are applied while another object is loaded.
#[derive(Debug, Clone, Copy)]
pub(super) struct LateList<'data> {
    /// The name of that object.
    pub(super) object: &'data str,
    /// The section they patch.
    pub(super) section: usize,
    pub(super) relocations: Relocations<'data>,
}

#[derive(Debug)]
pub(super) struct Section<'data> {
    pub(super) name: &'data str,
    pub(super) flags: u64,
    /// Bytes in memory.
    pub(super) len: u64,
    pub(super) align: u64,
    /// Bytes in the file: all of them, or none.
    pub(super) data: &'data [u8],
}

impl Section<'_> {
    pub(super) const fn is_loaded(&self) -> bool {
        self.flags & SHF_ALLOC as u64 != 0
    }
}

impl<'data> ObjectFile<'data> {
    /// The name of a symbol of this object, which was read before.
    pub(super) fn name_of(&self, symbol: &Symbol) -> &'data str {
        self.symbols.name(symbol, u64::MAX).unwrap_or("")
    }

    /// What stands for a symbol in messages: its name, or that of its section.
    pub(super) fn label_of(&self, symbol: usize) -> Name {
        let Some(entry) = self.symbols.get(symbol) else { return Name::new("a symbol that does not exist") };
        let name = self.name_of(&entry);
        let section = match entry.place {
            Place::Section(section) if name.is_empty() => self.sections.get(section).map(|section| section.name),
            _ => None,
        };
        Name::new(section.unwrap_or(name))
    }
}

/// Reads an object, of a machine that has these rules, or of any. Where an object is read, `rules` and `limits` are checked
/// before memory is taken.
pub(super) fn parse<'data>(
    data: &'data [u8],
    limits: &LoadLimits,
    rules: Option<&MachineRules>,
) -> Result<ObjectFile<'data>, Error> {
    Budget::new(Resource::FileBytes, limits.file_bytes).take(data.len() as u64)?;
    match FileKind::parse(data) {
        Ok(FileKind::Elf64) => Reader::<FileHeader64<Endianness>>::new(data, rules)?.read(limits),
        Ok(FileKind::Elf32) => Reader::<FileHeader32<Endianness>>::new(data, rules)?.read(limits),
        _ => Err(Error::NotAnObject { field: Field::Header }),
    }
}

/// A file of one class whose header was checked.
struct Reader<'data, Elf: FileHeader<Endian = Endianness>> {
    data: &'data [u8],
    endian: Endianness,
    format: Format,
    table: SectionTable<'data, Elf, &'data [u8]>,
}

impl<'data, Elf: FileHeader<Endian = Endianness>> Reader<'data, Elf> {
    fn new(data: &'data [u8], rules: Option<&MachineRules>) -> Result<Self, Error> {
        let bad = |field| move |_| Error::NotAnObject { field };
        let header = Elf::parse(data).map_err(bad(Field::Header))?;
        let endian = header.endian().map_err(bad(Field::Header))?;
        if header.e_type(endian) != ET_REL {
            return Err(Error::NotAnObject { field: Field::Header });
        }
        let format = Format { is_64_bit: header.is_type_64(), is_big_endian: endian == Endianness::Big };
        if let Some(rules) = rules {
            check_header(rules, header.e_machine(endian), format, header.e_flags(endian))?;
        }
        let table = header.sections(endian, data).map_err(bad(Field::SectionTable))?;
        Ok(Reader { data, endian, format, table })
    }

    fn read(&self, limits: &LoadLimits) -> Result<ObjectFile<'data>, Error> {
        let mut names = Budget::new(Resource::NameBytes, limits.name_bytes);
        Budget::new(Resource::Sections, limits.sections).take(self.table.len() as u64)?;
        let sections = self.sections(&mut names)?;
        let symbols = self.symbols(&sections, &mut names)?;
        let (relocations, late) = (Vec::new(), Vec::new());
        let mut object = ObjectFile { file: self.data, format: self.format, sections, symbols, relocations, late };
        self.relocations(&mut object, limits)?;
        Ok(object)
    }

    fn sections(&self, names: &mut Budget) -> Result<Vec<Section<'data>>, Error> {
        let mut sections = Vec::new();
        let strings = self.section_names()?;
        for (index, header) in self.table.iter().enumerate() {
            let name = match index {
                0 => Ok(""),
                _ => name_at(strings, header.sh_name(self.endian), names.left()),
            };
            let name =
                name_or(name, names, Error::BadSection { section: index, name: Name::new(""), field: Field::Name })?;
            let bad = |field| Error::BadSection { section: index, name: Name::new(name), field };
            let align = Into::<u64>::into(header.sh_addralign(self.endian)).max(1);
            if !align.is_power_of_two() {
                return Err(bad(Field::Alignment));
            }
            let has_bytes = header.sh_type(self.endian) != SHT_NOBITS && index > 0;
            let bytes = header.data(self.endian, self.data).map_err(|_| bad(Field::Place));
            let data = if has_bytes { bytes? } else { &[] };
            let (mut flags, len) = (header.sh_flags(self.endian).into(), header.sh_size(self.endian).into());
            if header.sh_type(self.endian) == SHT_RELA && name.starts_with(livepatch::LIST_PREFIX) {
                // Linux keeps them in memory, and here the file is kept.
                flags &= !u64::from(SHF_ALLOC);
            }
            let section = Section { name, flags, len, align, data };
            check_section(&section, header.sh_type(self.endian)).map_err(|reason| Error::RefusedSection {
                section: index,
                name: Name::new(name),
                reason,
            })?;
            push(&mut sections, section)?;
        }
        check_overlaps(&sections, self.data)?;
        Ok(sections)
    }

    /// The names of sections.
    fn section_names(&self) -> Result<&'data [u8], Error> {
        let bad = Error::NotAnObject { field: Field::SectionTable };
        let header = Elf::parse(self.data).map_err(|_| bad)?;
        let index = header.shstrndx(self.endian, self.data).map_err(|_| bad)?;
        let index = usize::try_from(index).map_err(|_| bad)?;
        if self.table.is_empty() {
            return Ok(&[]);
        }
        let section = self.table.section(SectionIndex(index)).map_err(|_| bad)?;
        section.data(self.endian, self.data).map_err(|_| bad)
    }

    fn symbols(&self, sections: &[Section<'data>], names: &mut Budget) -> Result<SymbolTable<'data>, Error> {
        let kind_is = |kind: u32| move |(_, header): &(usize, &Elf::SectionHeader)| header.sh_type(self.endian) == kind;
        let mut tables = self.table.iter().enumerate().filter(kind_is(SHT_SYMTAB));
        let Some((index, header)) = tables.next() else { return Ok(SymbolTable::empty(self.format)) };
        let bad = Error::NotAnObject { field: Field::SymbolTable };
        let bytes = sections[index].data;
        let size = self.format.symbol_bytes();
        let entry_size: u64 = header.sh_entsize(self.endian).into();
        let strings = usize::try_from(header.sh_link(self.endian)).ok().and_then(|strings| sections.get(strings));
        if tables.next().is_some() || entry_size != size as u64 || !bytes.len().is_multiple_of(size) {
            return Err(bad);
        }
        let mut wide = self.table.iter().enumerate().filter(kind_is(SHT_SYMTAB_SHNDX));
        let wide = wide.find(|(_, header)| usize::try_from(header.sh_link(self.endian)) == Ok(index));
        let table = SymbolTable {
            bytes,
            strings: strings.ok_or(bad)?.data,
            sections: wide.map_or(&[], |(index, _)| sections[index].data),
            format: self.format,
        };
        for index in 0..table.len() {
            let symbol = table.get(index).ok_or(bad)?;
            check_symbol(&table, index, &symbol, sections, names)?;
        }
        Ok(table)
    }

    fn relocations(&self, object: &mut ObjectFile<'data>, limits: &LoadLimits) -> Result<(), Error> {
        let sections = &object.sections;
        let mut budget = Budget::new(Resource::Relocations, limits.relocations);
        for (index, header) in self.table.iter().enumerate() {
            let kind = header.sh_type(self.endian);
            if !matches!(kind, SHT_REL | SHT_RELA | SHT_CREL | SHT_RELR) {
                continue;
            }
            let name = Name::new(sections[index].name);
            let bad = |field| Error::BadSection { section: index, name, field };
            let target = usize::try_from(header.sh_info(self.endian)).unwrap_or(usize::MAX);
            let section = sections.get(target);
            let is_loaded = section.is_some_and(Section::is_loaded) || kind == SHT_RELR;
            if kind != SHT_RELA && (is_loaded || section.is_none()) {
                let reason = SectionRefusal::RelocationFormat(kind);
                return Err(Error::RefusedSection { section: index, name, reason });
            }
            section.filter(|_| target > 0).ok_or(bad(Field::Section))?;
            if !is_loaded || sections[target].len == 0 {
                continue;
            }
            let (bytes, size) = (sections[index].data, self.format.relocation_bytes());
            let link = usize::try_from(header.sh_link(self.endian)).unwrap_or(usize::MAX);
            let entry_size: u64 = header.sh_entsize(self.endian).into();
            let is_symbols = |section: &Elf::SectionHeader| section.sh_type(self.endian) == SHT_SYMTAB;
            if entry_size != size as u64 || !bytes.len().is_multiple_of(size) {
                return Err(bad(Field::Relocations));
            }
            if !self.table.section(SectionIndex(link)).is_ok_and(is_symbols) {
                return Err(bad(Field::SymbolTable));
            }
            let list = Relocations { bytes, format: self.format };
            budget.take(list.len() as u64)?;
            match livepatch::object_of_list(sections[index].name) {
                Some(None) => return Err(bad(Field::Name)),
                Some(Some(name)) if name != livepatch::KERNEL => {
                    let late = LateList { object: name, section: target, relocations: list };
                    livepatch::check(sections, &object.symbols, &late)?;
                    push(&mut object.late, late)?;
                }
                _ => push(&mut object.relocations, (target, list))?,
            }
        }
        Ok(())
    }
}

/// A name, charged; or the error that says what is wrong with it.
fn name_or<'data>(
    name: Result<&'data str, NameFault>,
    names: &mut Budget,
    damaged: Error,
) -> Result<&'data str, Error> {
    match name {
        Ok(name) => names.take(name.len() as u64).map(|()| name),
        Err(NameFault::Damaged) => Err(damaged),
        Err(NameFault::TooLong) => names.take(names.left().saturating_add(1)).map(|()| ""),
    }
}

/// Compares what the header says of the machine with what its rules are for.
fn check_header(rules: &MachineRules, machine: u16, format: Format, flags: u32) -> Result<(), Error> {
    let (found, wanted) = (ElfMachine(machine), ElfMachine(rules.number));
    if found != wanted {
        return Err(Error::WrongMachine { found, wanted });
    }
    if format.is_64_bit != rules.is_64_bit {
        return Err(Error::WrongClass { machine: wanted, is_64_bit: format.is_64_bit });
    }
    if format.is_big_endian != (rules.order == ByteOrder::Big) {
        return Err(Error::WrongByteOrder { machine: wanted, is_big_endian: format.is_big_endian });
    }
    match flags & !rules.flags {
        0 => Ok(()),
        unknown => Err(Error::UnknownFlags { machine: wanted, unknown }),
    }
}

/// Section types with bytes of a module. Processors have types of their own for unwind tables (`0x7000_0001`).
const TYPES: [u32; 6] = [SHT_PROGBITS, SHT_NOBITS, SHT_NOTE, SHT_INIT_ARRAY, SHT_FINI_ARRAY, SHT_PREINIT_ARRAY];
const UNWIND_TABLE: u32 = 0x7000_0001;

/// Refuses a loaded section that is not understood.
fn check_section(section: &Section<'_>, kind: u32) -> Result<(), SectionRefusal> {
    let has = |flag: u32| section.flags & u64::from(flag) != 0;
    if !section.is_loaded() {
        return Ok(());
    }
    if has(SHF_WRITE) && has(SHF_EXECINSTR) {
        return Err(SectionRefusal::WritableCode);
    }
    if has(SHF_TLS) {
        return Err(SectionRefusal::ThreadLocal);
    }
    if has(SHF_COMPRESSED) {
        return Err(SectionRefusal::Compressed);
    }
    if TYPES.contains(&kind) || kind == UNWIND_TABLE { Ok(()) } else { Err(SectionRefusal::UnknownType(kind)) }
}

/// Refuses two sections with the same bytes of the file.
fn check_overlaps(sections: &[Section<'_>], data: &[u8]) -> Result<(), Error> {
    let start = |section: &Section<'_>| section.data.as_ptr().addr() - data.as_ptr().addr();
    let mut order = Vec::new();
    for (index, section) in sections.iter().enumerate().filter(|(_, section)| !section.data.is_empty()) {
        push(&mut order, (start(section), section.data.len(), index))?;
    }
    sort(&mut order);
    for pair in order.windows(2) {
        let [(first_start, first_len, first), (second_start, _, second)] = pair else { continue };
        if first_start + first_len > *second_start {
            return Err(Error::OverlappingSections { first: *first.min(second), second: *first.max(second) });
        }
    }
    Ok(())
}

/// What a name that is kept takes beside its bytes.
const KEPT_BYTES: u64 = 48;

/// Refuses a symbol that is damaged or not understood.
fn check_symbol(
    table: &SymbolTable<'_>,
    index: usize,
    symbol: &Symbol,
    sections: &[Section<'_>],
    names: &mut Budget,
) -> Result<(), Error> {
    let bad = |name: &str, field| Error::BadSymbol { symbol: index, name: Name::new(name), field };
    let name = name_or(table.name(symbol, names.left()), names, bad("", Field::Name))?;
    let section = match symbol.place {
        Place::Section(section) => Some(sections.get(section).ok_or(bad(name, Field::Section))?),
        _ => None,
    };
    let reason = match (symbol.place, symbol.kind) {
        (Place::Common, _) | (_, STT_COMMON) => Some(SymbolRefusal::Common),
        (_, STT_TLS) => Some(SymbolRefusal::ThreadLocal),
        (_, STT_GNU_IFUNC) => Some(SymbolRefusal::IndirectFunction),
        (Place::Reserved, _) => Some(SymbolRefusal::ReservedSection),
        (Place::Patched, _) if livepatch::symbol(name).is_none() => Some(SymbolRefusal::NoObject),
        _ => match symbol.binding {
            STB_LOCAL | STB_GLOBAL | STB_WEAK | STB_GNU_UNIQUE => None,
            binding => Some(SymbolRefusal::UnknownBinding(binding)),
        },
    };
    if let Some(reason) = reason {
        let section = Name::new(section.map_or("", |section| section.name));
        return Err(Error::RefusedSymbol { name: Name::new(name), section, reason });
    }
    // Compilers refer to data by local anchors, some of them behind the end.
    let is_outside = |section: &Section<'_>| section.is_loaded() && symbol.value > section.len;
    if symbol.is_global() && section.is_some_and(is_outside) {
        return Err(bad(name, Field::Value));
    }
    let is_here = section.is_some_and(Section::is_loaded);
    let is_elsewhere = matches!(symbol.place, Place::Undefined | Place::Patched);
    let is_kept = !name.is_empty() && (is_elsewhere || (is_here && keeps(name, symbol)));
    names.take(if is_kept { KEPT_BYTES } else { 0 })
}
