//! Reads an object once, checks what everything later relies on, and keeps it in one form for every class and byte
//! order.

use alloc::vec::Vec;

use object::elf::{
    ET_REL, FileHeader32, FileHeader64, SHF_ALLOC, SHN_ABS, SHN_COMMON, SHN_UNDEF, SHT_NOBITS, STB_GLOBAL, STB_WEAK,
};
use object::read::elf::{FileHeader, Rela as _, SectionHeader as _, SectionTable, Sym as _, SymbolTable};
use object::{Endianness, FileKind};

use crate::{Error, Field, Name};

/// An object, checked.
#[derive(Debug)]
pub(super) struct ObjectFile<'data> {
    pub(super) machine: u16,
    pub(super) is_big_endian: bool,
    /// Number 0 is the empty section.
    pub(super) sections: Vec<Section<'data>>,
    /// Number 0 is the empty symbol.
    pub(super) symbols: Vec<Symbol<'data>>,
    /// Relocations by the section they patch.
    pub(super) relocations: Vec<(usize, Vec<Relocation>)>,
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

#[derive(Debug)]
pub(super) struct Symbol<'data> {
    pub(super) name: &'data str,
    pub(super) place: Place,
    /// Offset in its section, or the value itself.
    pub(super) value: u64,
    pub(super) is_weak: bool,
    /// Others may refer to it by name.
    pub(super) is_global: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Undefined,
    Absolute,
    Common,
    Section(usize),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Relocation {
    pub(super) offset: u64,
    pub(super) symbol: usize,
    pub(super) number: u32,
    pub(super) addend: i64,
}

/// Reads an object of either class.
pub(super) fn parse(data: &[u8]) -> Result<ObjectFile<'_>, Error> {
    match FileKind::parse(data) {
        Ok(FileKind::Elf64) => parse_class::<FileHeader64<Endianness>>(data),
        Ok(FileKind::Elf32) => parse_class::<FileHeader32<Endianness>>(data),
        _ => Err(Error::NotAnObject { field: Field::Header }),
    }
}

fn parse_class<Elf: FileHeader<Endian = Endianness>>(data: &[u8]) -> Result<ObjectFile<'_>, Error> {
    let bad = |field| move |_| Error::NotAnObject { field };
    let header = Elf::parse(data).map_err(bad(Field::Header))?;
    let endian = header.endian().map_err(bad(Field::Header))?;
    if header.e_type(endian) != ET_REL {
        return Err(Error::NotAnObject { field: Field::Header });
    }
    let table = header.sections(endian, data).map_err(bad(Field::SectionTable))?;
    let symbol_table = table.symbols(endian, data, object::elf::SHT_SYMTAB).map_err(bad(Field::SymbolTable))?;
    let sections = read_sections(&table, endian, data)?;
    let symbols = read_symbols(&symbol_table, endian, &sections)?;
    let relocations = read_relocations(&table, endian, data, &sections, symbols.len())?;
    let is_big_endian = endian == Endianness::Big;
    Ok(ObjectFile { machine: header.e_machine(endian), is_big_endian, sections, symbols, relocations })
}

fn read_sections<'data, Elf: FileHeader<Endian = Endianness>>(
    table: &SectionTable<'data, Elf, &'data [u8]>,
    endian: Endianness,
    data: &'data [u8],
) -> Result<Vec<Section<'data>>, Error> {
    let mut sections = Vec::new();
    for (index, header) in table.iter().enumerate() {
        let name = table.section_name(endian, header).ok().and_then(|name| core::str::from_utf8(name).ok());
        let name = name.or((index == 0).then_some(""));
        let bad = |name, field| Error::BadSection { section: index, name: Name::new(name), field };
        let name = name.ok_or(bad("", Field::Name))?;
        let (len, align): (u64, u64) = (header.sh_size(endian).into(), header.sh_addralign(endian).into());
        let align = align.max(1);
        if !align.is_power_of_two() {
            return Err(bad(name, Field::Alignment));
        }
        let has_bytes = header.sh_type(endian) != SHT_NOBITS && index > 0;
        let bytes = if has_bytes { header.data(endian, data).map_err(|_| bad(name, Field::Place))? } else { &[] };
        sections.push(Section { name, flags: header.sh_flags(endian).into(), len, align, data: bytes });
    }
    check_overlaps(&sections, data)?;
    Ok(sections)
}

