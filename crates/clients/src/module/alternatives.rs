//! Alternatives of x86-64 code: instructions that are replaced by others on processors that have some feature, or have it
//! not, before the code is executed. Source: `arch/x86/kernel/alternative.c`, `apply_alternatives`.
//!
//! A replacement is executed where the original stood, so what it refers to relative to itself is moved along. What is
//! left of the original's room does nothing.

use core::fmt;

use iced_x86::{Code, Decoder, DecoderOptions, OpKind};

use super::image::ModuleImage;
use crate::{Error, ModuleKinds};
use execmem_types::InstructionSet;

/// The section of alternatives.
const SECTION: &str = ".altinstructions";
/// The longest site. Linux's is as long.
const MAX_BYTES: usize = 254;
/// `nop` of one byte.
const NOP: u8 = 0x90;
/// `call [rip + rel32]`, and its length; `call rel32`, and its length.
const INDIRECT_CALL: [u8; 2] = [0xff, 0x15];
const INDIRECT_CALL_BYTES: u64 = 6;
const CALL: u8 = 0xe8;
const CALL_BYTES: u64 = 5;

/// How an entry stands in the section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlternativeFormat {
    /// Bytes of an entry.
    entry_bytes: usize,
    /// Bits of the feature's 16 that turn the condition round.
    negation: u16,
    /// Whether 16 bits of flags follow the feature.
    has_flags: bool,
}

impl AlternativeFormat {
    /// Linux 5.19 to 6.2: the highest bit of the feature turns the condition round.
    pub const LINUX_5_19: Self = AlternativeFormat { entry_bytes: 12, negation: 1 << 15, has_flags: false };
    /// Linux 6.3 and later: flags have bits of their own.
    pub const LINUX_6_3: Self = AlternativeFormat { entry_bytes: 14, negation: 0, has_flags: true };
}

/// Flag: the condition is turned round.
const FLAG_NOT: u16 = 1;
/// Flag: the original calls by way of a pointer, the replacement directly.
const FLAG_DIRECT_CALL: u16 = 2;

/// What a pointer to a function holds for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callee {
    /// The address of a function.
    Function(u64),
    /// That of a function that does nothing: no call is needed.
    Nothing,
}

/// What is true of the processors that will execute the code.
pub trait AlternativeFeatures {
    /// Whether all have a feature, by Linux's number (`X86_FEATURE_*`).
    fn has(&self, feature: u16) -> bool;

    /// What the function pointer at an address holds from now on. `None` if the caller does not know.
    fn callee(&self, pointer: u64) -> Option<Callee> {
        let _ = pointer;
        None
    }
}

impl<F: Fn(u16) -> bool> AlternativeFeatures for F {
    fn has(&self, feature: u16) -> bool {
        self(feature)
    }
}

/// Why an alternative cannot be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlternativeFault {
    /// The section is no whole number of entries.
    Format,
    /// The site or the replacement is not inside a section of code.
    NotCode,
    /// The replacement is longer than the site, or the site than anything that is replaced.
    TooLong,
    /// The bytes are no instructions.
    Undecodable,
    /// An operand of the replacement does not reach its target from the site.
    OutOfReach,
    /// It stands for a call by a pointer, but there is none, or what it holds is not known.
    NoCallee,
}

impl fmt::Display for AlternativeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AlternativeFault::Format => "the section ends within it",
            AlternativeFault::NotCode => "it is not about bytes of one section of code",
            AlternativeFault::TooLong => "the replacement does not fit",
            AlternativeFault::Undecodable => "it is about bytes that are no instructions",
            AlternativeFault::OutOfReach => "the replacement does not reach its target from the site",
            AlternativeFault::NoCallee => "what the pointer holds that it calls by is not known",
        })
    }
}

/// An entry, decoded.
#[derive(Debug, Clone, Copy)]
struct Entry {
    site: u64,
    replacement: u64,
    feature: u16,
    flags: u16,
    site_bytes: u64,
    replacement_bytes: u64,
}

/// Applies the alternatives of a module that is not yet published, in the order in which they stand. Returns how many
/// replaced anything.
///
/// # Errors
///
/// [`Error::BadAlternative`]; the module is to be given up then.
pub fn apply_alternatives<S: ModuleKinds>(
    image: &mut ModuleImage<'_, S>,
    format: AlternativeFormat,
    features: &impl AlternativeFeatures,
) -> Result<usize, Error> {
    let Some(section) = image.named(SECTION).next() else { return Ok(0) };
    let size = format.entry_bytes as u64;
    let bad = |entry: u64| move |fault| Error::BadAlternative { entry: usize::try_from(entry).unwrap_or(0), fault };
    if !section.len.is_multiple_of(size) {
        return Err(bad(section.len / size)(AlternativeFault::Format));
    }
    let count = section.len / size;
    let entry = |image: &ModuleImage<'_, S>, index: u64| {
        let entry = (index < count).then(|| format.entry(image, section.address + index * size));
        entry.flatten()
    };
    let (mut applied, mut first) = (0, 0);
    while let Some(Entry { site, .. }) = entry(image, first) {
        // Nested alternatives have one site, and the longest says how long it is.
        let same = (first..count).map_while(|index| entry(image, index).filter(|entry| entry.site == site));
        let (len, site_bytes) = same.fold((0, 0), |(len, most), entry| (len + 1, entry.site_bytes.max(most)));
        for index in first..first + len {
            let entry = entry(image, index).ok_or(AlternativeFault::Format).map_err(bad(index))?;
            let is_applied = apply(image, &Entry { site_bytes, ..entry }, features).map_err(bad(index))?;
            applied += usize::from(is_applied);
        }
        first += len;
    }
    Ok(applied)
}

