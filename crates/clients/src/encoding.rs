//! What clients have of their own for an instruction set, as rows of data: code, and ways to write it.
//!
//! What a machine's calls, jumps, veneers and breakpoints look like is not here: an
//! [`InstructionSet`](execmem_types::InstructionSet) says that.

use execmem_types::{ByteOrder, Isa, Operand, Origin, Sequence, Slice, Template};

/// What a client has for each instruction set that it knows.
pub(crate) type Rows<T> = [(Isa, T)];

/// The row of an instruction set.
pub(crate) fn row<T: Copy>(rows: &Rows<T>, isa: Isa) -> Option<T> {
    rows.iter().find(|(known, _)| *known == isa).map(|(_, row)| *row)
}

/// Instructions of a little-endian machine of 64 bits.
pub(crate) const fn little(templates: &'static [Template]) -> Sequence {
    Sequence { templates, address_bits: 64, order: ByteOrder::Little }
}

/// Instructions of a big-endian machine of 32 bits.
pub(crate) const fn big(templates: &'static [Template]) -> Sequence {
    Sequence { templates, address_bits: 32, order: ByteOrder::Big }
}

/// An instruction of one word.
pub(crate) const fn word(bits: u32, operand: Option<Operand>) -> Template {
    Template { len: 4, bits: bits as u128, operand }
}

/// A distance with a sign, from so many bytes behind the start of the sequence.
pub(crate) const fn distance(base: u8, slices: &'static [Slice]) -> Operand {
    Operand { from: Origin::Site(base), bias: 0, is_signed: true, slices }
}

/// An address, or part of one.
pub(crate) const fn address(slices: &'static [Slice]) -> Operand {
    Operand { from: Origin::Zero, bias: 0, is_signed: false, slices }
}

/// Bits of a number, and where they stand.
pub(crate) const fn slice(from: u8, width: u8, to: u8) -> Slice {
    Slice { from, width, to }
}

/// An address as data.
pub(crate) const ADDRESS_64: Sequence =
    little(&[Template { len: 8, bits: 0, operand: Some(address(&[slice(0, 64, 0)])) }]);

/// An address as data.
pub(crate) const ADDRESS_32: Sequence = big(&[word(0, Some(address(&[slice(0, 32, 0)])))]);
