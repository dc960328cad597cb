//! References of Cranelift's code, computed for the address it runs at and range-checked.

use cranelift_codegen::binemit::Reloc;

use crate::Error;
use crate::island::Islands;

/// Bytes being relocated: where they are now, and where they run.
#[derive(Debug)]
pub(crate) struct Image<'b> {
    /// The bytes, not yet at their address.
    pub(crate) bytes: &'b mut [u8],
    /// The address of the first.
    pub(crate) address: u64,
    pub(crate) islands: Islands,
}

/// One reference, resolved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reference {
    pub(crate) kind: Reloc,
    pub(crate) offset: u32,
    pub(crate) target: u64,
    pub(crate) addend: i64,
    /// What the previous reference resolved to: the pair of a low part has its target there.
    pub(crate) previous: Option<(u32, u64)>,
}

/// Refuses references that [`Image::apply`] does not know, and those to thread-local data.
pub(crate) fn check_known(kind: Reloc) -> Result<(), Error> {
    match kind {
        Reloc::Abs4
        | Reloc::Abs8
        | Reloc::X86PCRel4
        | Reloc::X86CallPCRel4
        | Reloc::X86CallPLTRel4
        | Reloc::X86GOTPCRel4
        | Reloc::Arm64Call
        | Reloc::Aarch64AdrPrelPgHi21
        | Reloc::Aarch64AddAbsLo12Nc
        | Reloc::Aarch64AdrGotPage21
        | Reloc::Aarch64Ld64GotLo12Nc
        | Reloc::RiscvCallPlt
        | Reloc::RiscvPCRelHi20
        | Reloc::RiscvPCRelLo12I
        | Reloc::RiscvGotHi20 => Ok(()),
        Reloc::MachOX86_64Tlv
        | Reloc::ElfX86_64TlsGd
        | Reloc::MachOAarch64TlsAdrPage21
        | Reloc::MachOAarch64TlsAdrPageOff12
        | Reloc::Aarch64TlsDescAdrPage21
        | Reloc::Aarch64TlsDescLd64Lo12
        | Reloc::Aarch64TlsDescAddLo12
        | Reloc::Aarch64TlsDescCall
        | Reloc::RiscvTlsGdHi20
        | Reloc::S390xTlsGd64
        | Reloc::S390xTlsGdCall => Err(Error::ThreadLocal),
        kind => Err(Error::UnknownReference { kind }),
    }
}

/// Whether a reference may need an island if its target is out of reach, or always needs one.
pub(crate) fn may_need_island(kind: Reloc) -> bool {
    matches!(
        kind,
        Reloc::X86CallPCRel4
            | Reloc::X86CallPLTRel4
            | Reloc::X86GOTPCRel4
            | Reloc::Arm64Call
            | Reloc::Aarch64AdrGotPage21
            | Reloc::RiscvCallPlt
            | Reloc::RiscvGotHi20
    )
}

/// Whether a reference goes through the word that holds the address, wherever the target is.
pub(crate) fn needs_slot(kind: Reloc) -> bool {
    matches!(kind, Reloc::X86GOTPCRel4 | Reloc::Aarch64AdrGotPage21 | Reloc::Aarch64Ld64GotLo12Nc | Reloc::RiscvGotHi20)
}