impl AlternativeFormat {
    /// The entry at an address.
    fn entry<S: ModuleKinds>(self, image: &ModuleImage<'_, S>, address: u64) -> Option<Entry> {
        let bytes = image.bytes(address, self.entry_bytes as u64)?;
        let distance = |at: usize| Some(i64::from(i32::from_le_bytes(*bytes.get(at..)?.first_chunk()?)));
        let half = |at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let feature = half(8)?;
        let negated = if feature & self.negation == 0 { 0 } else { FLAG_NOT };
        let (flags, lengths) = if self.has_flags { (half(10)?, 12) } else { (negated, 10) };
        let length = |at: usize| bytes.get(at).map(|len| u64::from(*len));
        Some(Entry {
            site: address.wrapping_add_signed(distance(0)?),
            replacement: address.wrapping_add(4).wrapping_add_signed(distance(4)?),
            feature: feature & !self.negation,
            flags,
            site_bytes: length(lengths)?,
            replacement_bytes: length(lengths + 1)?,
        })
    }
}

/// Bytes of a section of code.
fn code<'i, S: ModuleKinds>(
    image: &'i ModuleImage<'_, S>,
    address: u64,
    len: u64,
) -> Result<&'i [u8], AlternativeFault> {
    if len == 0 {
        return Ok(&[]);
    }
    let is_code = image.kind_at(address).is_some_and(|kind| kind.is_code());
    image.bytes(address, len).filter(|_| is_code).ok_or(AlternativeFault::NotCode)
}

/// Applies one alternative if its condition holds. Either way, what does nothing at its site becomes long instructions.
fn apply<S: ModuleKinds>(
    image: &mut ModuleImage<'_, S>,
    entry: &Entry,
    features: &impl AlternativeFeatures,
) -> Result<bool, AlternativeFault> {
    let is_applied = features.has(entry.feature) == (entry.flags & FLAG_NOT == 0);
    let mut buffer = [NOP; MAX_BYTES];
    let room = usize::try_from(entry.site_bytes).map_err(|_| AlternativeFault::TooLong)?;
    let bytes = buffer.get_mut(..room).ok_or(AlternativeFault::TooLong)?;
    let original = code(image, entry.site, entry.site_bytes)?;
    if is_applied {
        let replacement = code(image, entry.replacement, entry.replacement_bytes)?;
        let len = replacement.len();
        bytes.get_mut(..len).ok_or(AlternativeFault::TooLong)?.copy_from_slice(replacement);
        if entry.flags & FLAG_DIRECT_CALL == 0 {
            move_to(entry, &mut bytes[..len])?;
        } else {
            call_directly(entry, original, bytes, features)?;
        }
    } else {
        bytes.copy_from_slice(original);
    }
    join_nops(image.instructions(), bytes);
    image.bytes_mut(entry.site, entry.site_bytes).ok_or(AlternativeFault::NotCode)?.copy_from_slice(bytes);
    Ok(is_applied)
}

/// Changes what the replacement refers to relative to itself: it will stand at the site.
fn move_to(entry: &Entry, bytes: &mut [u8]) -> Result<(), AlternativeFault> {
    let mut at = 0;
    while at < bytes.len() {
        let place = entry.replacement.wrapping_add(at as u64);
        let mut decoder = Decoder::with_ip(64, &bytes[at..], place, DecoderOptions::NONE);
        let instruction = decoder.decode();
        if instruction.is_invalid() {
            return Err(AlternativeFault::Undecodable);
        }
        let offsets = decoder.get_constant_offsets(&instruction);
        let is_branch = matches!(instruction.op0_kind(), OpKind::NearBranch64);
        let branch =
            is_branch.then(|| (instruction.near_branch64(), offsets.immediate_offset(), offsets.immediate_size()));
        let memory = instruction
            .is_ip_rel_memory_operand()
            .then(|| (instruction.ip_rel_memory_address(), offsets.displacement_offset(), offsets.displacement_size()));
        for (target, offset, size) in branch.into_iter().chain(memory) {
            // What is inside moves along.
            if target.wrapping_sub(entry.replacement) <= entry.replacement_bytes {
                continue;
            }
            let behind = entry.site.wrapping_add((at + instruction.len()) as u64);
            let distance = target.wrapping_sub(behind).cast_signed();
            let field = bytes.get_mut(at + offset..at + offset + size).ok_or(AlternativeFault::Undecodable)?;
            match size {
                1 => i8::try_from(distance).map(|near| field.copy_from_slice(&near.to_le_bytes())),
                4 => i32::try_from(distance).map(|near| field.copy_from_slice(&near.to_le_bytes())),
                _ => return Err(AlternativeFault::Undecodable),
            }
            .map_err(|_| AlternativeFault::OutOfReach)?;
        }
        at += instruction.len();
    }
    Ok(())
}

