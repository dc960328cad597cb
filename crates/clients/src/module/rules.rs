//! What a relocation is, as data: a machine's relocations are rows of a table.

use execmem_types::ByteOrder;

/// What the loader knows of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineRules {
    /// Number of the machine in ELF.
    pub number: u16,
    /// Its objects have addresses of 64 bits, not 32.
    pub is_64_bit: bool,
    /// Byte order of its objects.
    pub order: ByteOrder,
    /// Bits of the header's flags that change nothing for the loader.
    pub flags: u32,
    /// Its relocations.
    pub relocations: &'static [RelocationRule],
    /// What to do where its processors may get the address of a page wrong.
    pub page_end: Option<PageEnd>,
}

/// A way round [`Erratum::AdrpAtPageEnd`](execmem_types::Erratum::AdrpAtPageEnd).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageEnd {
    /// The types of relocation at the instruction.
    pub relocations: &'static [u32],
    /// So many bytes at the end of each 4 KiB are where it must not stand.
    pub last_bytes: u64,
    /// Bits of it that are taken away to get the instruction that reaches less far and may stand there.
    pub cleared: u64,
    /// Where that one holds the distance.
    pub short: Target,
}

/// One type of relocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelocationRule {
    /// Number of the type in the ELF ABI of the machine.
    pub number: u32,
    /// Name of the type in that document.
    pub name: &'static str,
    /// What is computed.
    pub value: Value,
    /// Where it goes, and what must fit there.
    pub target: Target,
    /// A call or jump to a function, that may go by way of a PLT entry.
    pub is_call: bool,
    /// What S stands for.
    pub symbol: Meaning,
}

/// What the symbol of a relocation stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Its value.
    Value,
    /// The entry of the global offset table (GOT) that holds its value.
    Entry,
    /// The entry that holds the value plus the addend, which counts no more.
    EntryOfSum,
}

/// What a relocation computes, from the symbol S, the addend A, the place P, and what stands there, V.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Nothing,
    /// S + A
    Absolute,
    /// S + A − P
    Relative,
    /// S − P; the addend means something else.
    RelativeToSymbol,
    /// Page(S + A) − P, in pages of 4 KiB.
    PageFromPlace,
    /// S + A − (S + A of the next relocation, which is a [`Subtrahend`](Value::Subtrahend) at the same place).
    Difference,
    /// Nothing: the relocation before it has done both.
    Subtrahend,
    /// S + A − P, and a [`Low`](Value::Low) elsewhere needs the rest of it.
    High,
    /// S is the place of a [`High`](Value::High), and the value is that one's.
    Low,
    /// Page(S + A) − Page(P), in pages of 4 KiB.
    RelativePage,
    /// S + A − Page(P), in pages of 4 KiB.
    RelativeToPage,
    /// V + S + A
    Add,
    /// V − (S + A)
    Subtract,
}

/// What of the value must be representable in the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// No field.
    Nothing,
    /// All 64 bits of the address space: nothing can be lost.
    Word64,
    /// 32 bits that are extended with zeros.
    Unsigned32,
    /// So many bytes that are extended with the sign.
    Signed(u8),
    /// So many bytes that hold a number with or without a sign.
    Either(u8),
    /// So many bytes; what does not fit is lost.
    Wrapping(u8),
    /// As many bytes as stand there, up to eight, with seven bits in each (ULEB128).
    Uleb128,
    /// Bits of one or two instructions.
    Bits(&'static Bits),
}

/// The bits of an instruction that hold a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bits {
    /// Bytes of the instruction, or of two that follow each other: 1, 2, 4 or 8.
    pub bytes: u8,
    /// What the value must be.
    pub range: Range,
    /// The value must be a multiple of this.
    pub multiple_of: u8,
    /// What goes where.
    pub pieces: &'static [Piece],
    /// What else changes with the sign of the value.
    pub sign: Option<SignRule>,
}

/// The numbers that a field takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Any.
    Any,
    /// Those of so many bits with a sign.
    Signed(u8),
    /// Those of so many bits without one.
    Unsigned(u8),
}

