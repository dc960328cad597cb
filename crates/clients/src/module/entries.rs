//! Tables of symbols and relocations, read from the file entry by entry: they take no memory.

use object::elf::{SHN_ABS, SHN_COMMON, SHN_LORESERVE, SHN_UNDEF, SHN_XINDEX, STB_GLOBAL, STB_WEAK};

/// The section number of symbols of objects that are patched while they run (`include/uapi/linux/elf.h`).
pub(super) const SHN_LIVEPATCH: u16 = 0xff20;

/// How numbers stand in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    /// Addresses have 64 bits, not 32.
    pub(super) is_64_bit: bool,
    pub(super) is_big_endian: bool,
}

impl Format {
    /// A number of up to eight bytes.
    pub(super) fn number(self, bytes: &[u8]) -> u64 {
        let byte = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if self.is_big_endian { bytes.iter().fold(0, byte) } else { bytes.iter().rev().fold(0, byte) }
    }

    /// A number of `len` bytes at a place in an entry.
    fn at(self, entry: &[u8], start: usize, len: usize) -> u64 {
        entry.get(start..start + len).map_or(0, |bytes| self.number(bytes))
    }

    /// A number of 32 bits.
    fn word(self, entry: &[u8], start: usize) -> u32 {
        u32::try_from(self.at(entry, start, 4)).unwrap_or(0)
    }

    /// Bytes of an entry of a symbol table.
    pub(super) const fn symbol_bytes(self) -> usize {
        if self.is_64_bit { 24 } else { 16 }
    }

    /// Bytes of a relocation with an addend.
    pub(super) const fn relocation_bytes(self) -> usize {
        if self.is_64_bit { 24 } else { 12 }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Relocation {
    pub(super) offset: u64,
    pub(super) symbol: usize,
    pub(super) number: u32,
    pub(super) addend: i64,
}

/// The relocations of one section.
#[derive(Debug, Clone, Copy)]
pub(super) struct Relocations<'data> {
    pub(super) bytes: &'data [u8],
    pub(super) format: Format,
}

impl<'data> Relocations<'data> {
    pub(super) const fn len(self) -> usize {
        self.bytes.len() / self.format.relocation_bytes()
    }

    pub(super) fn get(self, index: usize) -> Option<Relocation> {
        let size = self.format.relocation_bytes();
        let start = index.checked_mul(size)?;
        Some(self.decode(self.bytes.get(start..start.checked_add(size)?)?))
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Relocation> + 'data {
        self.bytes.chunks_exact(self.format.relocation_bytes()).map(move |entry| self.decode(entry))
    }

    fn decode(self, entry: &[u8]) -> Relocation {
        let format = self.format;
        let (offset, symbol, number, addend) = if format.is_64_bit {
            let info = format.at(entry, 8, 8);
            let addend = format.at(entry, 16, 8).cast_signed();
            (format.at(entry, 0, 8), info >> 32, info & 0xffff_ffff, addend)
        } else {
            let info = format.at(entry, 4, 4);
            let addend = i64::from(format.word(entry, 8).cast_signed());
            (format.at(entry, 0, 4), info >> 8, info & 0xff, addend)
        };
        let symbol = usize::try_from(symbol).unwrap_or(usize::MAX);
        Relocation { offset, symbol, number: u32::try_from(number).unwrap_or(u32::MAX), addend }
    }
}

/// An entry of the symbol table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Symbol {
    /// Offset of its name in the names.
    pub(super) name: u32,
    pub(super) place: Place,
    /// Offset in its section, or the value itself.
    pub(super) value: u64,
    pub(super) binding: u8,
    pub(super) kind: u8,
}

impl Symbol {
    pub(super) const fn is_weak(&self) -> bool {
        self.binding == STB_WEAK
    }

    /// Others may refer to it by name.
    pub(super) const fn is_global(&self) -> bool {
        self.is_weak() || self.binding == STB_GLOBAL
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Undefined,
    Absolute,
    Common,
    Section(usize),
    /// In another object, which may come and go ([`SHN_LIVEPATCH`]).
    Patched,
    /// A number that only some machine or system gives a meaning.
    Reserved,
}

/// The symbol table.
#[derive(Debug, Clone, Copy)]
pub(super) struct SymbolTable<'data> {
    pub(super) bytes: &'data [u8],
    /// Names, each with a zero behind it.
    pub(super) strings: &'data [u8],
    /// Numbers of sections that do not fit an entry.
    pub(super) sections: &'data [u8],
    pub(super) format: Format,
}

impl<'data> SymbolTable<'data> {
    pub(super) const fn empty(format: Format) -> Self {
        SymbolTable { bytes: &[], strings: &[], sections: &[], format }
    }

    pub(super) const fn len(self) -> usize {
        self.bytes.len() / self.format.symbol_bytes()
    }

    pub(super) fn get(self, index: usize) -> Option<Symbol> {
        let size = self.format.symbol_bytes();
        let start = index.checked_mul(size)?;
        let entry = self.bytes.get(start..start.checked_add(size)?)?;
        let format = self.format;
        let at = |start: usize, len: usize| format.at(entry, start, len);
        // Where value, kind and section stand.
        let (value, info, section) =
            if format.is_64_bit { (at(8, 8), at(4, 1), at(6, 2)) } else { (at(4, 4), at(12, 1), at(14, 2)) };
        let section = u16::try_from(section).unwrap_or(SHN_UNDEF);
        let place = match section {
            SHN_UNDEF => Place::Undefined,
            SHN_ABS => Place::Absolute,
            SHN_COMMON => Place::Common,
            SHN_XINDEX => {
                let place = index.checked_mul(4)?;
                let wide = self.sections.get(place..place.checked_add(4)?)?;
                Place::Section(usize::try_from(format.number(wide)).ok()?)
            }
            SHN_LIVEPATCH => Place::Patched,
            SHN_LORESERVE.. => Place::Reserved,
            _ => Place::Section(section.into()),
        };
        let info = u8::try_from(info).unwrap_or(0);
        Some(Symbol { name: format.word(entry, 0), place, value, binding: info >> 4, kind: info & 15 })
    }

    pub(super) fn iter(self) -> impl Iterator<Item = (usize, Symbol)> + 'data {
        (0..self.len()).filter_map(move |index| Some((index, self.get(index)?)))
    }

    /// A name of at most `limit` bytes.
    pub(super) fn name(self, symbol: &Symbol, limit: u64) -> Result<&'data str, NameFault> {
        if symbol.name == 0 { Ok("") } else { name_at(self.strings, symbol.name, limit) }
    }
}

/// Why there is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameFault {
    /// It is outside the names, has no end, or is no text.
    Damaged,
    TooLong,
}

/// The text at an offset, up to a zero, of at most `limit` bytes.
pub(super) fn name_at(strings: &[u8], offset: u32, limit: u64) -> Result<&str, NameFault> {
    let rest = usize::try_from(offset).ok().and_then(|start| strings.get(start..)).ok_or(NameFault::Damaged)?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
    let fault = if rest.len() > most { NameFault::TooLong } else { NameFault::Damaged };
    let len = rest.iter().take(most).position(|byte| *byte == 0).ok_or(fault)?;
    core::str::from_utf8(&rest[..len]).map_err(|_| NameFault::Damaged)
}