/// Puts a direct call, or nothing, for a call by way of a pointer.
fn call_directly(
    entry: &Entry,
    original: &[u8],
    bytes: &mut [u8],
    features: &impl AlternativeFeatures,
) -> Result<(), AlternativeFault> {
    let distance = original.strip_prefix(&INDIRECT_CALL).and_then(|rest| rest.first_chunk());
    let distance =
        distance.filter(|_| entry.site_bytes == INDIRECT_CALL_BYTES && entry.replacement_bytes == CALL_BYTES);
    let distance = i32::from_le_bytes(*distance.ok_or(AlternativeFault::NoCallee)?);
    let pointer = entry.site.wrapping_add(INDIRECT_CALL_BYTES).wrapping_add_signed(distance.into());
    bytes.fill(NOP);
    if let Callee::Function(target) = features.callee(pointer).ok_or(AlternativeFault::NoCallee)? {
        let distance = target.wrapping_sub(entry.site.wrapping_add(CALL_BYTES)).cast_signed();
        let distance = i32::try_from(distance).map_err(|_| AlternativeFault::OutOfReach)?;
        bytes[0] = CALL;
        bytes[1..5].copy_from_slice(&distance.to_le_bytes());
    }
    Ok(())
}

/// Replaces runs of short instructions that do nothing by the longest ones.
fn join_nops(instructions: &InstructionSet, bytes: &mut [u8]) {
    let mut at = 0;
    while at < bytes.len() {
        let run = bytes[at..].iter().take_while(|byte| **byte == NOP).count();
        if run > 0 {
            // What the table has no instructions for stays as it is.
            let _ = instructions.pad(&mut bytes[at..at + run]);
            at += run;
            continue;
        }
        let instruction = Decoder::new(64, &bytes[at..], DecoderOptions::NONE).decode();
        if instruction.code() == Code::INVALID {
            return;
        }
        at += instruction.len();
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use execmem_arch_x86::INSTRUCTIONS_X86;

    use super::*;

    const SITE: u64 = 0xffff_ffff_c000_0000;
    const REPLACEMENT: u64 = 0xffff_ffff_c000_1000;

    fn moved(replacement: &[u8]) -> Result<Vec<u8>, AlternativeFault> {
        let len = replacement.len() as u64;
        let (feature, flags) = (0, 0);
        let entry =
            Entry { site: SITE, replacement: REPLACEMENT, feature, flags, site_bytes: len, replacement_bytes: len };
        let mut bytes = Vec::from(replacement);
        move_to(&entry, &mut bytes).map(|()| bytes)
    }

    #[test]
    fn what_is_relative_keeps_its_target_unless_that_moves_along() {
        // call, jz, mov rax, [rip + x]: 0x1000 nearer to the site.
        assert_eq!(moved(&[0xe8, 0, 0x20, 0, 0]), Ok(Vec::from([0xe8, 0, 0x30, 0, 0])));
        assert_eq!(moved(&[0x0f, 0x84, 0, 0x20, 0, 0]), Ok(Vec::from([0x0f, 0x84, 0, 0x30, 0, 0])));
        let load = [0x48, 0x8b, 0x05, 0, 0x20, 0, 0];
        assert_eq!(moved(&load), Ok(Vec::from([0x48, 0x8b, 0x05, 0, 0x30, 0, 0])));
        // jmp over a nop, and to the end.
        assert_eq!(moved(&[0xeb, 1, 0x90, 0xeb, 0]), Ok(Vec::from([0xeb, 1, 0x90, 0xeb, 0])));
        assert_eq!(moved(&[0xeb, 0x40]), Err(AlternativeFault::OutOfReach));
        assert_eq!(moved(&[0x06]), Err(AlternativeFault::Undecodable));
    }

    #[test]
    fn runs_of_nothing_become_long_and_data_stays() {
        let mut bytes = [0xb8, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xc3, 0x90];
        join_nops(&INSTRUCTIONS_X86, &mut bytes);
        assert_eq!(bytes, [0xb8, 0x90, 0x90, 0x90, 0x90, 0x0f, 0x1f, 0x00, 0xc3, 0x90]);
    }
}
