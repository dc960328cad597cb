//! Where functions of a module can be traced: the lists that compilers leave, and the instructions that stand there first.

use alloc::vec::Vec;

use execmem_types::{InstructionSet, Isa};

use super::grow::{collect, push};
use super::image::ModuleImage;
use super::sort::sort;
use crate::encoding::{Rows, row};
use crate::{Error, ModuleKinds};

/// The sections with the addresses of sites (`-fpatchable-function-entry`; `-pg -mrecord-mcount`, and objtool).
const SECTIONS: [&str; 2] = ["__patchable_function_entries", "__mcount_loc"];

/// What stands at the places that compilers list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SiteRule {
    /// What is put before the site, so that a tracer learns the caller.
    pub prologue: &'static [u8],
}

const ROWS: &Rows<SiteRule> = &[
    (Isa::X86, SiteRule { prologue: &[] }),
    // mov x9, x30
    (Isa::Arm64, SiteRule { prologue: &[0xe9, 0x03, 0x1e, 0xaa] }),
    (Isa::Riscv64, SiteRule { prologue: &[] }),
    // mflr r0
    (Isa::Powerpc32, SiteRule { prologue: &[0x7c, 0x08, 0x02, 0xa6] }),
];

impl SiteRule {
    /// The rule of an instruction set, `None` if there is none.
    #[must_use]
    pub fn of(isa: Isa) -> Option<Self> {
        row(ROWS, isa)
    }
}

/// Makes every place that a module lists ready to be traced, while it is not yet published, as the kernel does when it loads
/// a module: what a compiler left there, a call of its own or room, becomes the instruction that does nothing. Returns the
/// addresses of the sites, in order.
///
/// `before` is how many bytes of room a listed place has before the function: the second number of
/// `-fpatchable-function-entry`, in bytes. Debian's arm64 kernels from 6.12 on have 8. A landing pad behind it stays.
///
/// # Errors
///
/// [`Error::UnknownMachine`] if the machine has no sites; [`Error::UnexpectedCode`] if something else stands at a place;
/// [`Error::NoCode`] if a place is outside the module's code; [`Error::Engine`] without heap.
pub fn prepare_sites<S: ModuleKinds>(image: &mut ModuleImage<'_, S>, before: u64) -> Result<Vec<u64>, Error> {
    let instructions = image.instructions();
    let rule = SiteRule::of(instructions.isa).ok_or(Error::UnknownMachine)?;
    let site = instructions.site.ok_or(Error::UnknownMachine)?;
    let size = u64::from(instructions.address_bits / 8);
    let mut sites = Vec::new();
    let listed = image.sections().filter(|section| SECTIONS.contains(&section.name)).map(Ok);
    for section in collect(listed)? {
        for index in 0..section.len / size {
            let bytes = image.bytes(section.address + index * size, size);
            let place = behind_pad(image, bytes.map_or(0, |bytes| image.number(bytes)).wrapping_add(before));
            prepare(image, rule, instructions, site.nop, place)?;
            push(&mut sites, place.wrapping_add(rule.prologue.len() as u64))?;
        }
    }
    sort(&mut sites);
    sites.dedup();
    Ok(sites)
}

/// Where a function goes on that begins with a landing pad.
fn behind_pad<S: ModuleKinds>(image: &ModuleImage<'_, S>, entry: u64) -> u64 {
    let pad = image.instructions().landing_pad;
    let has_pad = !pad.is_empty() && image.bytes(entry, pad.len() as u64) == Some(pad);
    if has_pad { entry.wrapping_add(pad.len() as u64) } else { entry }
}

/// Makes one place ready.
fn prepare<S: ModuleKinds>(
    image: &mut ModuleImage<'_, S>,
    rule: SiteRule,
    instructions: &InstructionSet,
    nop: &[u8],
    place: u64,
) -> Result<(), Error> {
    let missing = Error::NoCode { address: place };
    let is_code = image.kind_at(place).is_some_and(|kind| kind.is_code());
    let len = rule.prologue.len() + nop.len();
    let bytes = image.bytes_mut(place, len as u64).filter(|_| is_code).ok_or(missing)?;
    let calls = |bytes: &[u8]| instructions.call.is_some_and(|call| call.decode(place, bytes).is_some());
    let is_ready = bytes.strip_prefix(rule.prologue) == Some(nop);
    if !is_ready && !does_nothing(instructions, bytes) && !calls(bytes) {
        return Err(Error::UnexpectedCode { site: place });
    }
    let (prologue, site) = bytes.split_at_mut(rule.prologue.len());
    prologue.copy_from_slice(rule.prologue);
    site.copy_from_slice(nop);
    Ok(())
}

/// Whether bytes are instructions that do nothing.
fn does_nothing(instructions: &InstructionSet, bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        let nop = instructions.nops.iter().rev().find(|nop| rest.starts_with(nop));
        match nop.and_then(|nop| rest.get(nop.len()..)) {
            Some(behind) => rest = behind,
            None => return false,
        }
    }
    true
}