/// Refuses two sections with the same bytes of the file.
fn check_overlaps(sections: &[Section<'_>], data: &[u8]) -> Result<(), Error> {
    let start = |section: &Section<'_>| section.data.as_ptr().addr() - data.as_ptr().addr();
    let with_bytes = sections.iter().enumerate().filter(|(_, section)| !section.data.is_empty());
    let mut order: Vec<_> = with_bytes.map(|(index, section)| (start(section), section.data.len(), index)).collect();
    order.sort_unstable();
    for pair in order.windows(2) {
        let [(first_start, first_len, first), (second_start, _, second)] = pair else { continue };
        if first_start + first_len > *second_start {
            return Err(Error::OverlappingSections { first: *first.min(second), second: *first.max(second) });
        }
    }
    Ok(())
}

fn read_symbols<'data, Elf: FileHeader<Endian = Endianness>>(
    table: &SymbolTable<'data, Elf, &'data [u8]>,
    endian: Endianness,
    sections: &[Section<'_>],
) -> Result<Vec<Symbol<'data>>, Error> {
    let mut symbols = Vec::new();
    for (index, entry) in table.enumerate() {
        let bad = |field| Error::BadSymbol { symbol: index.0, field };
        let name = table.symbol_name(endian, entry).map_err(|_| bad(Field::Name))?;
        let name = core::str::from_utf8(name).map_err(|_| bad(Field::Name))?;
        let value: u64 = entry.st_value(endian).into();
        let place = match entry.st_shndx(endian) {
            SHN_UNDEF => Place::Undefined,
            SHN_ABS => Place::Absolute,
            SHN_COMMON => Place::Common,
            _ => {
                let section = table.symbol_section(endian, entry, index).map_err(|_| bad(Field::Section))?;
                Place::Section(section.ok_or(bad(Field::Section))?.0)
            }
        };
        let binding = entry.st_bind();
        let is_weak = binding == STB_WEAK;
        let is_global = is_weak || binding == STB_GLOBAL;
        if let Place::Section(section) = place {
            let section = sections.get(section).ok_or(bad(Field::Section))?;
            // Compilers refer to data by local anchors, some of them behind the end.
            if is_global && section.is_loaded() && value > section.len {
                return Err(bad(Field::Value));
            }
        }
        symbols.push(Symbol { name, place, value, is_weak, is_global });
    }
    Ok(symbols)
}

fn read_relocations<'data, Elf: FileHeader<Endian = Endianness>>(
    table: &SectionTable<'data, Elf, &'data [u8]>,
    endian: Endianness,
    data: &'data [u8],
    sections: &[Section<'_>],
    symbols: usize,
) -> Result<Vec<(usize, Vec<Relocation>)>, Error> {
    let mut all = Vec::new();
    for (index, header) in table.iter().enumerate() {
        let bad = |field| Error::BadSection { section: index, name: Name::new(sections[index].name), field };
        let Some((entries, _)) = header.rela(endian, data).map_err(|_| bad(Field::Relocations))? else { continue };
        let target = usize::try_from(header.sh_info(endian)).unwrap_or(usize::MAX);
        let section = sections.get(target).filter(|_| target > 0).ok_or(bad(Field::Section))?;
        if !section.is_loaded() {
            continue;
        }
        let read = entries.iter().enumerate().map(|(relocation, entry)| {
            let symbol = usize::try_from(entry.r_sym(endian, false)).unwrap_or(usize::MAX);
            if symbol >= symbols.max(1) {
                return Err(Error::BadReference { section: target, relocation, symbol });
            }
            Ok(Relocation {
                offset: entry.r_offset(endian).into(),
                symbol,
                number: entry.r_type(endian, false),
                addend: entry.r_addend(endian).into(),
            })
        });
        all.push((target, read.collect::<Result<_, _>>()?));
    }
    Ok(all)
}