/// Other instructions for numbers with and without a sign. Of a negative one, the pieces hold the complement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignRule {
    /// The bits of the instruction that tell.
    pub mask: u64,
    /// What they are for numbers from 0.
    pub positive: u64,
    /// What they are for the others.
    pub negative: u64,
}

/// Some bits of a value in an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Added to the value first: half of what the bits below stand for, if those are taken as a signed number.
    pub bias: u32,
    /// The lowest bit of the value.
    pub from: u8,
    /// How many bits.
    pub count: u8,
    /// The lowest bit of the instruction.
    pub to: u8,
}

/// A row.
pub(super) const fn rule(number: u32, name: &'static str, value: Value, target: Target) -> RelocationRule {
    RelocationRule { number, name, value, target, is_call: false, symbol: Meaning::Value }
}

/// A row of a call.
pub(super) const fn call(number: u32, name: &'static str, target: Target) -> RelocationRule {
    RelocationRule { number, name, value: Value::Relative, target, is_call: true, symbol: Meaning::Value }
}

/// A row of a type that reads the GOT.
pub(super) const fn got(symbol: Meaning, rule: RelocationRule) -> RelocationRule {
    RelocationRule { symbol, ..rule }
}

/// Bits `from..from + count` of the value at `to`.
pub(super) const fn piece(from: u8, count: u8, to: u8) -> Piece {
    Piece { bias: 0, from, count, to }
}

impl Target {
    /// Bytes of the field that begins at the start of `bytes`, which it may exceed.
    pub(super) fn bytes(self, bytes: &[u8]) -> usize {
        match self {
            Target::Nothing => 0,
            Target::Word64 => 8,
            Target::Unsigned32 => 4,
            Target::Either(bytes) | Target::Wrapping(bytes) | Target::Signed(bytes) => bytes.into(),
            // Without an end, it ends behind the bytes that there are.
            Target::Uleb128 => bytes.iter().position(|byte| byte & 0x80 == 0).unwrap_or(bytes.len()) + 1,
            Target::Bits(bits) => bits.bytes.into(),
        }
    }

    /// Whether a field of `len` bytes holds the value.
    pub(super) fn holds(self, value: i128, len: usize) -> bool {
        let signed = |bits: u32| value >= -(1_i128 << (bits - 1)) && value < 1_i128 << (bits - 1);
        match self {
            Target::Nothing | Target::Word64 | Target::Wrapping(_) => true,
            Target::Unsigned32 => u32::try_from(value).is_ok(),
            Target::Signed(bytes) => signed(u32::from(bytes) * 8),
            Target::Either(bytes) => value >= -(1 << (bytes * 8 - 1)) && value < 1 << (bytes * 8),
            Target::Uleb128 => value >= 0 && len <= 8 && value < 1 << (7 * len),
            Target::Bits(bits) => value % i128::from(bits.multiple_of) == 0 && bits.range_holds(value),
        }
    }

    /// The field of `len` bytes with the value in it.
    pub(super) fn insert(self, field: u64, value: i128, len: usize) -> u64 {
        let low = value.to_le_bytes().first_chunk().map_or(0, |low| u64::from_le_bytes(*low));
        match self {
            Target::Bits(bits) => bits.insert(field, low, value < 0),
            Target::Uleb128 => (0..len).fold(0, |all, index| {
                let more = if index + 1 < len { 0x80 } else { 0 };
                all | (low >> (7 * index) & 0x7f | more) << (8 * index)
            }),
            _ => low,
        }
    }
}

impl Bits {
    /// A branch, or other bits that hold a number with a sign.
    pub(super) const fn signed(bytes: u8, bits: u8, multiple_of: u8, pieces: &'static [Piece]) -> Self {
        Bits { bytes, range: Range::Signed(bits), multiple_of, pieces, sign: None }
    }

    /// Part of any number.
    pub(super) const fn any(bytes: u8, multiple_of: u8, pieces: &'static [Piece]) -> Self {
        Bits { bytes, range: Range::Any, multiple_of, pieces, sign: None }
    }

