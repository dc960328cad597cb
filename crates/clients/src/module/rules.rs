//! What a relocation is, as data: a machine's relocations are rows of a table.

/// What the loader knows of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineRules {
    /// Number of the machine in ELF.
    pub number: u16,
    /// Its relocations.
    pub relocations: &'static [RelocationRule],
    /// Width of an address in bits: where addresses wrap.
    pub address_bits: u32,
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
    /// S + A − P, and a [`Low`](Value::Low) elsewhere needs the rest of it.
    High,
    /// S is the place of a [`High`](Value::High), and the value is that one's.
    Low,
    /// Page(S + A) − Page(P), in pages of 4 KiB.
    RelativePage,
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
    /// 32 bits that are extended with the sign.
    Signed32,
    /// So many bytes that hold a number with or without a sign.
    Either(u8),
    /// So many bytes; what does not fit is lost.
    Wrapping(u8),
    /// Bits of one or two instructions.
    Bits(&'static Bits),
}

/// The bits of an instruction that hold a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bits {
    /// Bytes of the instruction, or of two that follow each other: 2, 4 or 8.
    pub bytes: u8,
    /// The value must fit so many bits with a sign; 64 for any.
    pub signed_bits: u8,
    /// The value must be a multiple of this.
    pub multiple_of: u8,
    /// What goes where.
    pub pieces: &'static [Piece],
}

/// Some bits of a value in an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Added to the value first: half of what the bits below stand for, if those are taken as a signed number.
    pub bias: u16,
    /// The lowest bit of the value.
    pub from: u8,
    /// How many bits.
    pub count: u8,
    /// The lowest bit of the instruction.
    pub to: u8,
}

/// A row.
pub(super) const fn rule(number: u32, name: &'static str, value: Value, target: Target) -> RelocationRule {
    RelocationRule { number, name, value, target, is_call: false }
}

/// A row of a call.
pub(super) const fn call(number: u32, name: &'static str, target: Target) -> RelocationRule {
    RelocationRule { number, name, value: Value::Relative, target, is_call: true }
}

/// Bits `from..from + count` of the value at `to`.
pub(super) const fn piece(from: u8, count: u8, to: u8) -> Piece {
    Piece { bias: 0, from, count, to }
}

impl Target {
    pub(super) const fn bytes(self) -> usize {
        match self {
            Target::Nothing => 0,
            Target::Word64 => 8,
            Target::Unsigned32 | Target::Signed32 => 4,
            Target::Either(bytes) | Target::Wrapping(bytes) => bytes as usize,
            Target::Bits(bits) => bits.bytes as usize,
        }
    }

    pub(super) const fn holds(self, value: i128) -> bool {
        match self {
            Target::Nothing | Target::Word64 | Target::Wrapping(_) => true,
            Target::Unsigned32 => value >= 0 && value <= u32::MAX as i128,
            Target::Signed32 => value >= i32::MIN as i128 && value <= i32::MAX as i128,
            Target::Either(bytes) => value >= -(1 << (bytes * 8 - 1)) && value < 1 << (bytes * 8),
            Target::Bits(bits) => {
                let limit = 1_i128 << (bits.signed_bits - 1);
                // What a piece adds can carry it beyond the last bit that there is.
                let bias = bits.largest_bias() as i128;
                let value_and_bias = value + if bits.signed_bits < 64 { bias } else { 0 };
                value % bits.multiple_of as i128 == 0 && value_and_bias >= -limit && value_and_bias < limit
            }
        }
    }

    /// The field with the value in it.
    pub(super) fn insert(self, field: u64, value: i128) -> u64 {
        let value = value.to_le_bytes().first_chunk().map_or(0, |low| u64::from_le_bytes(*low));
        match self {
            Target::Bits(bits) => bits.pieces.iter().fold(field, |field, piece| piece.insert(field, value)),
            _ => value,
        }
    }
}

impl Bits {
    const fn largest_bias(&self) -> u16 {
        let (mut largest, mut index) = (0, 0);
        while index < self.pieces.len() {
            if self.pieces[index].bias > largest {
                largest = self.pieces[index].bias;
            }
            index += 1;
        }
        largest
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
        assert!(Target::Unsigned32.holds(0xffff_ffff) && !Target::Unsigned32.holds(0x1_0000_0000));
        assert!(!Target::Unsigned32.holds(-1));
        assert!(Target::Signed32.holds(0x7fff_ffff) && !Target::Signed32.holds(0x8000_0000));
        assert!(Target::Signed32.holds(-0x8000_0000) && !Target::Signed32.holds(-0x8000_0001));
        assert!(Target::Either(2).holds(0xffff) && !Target::Either(2).holds(0x1_0000));
        assert!(Target::Either(2).holds(-0x8000) && !Target::Either(2).holds(-0x8001));
    }

    #[test]
    fn bits_are_put_where_the_pieces_say() {
        const HIGH: Piece = Piece { bias: 0x800, from: 12, count: 20, to: 12 };
        static PAIR: Bits = Bits { bytes: 8, signed_bits: 32, multiple_of: 1, pieces: &[HIGH, piece(0, 12, 52)] };
        let target = Target::Bits(&PAIR);
        assert_eq!(target.insert(0x0000_80e7_0000_0097, 0x12345fff), 0xfff0_80e7_1234_6097);
        assert!(target.holds(0x7fff_f7ff) && !target.holds(0x7fff_f800), "the carry would be lost");
        assert!(target.holds(-0x8000_0800) && !target.holds(-0x8000_0801));
        static BRANCH: Bits = Bits { bytes: 4, signed_bits: 28, multiple_of: 4, pieces: &[piece(2, 26, 0)] };
        let target = Target::Bits(&BRANCH);
        assert_eq!(target.insert(0x9400_0000, -4), 0x97ff_ffff);
        assert!(target.holds(-(1 << 27)) && !target.holds(1 << 27) && !target.holds(2));
    }
}