/// Distances and how they are written.
impl Image<'_> {
    /// Applies a reference.
    pub(crate) fn apply(&mut self, reference: &Reference) -> Result<(), Error> {
        let Reference { kind, offset, target, addend, .. } = *reference;
        let site = self.address + u64::from(offset);
        let beyond = Error::OutOfReach { kind, site, target };
        let goal = target.wrapping_add_signed(addend);
        match kind {
            Reloc::Abs8 => self.set(offset, &goal.to_le_bytes()),
            Reloc::Abs4 => self.set(offset, &u32::try_from(goal).map_err(|_| beyond)?.to_le_bytes()),
            Reloc::X86PCRel4 => self.set(offset, &near(site, goal).ok_or(beyond)?.to_le_bytes()),
            Reloc::X86CallPCRel4 | Reloc::X86CallPLTRel4 => self.call_x86(reference, site, beyond),
            Reloc::X86GOTPCRel4 => {
                let slot = self.islands.slot(target).ok_or(Error::OutOfReach { kind, site, target })?;
                self.set(offset, &near(site, slot.wrapping_add_signed(addend)).ok_or(beyond)?.to_le_bytes())
            }
            Reloc::Arm64Call => {
                let word = |goal| word_distance(site, goal, 26);
                let distance = word(goal).or_else(|| word(self.islands.at(goal)?)).ok_or(beyond)?;
                self.insert(offset, distance)
            }
            Reloc::Aarch64AdrPrelPgHi21 => self.page_distance(offset, site, goal, beyond),
            Reloc::Aarch64AdrGotPage21 => {
                let slot = self.islands.slot(goal).ok_or(Error::OutOfReach { kind, site, target })?;
                self.page_distance(offset, site, slot, beyond)
            }
            Reloc::Aarch64AddAbsLo12Nc => self.insert(offset, low(goal, 12) << 10),
            Reloc::Aarch64Ld64GotLo12Nc => {
                let slot = self.islands.slot(goal).ok_or(beyond)?;
                self.insert(offset, (low(slot, 12) >> 3) << 10)
            }
            Reloc::RiscvCallPlt => {
                let distance = near(site, goal).or_else(|| near(site, self.islands.at(goal)?)).ok_or(beyond)?;
                let (high, low) = halves(distance);
                self.insert(offset, high)?;
                self.insert(offset + 4, low << 20)
            }
            Reloc::RiscvPCRelHi20 => self.insert(offset, halves(near(site, goal).ok_or(beyond)?).0),
            Reloc::RiscvGotHi20 => {
                let slot = self.islands.slot(goal).ok_or(Error::OutOfReach { kind, site, target })?;
                self.insert(offset, halves(near(site, slot).ok_or(beyond)?).0)
            }
            Reloc::RiscvPCRelLo12I => {
                // Its own target is the instruction with the high part, which the reference before it filled in.
                let (high_offset, goal) = reference.previous.ok_or(Error::UnknownReference { kind })?;
                let distance = near(self.address + u64::from(high_offset), goal).ok_or(beyond)?;
                self.insert(offset, halves(distance).1 << 20)
            }
            kind => Err(Error::UnknownReference { kind }),
        }
    }

    /// What a high part at an offset was relative to, for the low part that follows.
    pub(crate) fn resolved(&mut self, reference: &Reference) -> Option<(u32, u64)> {
        let goal = reference.target.wrapping_add_signed(reference.addend);
        let goal = if needs_slot(reference.kind) { self.islands.slot(goal)? } else { goal };
        Some((reference.offset, goal))
    }

    /// The displacement of a call counts from its end, which the addend says: an island is called the same way.
    fn call_x86(&mut self, reference: &Reference, site: u64, beyond: Error) -> Result<(), Error> {
        let Reference { offset, target, addend, .. } = *reference;
        let direct = near(site, target.wrapping_add_signed(addend));
        let distance = direct.or_else(|| near(site, self.islands.at(target)?.wrapping_add_signed(addend)));
        self.set(offset, &distance.ok_or(beyond)?.to_le_bytes())
    }

    /// `adrp`: the distance of pages of 4 KiB, 21 bits in two pieces.
    fn page_distance(&mut self, offset: u32, site: u64, goal: u64, beyond: Error) -> Result<(), Error> {
        let pages = ((goal & !0xfff).wrapping_sub(site & !0xfff).cast_signed()) >> 12;
        if pages >> 20 != 0 && pages >> 20 != -1 {
            return Err(beyond);
        }
        let bits = low(pages.cast_unsigned(), 21);
        self.insert(offset, (bits & 3) << 29 | (bits >> 2) << 5)
    }

    fn place(&mut self, offset: u32, len: usize) -> Result<&mut [u8], Error> {
        let total = self.bytes.len();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(len);
        self.bytes.get_mut(start..end).ok_or(Error::BadOffset { offset, len: total })
    }

    fn set(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Error> {
        self.place(offset, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    /// Puts bits into an instruction of four bytes, where they are zero.
    fn insert(&mut self, offset: u32, bits: u32) -> Result<(), Error> {
        for (byte, bits) in self.place(offset, 4)?.iter_mut().zip(bits.to_le_bytes()) {
            *byte |= bits;
        }
        Ok(())
    }
}

/// The distance from a site, if 32 bits hold it.
fn near(site: u64, goal: u64) -> Option<i32> {
    i32::try_from(i128::from(goal) - i128::from(site)).ok()
}

/// The distance in words of four bytes, if so many bits hold it.
fn word_distance(site: u64, goal: u64, bits: u32) -> Option<u32> {
    let words = goal.wrapping_sub(site).cast_signed() >> 2;
    let sign = words >> (bits - 1);
    (sign == 0 || sign == -1).then(|| low(words.cast_unsigned(), bits))
}

/// The low bits of a number.
fn low(number: u64, bits: u32) -> u32 {
    u32::try_from(number & ((1 << bits) - 1)).unwrap_or(0)
}

/// A distance as riscv has it: 20 high bits in place, 12 low bits that are signed.
fn halves(distance: i32) -> (u32, u32) {
    let distance = distance.cast_unsigned();
    let high = distance.wrapping_add(0x800) & 0xffff_f000;
    (high, distance.wrapping_sub(high) & 0xfff)
}

#[cfg(test)]
mod tests {
    use target_lexicon::Architecture;

    use super::*;
    use crate::island::Shape;

    const AT: u64 = 0x7000_0000_0000;

    fn apply(kind: Reloc, target: u64, addend: i64, room: usize) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let mut bytes = vec![0; 8];
        let shape = Shape::of(Architecture::X86_64).expect("known");
        let islands = Islands::new(shape, AT + 0x100, room);
        let mut image = Image { bytes: &mut bytes, address: AT, islands };
        let outcome = image.apply(&Reference { kind, offset: 0, target, addend, previous: Some((0, AT + 0x1234)) });
        let islands = image.islands.bytes();
        outcome.map(|()| (bytes, islands))
    }

    fn word(bytes: &[u8]) -> u32 {
        u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"))
    }

    #[test]
    fn calls_that_do_not_reach_go_through_an_island() {
        let (near, islands) = apply(Reloc::X86CallPCRel4, AT + 0x1000, -4, 1).expect("in reach");
        assert_eq!((word(&near), islands.len()), (0xffc, 0));
        let (far, islands) = apply(Reloc::X86CallPCRel4, 0x5555_0000_0000, -4, 1).expect("an island");
        assert_eq!((word(&far), islands.len()), (0xfc, 16));
        let error = apply(Reloc::X86CallPCRel4, 0x5555_0000_0000, -4, 0).expect_err("no room");
        assert!(matches!(error, Error::OutOfReach { .. }));
        let (far, _) = apply(Reloc::Arm64Call, 0x5555_0000_0000, 0, 1).expect("an island");
        assert_eq!(word(&far), 0x40);
    }

    #[test]
    fn reach_is_exact() {
        let pc_relative = |target: u64| apply(Reloc::X86PCRel4, target, -4, 1);
        assert!(pc_relative(AT + 0x8000_0003).is_ok() && pc_relative(AT + 0x8000_0004).is_err());
        assert!(pc_relative(AT + 4 - 0x8000_0000).is_ok() && pc_relative(AT + 3 - 0x8000_0000).is_err());
        let (bytes, islands) = apply(Reloc::Arm64Call, AT + (128 << 20) - 4, 0, 1).expect("reaches");
        assert_eq!((word(&bytes), islands.len()), (0x1ff_ffff, 0));
        assert_eq!(apply(Reloc::Arm64Call, AT + (128 << 20), 0, 1).expect("an island").1.len(), 16);
        assert!(apply(Reloc::Aarch64AdrPrelPgHi21, AT + (1 << 32) - 0x1000, 0, 0).is_ok());
        assert!(apply(Reloc::Aarch64AdrPrelPgHi21, AT + (1 << 32), 0, 0).is_err());
    }

    #[test]
    fn pairs_and_slots_are_computed() {
        let (bytes, _) = apply(Reloc::RiscvPCRelLo12I, AT, 0, 0).expect("a pair");
        assert_eq!(word(&bytes), 0x234 << 20);
        let (bytes, _) = apply(Reloc::RiscvPCRelHi20, AT + 0x1fff, 0, 0).expect("in reach");
        assert_eq!(word(&bytes), 0x2000);
        let (bytes, islands) = apply(Reloc::X86GOTPCRel4, 0x1234, -4, 1).expect("a slot");
        assert_eq!((word(&bytes), islands.len()), (0x104, 16));
        let (bytes, _) = apply(Reloc::Aarch64AddAbsLo12Nc, 0xabc, 0, 0).expect("low bits");
        assert_eq!(word(&bytes), 0xabc << 10);
        assert!(matches!(apply(Reloc::Abs4, AT, 0, 0), Err(Error::OutOfReach { .. })));
        assert!(matches!(apply(Reloc::S390xPCRel32Dbl, AT, 0, 0), Err(Error::UnknownReference { .. })));
    }
}