    fn range_holds(&self, value: i128) -> bool {
        match self.range {
            Range::Any => true,
            Range::Unsigned(bits) => value >= 0 && value < 1 << bits,
            Range::Signed(bits) => {
                let limit = 1_i128 << (bits - 1);
                // What a piece adds can carry it beyond the last bit that there is.
                let bias = self.pieces.iter().map(|piece| i128::from(piece.bias)).max().unwrap_or(0);
                (-limit..limit).contains(&(value + bias))
            }
        }
    }

    fn insert(&self, field: u64, value: u64, is_negative: bool) -> u64 {
        let (field, value) = match self.sign {
            None => (field, value),
            Some(rule) if is_negative => (field & !rule.mask | rule.negative, !value),
            Some(rule) => (field & !rule.mask | rule.positive, value),
        };
        self.pieces.iter().fold(field, |field, piece| piece.insert(field, value))
    }
}

impl Piece {
    const fn insert(self, field: u64, value: u64) -> u64 {
        let mask = (1_u64 << self.count) - 1;
        let bits = value.wrapping_add(self.bias as u64) >> self.from & mask;
        field & !(mask << self.to) | bits << self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_hold_exactly_what_they_can() {
        let holds = |target: Target, value: i128| target.holds(value, 4);
        assert!(holds(Target::Unsigned32, 0xffff_ffff) && !holds(Target::Unsigned32, 0x1_0000_0000));
        assert!(!holds(Target::Unsigned32, -1));
        assert!(holds(Target::Signed(4), 0x7fff_ffff) && !holds(Target::Signed(4), 0x8000_0000));
        assert!(holds(Target::Signed(4), -0x8000_0000) && !holds(Target::Signed(4), -0x8000_0001));
        assert!(holds(Target::Signed(2), 0x7fff) && !holds(Target::Signed(2), 0x8000));
        assert!(holds(Target::Either(2), 0xffff) && !holds(Target::Either(2), 0x1_0000));
        assert!(holds(Target::Either(2), -0x8000) && !holds(Target::Either(2), -0x8001));
        let uleb = |value, len| Target::Uleb128.holds(value, len);
        assert!(uleb(0x7f, 1) && !uleb(0x80, 1) && uleb(0x3fff, 2) && !uleb(0x4000, 2) && !uleb(-1, 8));
    }

    #[test]
    fn bits_are_put_where_the_pieces_say() {
        const HIGH: Piece = Piece { bias: 0x800, from: 12, count: 20, to: 12 };
        static PAIR: Bits = Bits::signed(8, 32, 1, &[HIGH, piece(0, 12, 52)]);
        let target = Target::Bits(&PAIR);
        assert_eq!(target.insert(0x0000_80e7_0000_0097, 0x12345fff, 8), 0xfff0_80e7_1234_6097);
        assert!(target.holds(0x7fff_f7ff, 8) && !target.holds(0x7fff_f800, 8), "the carry would be lost");
        assert!(target.holds(-0x8000_0800, 8) && !target.holds(-0x8000_0801, 8));
        static BRANCH: Bits = Bits::signed(4, 28, 4, &[piece(2, 26, 0)]);
        let target = Target::Bits(&BRANCH);
        assert_eq!(target.insert(0x9400_0000, -4, 4), 0x97ff_ffff);
        assert!(target.holds(-(1 << 27), 4) && !target.holds(1 << 27, 4) && !target.holds(2, 4));
    }

    #[test]
    fn numbers_of_seven_bits_a_byte_keep_their_length() {
        let bytes = |len: usize| Target::Uleb128.bytes(&[0x80, 0x80, 0x00, 0x55][..len]);
        assert_eq!((bytes(4), bytes(2)), (3, 3), "one that has no end is longer than what there is");
        assert_eq!(Target::Uleb128.insert(0, 0x1234, 3), 0x00_a4_b4);
        assert_eq!(Target::Uleb128.insert(0, 1, 1), 1);
    }
}
