//! Instructions as data: fixed bits, and slices of a target's address between them.
//!
//! A [`Sequence`] of templates names one target. Encoding cuts the address into slices; decoding puts the slices
//! together again. [`Sequence::encode`] answers only what decodes to the target it was given, so reach, alignment and
//! sign extension need no rules of their own.

use crate::PowerOfTwo;

/// Most bytes of a [`Sequence`].
pub const MAX_SEQUENCE_BYTES: usize = 24;

/// Which end of a number comes first in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    /// The low byte.
    Little,
    /// The high byte.
    Big,
}

impl ByteOrder {
    /// A word as it stands in memory.
    #[must_use]
    pub const fn bytes_of(self, word: u32) -> [u8; 4] {
        match self {
            ByteOrder::Little => word.to_le_bytes(),
            ByteOrder::Big => word.to_be_bytes(),
        }
    }

    /// The word that stands in memory so.
    #[must_use]
    pub const fn word_of(self, bytes: [u8; 4]) -> u32 {
        match self {
            ByteOrder::Little => u32::from_le_bytes(bytes),
            ByteOrder::Big => u32::from_be_bytes(bytes),
        }
    }
}

/// Instructions that together name one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// In order of address.
    pub templates: &'static [Template],
    /// Width of an address in bits: what is cut off where addresses wrap.
    pub address_bits: u32,
    /// Byte order of instructions.
    pub order: ByteOrder,
}

/// One instruction, or a word of data that instructions load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template {
    /// Length in bytes, 1 to 16.
    pub len: u8,
    /// The bits outside the slices, as a number in the byte order of the sequence.
    pub bits: u128,
    /// What stands in the slices; `None` if there are none.
    pub operand: Option<Operand>,
}

/// A number that stands in an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operand {
    /// What it counts from.
    pub from: Origin,
    /// What is added before it is cut, because a lower part is extended with its sign. In bytes.
    pub bias: u32,
    /// Whether the processor extends it with its highest bit.
    pub is_signed: bool,
    /// Its parts.
    pub slices: &'static [Slice],
}

/// What a number in an instruction counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Zero: it is an address, or part of one.
    Zero,
    /// The first byte of the sequence and this many bytes more.
    Site(u8),
    /// The start of what a byte of the sequence lies in: a page where pages are counted, a segment where branches
    /// stay in one.
    SiteBlock {
        /// Which byte.
        base: u8,
        /// Size of the page or segment.
        size: PowerOfTwo,
    },
}

/// Some bits of a number, and where they stand in an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Lowest bit of the number.
    pub from: u8,
    /// How many bits.
    pub width: u8,
    /// Lowest bit in the instruction.
    pub to: u8,
}

/// Encoded instructions, in memory order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoded {
    bytes: [u8; MAX_SEQUENCE_BYTES],
    len: u8,
}

impl Encoded {
    const EMPTY: Encoded = Encoded { bytes: [0; MAX_SEQUENCE_BYTES], len: 0 };

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&self.bytes)
    }

    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        let start = usize::from(self.len);
        self.bytes.get_mut(start..start + bytes.len())?.copy_from_slice(bytes);
        self.len += u8::try_from(bytes.len()).ok()?;
        Some(())
    }
}

