//! Changes of relocatable objects that a loader still reads: fields of headers, symbols and relocations.

use object::elf::{SHT_RELA, SHT_STRTAB, SHT_SYMTAB};

use crate::Random;
use crate::change::{self, overwrite};

/// Bytes and order of the numbers of an object.
#[derive(Debug, Clone, Copy)]
struct Format {
    is_64: bool,
    is_big_endian: bool,
}

/// Where the fields of a table's entries are: offset and bytes.
type Fields = &'static [(usize, usize)];

const SECTION_64: Fields = &[(0, 4), (4, 4), (8, 8), (16, 8), (24, 8), (32, 8), (40, 4), (44, 4), (48, 8), (56, 8)];
const SECTION_32: Fields = &[(0, 4), (4, 4), (8, 4), (12, 4), (16, 4), (20, 4), (24, 4), (28, 4), (32, 4), (36, 4)];
const SYMBOL_64: Fields = &[(0, 4), (4, 1), (5, 1), (6, 2), (8, 8), (16, 8)];
const SYMBOL_32: Fields = &[(0, 4), (4, 4), (8, 4), (12, 1), (13, 1), (14, 2)];
/// Type and symbol of a relocation are apart here, though a format may have them in one number.
const RELOCATION_64: Fields = &[(0, 8), (8, 4), (12, 4), (16, 8)];
const RELOCATION_32: Fields = &[(0, 4), (4, 1), (5, 3), (8, 4)];
const HEADER_64: Fields =
    &[(4, 1), (5, 1), (6, 1), (16, 2), (18, 2), (20, 4), (40, 8), (48, 4), (52, 2), (58, 2), (60, 2), (62, 2)];

/// Words that mean something in names.
const NAMES: &[&[u8]] = &[
    b".text\0",
    b".init.text\0",
    b".data..percpu\0",
    b".data..ro_after_init\0",
    b".altinstructions\0",
    b".altinstr_replacement\0",
    b"__mcount_loc\0",
    b"__patchable_function_entries\0",
    b"__ksymtab_",
    b"init_module\0",
    b"cleanup_module\0",
    b"_GLOBAL_OFFSET_TABLE_\0",
    b".klp.rela.",
    b".modinfo\0",
    b".TOC.\0",
];

/// The offset, length and type of a section's bytes.
#[derive(Debug, Clone, Copy)]
struct Section {
    header: usize,
    kind: u32,
    start: usize,
    len: usize,
}

/// Changes an object.
pub(crate) fn object(random: &mut Random, data: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=random.below(4) {
        match sections(data) {
            Some((format, sections)) if random.below(8) > 0 => structured(random, data, format, &sections),
            _ => change::bytes(random, data, other, NAMES),
        }
    }
}

fn structured(random: &mut Random, data: &mut [u8], format: Format, sections: &[Section]) {
    let Some(section) = random.pick(sections).copied() else { return };
    let of = |kind: u32| sections.iter().find(|section| section.kind == kind).copied();
    let (section_fields, symbol_fields, relocation_fields) = match format.is_64 {
        true => (SECTION_64, SYMBOL_64, RELOCATION_64),
        false => (SECTION_32, SYMBOL_32, RELOCATION_32),
    };
    match random.below(10) {
        0..=2 => field(random, data, format, section.header, section_fields),
        3 | 4 => entry(random, data, format, of(SHT_SYMTAB), symbol_fields, if format.is_64 { 24 } else { 16 }),
        5..=7 => {
            let tables: Vec<_> = sections.iter().filter(|section| section.kind == SHT_RELA).copied().collect();
            let table = random.pick(&tables).copied();
            entry(random, data, format, table, relocation_fields, if format.is_64 { 24 } else { 12 });
        }
        8 => {
            let at = section.start + random.below(section.len);
            let number = random.number().to_le_bytes();
            overwrite(data, at, &number[..1 << random.below(4)]);
        }
        _ if random.below(4) == 0 => field(random, data, format, 0, HEADER_64),
        _ => {
            let names: Vec<_> = sections.iter().filter(|section| section.kind == SHT_STRTAB).copied().collect();
            if let (Some(table), Some(name)) = (random.pick(&names).copied(), random.pick(NAMES)) {
                overwrite(data, table.start + random.below(table.len), name);
            }
        }
    }
}

fn entry(random: &mut Random, data: &mut [u8], format: Format, table: Option<Section>, fields: Fields, size: usize) {
    if let Some(table) = table {
        let index = random.below(table.len / size);
        field(random, data, format, table.start + index * size, fields);
    }
}

/// Changes one field: a number, one beside what it is, or that of another place.
fn field(random: &mut Random, data: &mut [u8], format: Format, at: usize, fields: Fields) {
    let Some(&(offset, len)) = random.pick(fields) else { return };
    let old = number(data, format, at + offset, len).unwrap_or(0);
    let new = match random.below(4) {
        0 => old.wrapping_add(random.next() % 32).wrapping_sub(16),
        1 => old ^ 1 << random.below(len * 8),
        2 => number(data, format, random.below(data.len()) / 4 * 4, len).unwrap_or(0),
        _ => random.number(),
    };
    let bytes = if format.is_big_endian { (new << (64 - len * 8)).to_be_bytes() } else { new.to_le_bytes() };
    overwrite(data, at + offset, &bytes[..len]);
}

fn number(data: &[u8], format: Format, at: usize, len: usize) -> Option<u64> {
    let bytes = data.get(at..at.checked_add(len)?)?;
    let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
    Some(if format.is_big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
}

/// The sections that the header names, as far as they make sense.
fn sections(data: &[u8]) -> Option<(Format, Vec<Section>)> {
    let format = Format { is_64: *data.get(4)? == 2, is_big_endian: *data.get(5)? == 2 };
    let place = |at: usize, len: usize| number(data, format, at, len).and_then(|number| usize::try_from(number).ok());
    let (table, count, size) = match format.is_64 {
        true => (place(40, 8)?, place(60, 2)?, 64),
        false => (place(32, 4)?, place(48, 2)?, 40),
    };
    let section = |index: usize| {
        let header = table.checked_add(index * size)?;
        let word = if format.is_64 { 8 } else { 4 };
        let (start, len) = if format.is_64 { (24, 32) } else { (16, 20) };
        let (start, len) = (place(header.checked_add(start)?, word)?, place(header.checked_add(len)?, word)?);
        let is_inside = start.checked_add(len)? <= data.len();
        let kind = u32::try_from(place(header.checked_add(4)?, 4)?).ok()?;
        Some(Section { header, kind, start: if is_inside { start } else { 0 }, len: if is_inside { len } else { 0 } })
    };
    Some((format, (0..count).filter_map(section).collect()))
}