impl Sequence {
    /// Length in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        let mut len = 0;
        let mut index = 0;
        while index < self.templates.len() {
            len += self.templates[index].len as u64;
            index += 1;
        }
        len
    }

    /// Whether it has no instructions.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.templates.is_empty()
    }

    /// The instructions at `site` that name `target`; `None` if no such instructions can.
    #[must_use]
    pub fn encode(&self, site: u64, target: u64) -> Option<Encoded> {
        let mut encoded = Encoded::EMPTY;
        for template in self.templates {
            let number = template.bits | template.operand.map_or(0, |operand| operand.place(site, target));
            let len = usize::from(template.len);
            match self.order {
                ByteOrder::Little => encoded.push(number.to_le_bytes().get(..len)?)?,
                ByteOrder::Big => encoded.push(number.to_be_bytes().get(16_usize.checked_sub(len)?..)?)?,
            }
        }
        (self.decode(site, encoded.bytes()) == Some(target)).then_some(encoded)
    }

    /// The target that `bytes` at `site` name; `None` if they are other instructions.
    #[must_use]
    pub fn decode(&self, site: u64, bytes: &[u8]) -> Option<u64> {
        let mut rest = bytes;
        let mut target = 0_u64;
        let mut origin = None;
        for template in self.templates {
            let (word, after) = rest.split_at_checked(usize::from(template.len))?;
            rest = after;
            let number = number(word, self.order);
            let operand_bits = template.operand.map_or(0, |operand| operand.mask());
            if number & !operand_bits != template.bits & !operand_bits {
                return None;
            }
            let Some(operand) = template.operand else { continue };
            target = target.wrapping_add(operand.value(number));
            origin = origin.or(operand.origin(site));
        }
        let target = target.wrapping_add(origin.unwrap_or(0));
        Some(if self.address_bits >= 64 { target } else { target & ((1 << self.address_bits) - 1) })
    }
}

/// The bytes of an instruction as a number.
fn number(bytes: &[u8], order: ByteOrder) -> u128 {
    let add = |number: u128, byte: &u8| number << 8 | u128::from(*byte);
    match order {
        ByteOrder::Little => bytes.iter().rev().fold(0, add),
        ByteOrder::Big => bytes.iter().fold(0, add),
    }
}

impl Operand {
    /// What offsets count from, `None` if they are no offsets.
    fn origin(&self, site: u64) -> Option<u64> {
        match self.from {
            Origin::Zero => None,
            Origin::Site(base) => Some(site.wrapping_add(u64::from(base))),
            Origin::SiteBlock { base, size } => Some(size.round_down(site.wrapping_add(u64::from(base)))),
        }
    }

    /// The bits of an instruction that its slices take.
    fn mask(&self) -> u128 {
        self.slices.iter().fold(0, |mask, slice| mask | slice.ones() << slice.to)
    }

    /// The slices of what names `target`, where they stand in the instruction.
    fn place(&self, site: u64, target: u64) -> u128 {
        let offset = target.wrapping_sub(self.origin(site).unwrap_or(0));
        let value = u128::from(offset.wrapping_add(u64::from(self.bias)));
        self.slices.iter().fold(0, |word, slice| word | (value >> slice.from & slice.ones()) << slice.to)
    }

    /// The number that stands in an instruction.
    fn value(&self, instruction: u128) -> u64 {
        let parts = self.slices.iter().map(|slice| (instruction >> slice.to & slice.ones()) << slice.from);
        let value = parts.fold(0, |value, part| value | part);
        let top = self.slices.iter().map(|slice| u32::from(slice.from) + u32::from(slice.width)).max().unwrap_or(0);
        let is_negative = self.is_signed && top > 0 && value >> (top - 1) & 1 == 1;
        let extended = if is_negative { value | u128::MAX << top } else { value };
        let bytes = extended.to_le_bytes();
        u64::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
    }
}

impl Slice {
    const fn ones(self) -> u128 {
        (1 << self.width) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn sequence(templates: &'static [Template], order: ByteOrder) -> Sequence {
        Sequence { templates, address_bits: 64, order }
    }

    /// A displacement of 26 bits that counts words.
    const WORDS: Operand =
        Operand { from: Origin::Site(0), bias: 0, is_signed: true, slices: &[Slice { from: 2, width: 26, to: 0 }] };
    /// Halves of an address, the lower of which is extended with its sign.
    const HIGH: Operand =
        Operand { from: Origin::Zero, bias: 0x8000, is_signed: false, slices: &[Slice { from: 16, width: 16, to: 0 }] };
    const LOW: Operand =
        Operand { from: Origin::Zero, bias: 0, is_signed: true, slices: &[Slice { from: 0, width: 16, to: 0 }] };

    const fn word(bits: u128, operand: Option<Operand>) -> Template {
        Template { len: 4, bits, operand }
    }

    #[test]
    fn a_displacement_reaches_what_it_can_and_nothing_else() {
        const BRANCH: &[Template] = &[word(0x9400_0000, Some(WORDS))];
        let branch = sequence(BRANCH, ByteOrder::Little);
        let site = 0x1_0000_0000;
        assert_eq!(branch.encode(site, site + 8).expect("near").bytes(), [2, 0, 0, 0x94]);
        assert_eq!(branch.encode(site, site - 4).expect("near").bytes(), [0xff, 0xff, 0xff, 0x97]);
        assert!(branch.encode(site, site + 0x7ff_fffc).is_some() && branch.encode(site, site + 0x800_0000).is_none());
        assert!(branch.encode(site, site - 0x800_0000).is_some() && branch.encode(site, site - 0x800_0004).is_none());
        assert!(branch.encode(site, site + 6).is_none(), "not a multiple of a word");
        assert_eq!(branch.decode(site, &[2, 0, 0, 0x95]), Some(site + 8 + 0x400_0000));
        assert_eq!(branch.decode(site, &[2, 0, 0, 0x14]), None, "another instruction");
        assert_eq!(branch.decode(site, &[2, 0, 0]), None, "cut off");
    }

    #[test]
    fn a_segment_is_left_by_no_branch_and_pages_are_counted_from_that_of_the_site() {
        const JUMP: &[Template] = &[word(
            0x0800_0000,
            Some(Operand {
                from: Origin::SiteBlock { base: 4, size: PowerOfTwo::from_log2(28) },
                is_signed: false,
                ..WORDS
            }),
        )];
        let jump = sequence(JUMP, ByteOrder::Big);
        assert_eq!(jump.encode(0x8000_1000, 0x8fff_fffc).expect("inside").bytes(), [0x0b, 0xff, 0xff, 0xff]);
        assert!(jump.encode(0x8000_1000, 0x7fff_fffc).is_none() && jump.encode(0x8fff_fffc, 0x8000_0000).is_none());
        const PAGE: &[Template] = &[word(
            0x9000_0010,
            Some(Operand {
                from: Origin::SiteBlock { base: 0, size: PowerOfTwo::from_log2(12) },
                slices: &[Slice { from: 12, width: 2, to: 29 }, Slice { from: 14, width: 19, to: 5 }],
                ..WORDS
            }),
        )];
        let page = sequence(PAGE, ByteOrder::Little);
        assert_eq!(page.encode(0x1_0000_0ffc, 0x1_0000_1000).expect("next page").bytes(), [0x10, 0, 0, 0xb0]);
        assert!(
            page.encode(0x1_0000_0000, 0xffff_f000).is_some() && page.encode(0x1_0000_0000, 0x2_0000_0000).is_none()
        );
    }

    #[test]
    fn parts_that_are_extended_with_their_sign_add_up() {
        const HALVES: &[Template] = &[word(0x3d80_0000, Some(HIGH)), word(0x398c_0000, Some(LOW))];
        let halves = Sequence { address_bits: 32, ..sequence(HALVES, ByteOrder::Big) };
        for target in [0, 0x7fff, 0x8000, 0xffff, 0xc000_8000, 0xffff_ffff, 0xbe60_7ffc] {
            let encoded = halves.encode(0, target).expect("any 32 bits");
            assert_eq!(halves.decode(0, encoded.bytes()), Some(target), "{target:#x}");
        }
        let want = [0x3d, 0x80, 0xc0, 0x01, 0x39, 0x8c, 0x80, 0x00];
        assert_eq!(halves.encode(0, 0xc000_8000).expect("fits").bytes(), want);
        assert!(halves.encode(0, 1 << 32).is_none());
    }
}
