//! The procedure linkage table of one kind of code: veneers to what its calls cannot reach, and instructions that must not
//! stand where they were.

use alloc::vec::Vec;

use execmem_types::{Erratum, InstructionSet, PerKind};
use hashbrown::HashMap;

use super::entries::{Place, Relocations};
use super::grow::push;
use super::layout::Layout;
use super::object_file::ObjectFile;
use super::rules::{MachineRules, PageEnd};
use super::sort::sort;
use crate::growth::no_heap;
use crate::{Error, ModuleKinds};

/// The page whose end matters to an erratum.
const PAGE_BYTES: u64 = 4096;

/// What a machine that has an erratum does about it.
fn page_end_of(machine: &MachineRules, instructions: &InstructionSet) -> Option<PageEnd> {
    machine.page_end.filter(|_| instructions.errata.contains(&Erratum::AdrpAtPageEnd))
}

/// How many entries the code of each kind can need at most for some relocations: one for each target of a call that lies
/// elsewhere, and one for each instruction that may come to stand at the end of a page.
pub(super) fn count<'data, S: ModuleKinds>(
    object: &ObjectFile<'data>,
    lists: impl Iterator<Item = (usize, Relocations<'data>)>,
    layout: &Layout<S>,
    machine: &MachineRules,
    instructions: &InstructionSet,
) -> Result<PerKind<S, u64>, Error> {
    let mut targets: Vec<(u8, usize, i64)> = Vec::new();
    let mut counts = PerKind::filled(0);
    let kind_of = |section: usize| layout.slots.get(section).copied().flatten().map(|slot| slot.kind);
    let page_end = page_end_of(machine, instructions);
    for (section, relocations) in lists {
        let Some(slot) = layout.slots.get(section).copied().flatten() else { continue };
        // The start of the kind's memory is a multiple of this.
        let align = layout.needs[slot.kind].align.min(PAGE_BYTES);
        for relocation in relocations.iter() {
            let is_call = machine.rule(relocation.number).is_some_and(|rule| rule.is_call);
            let is_here = match object.symbols.get(relocation.symbol).map(|symbol| symbol.place) {
                Some(Place::Section(section)) => kind_of(section) == Some(slot.kind),
                _ => false,
            };
            if is_call && !is_here {
                push(&mut targets, (slot.kind.number(), relocation.symbol, relocation.addend))?;
            }
            let rest = slot.offset.wrapping_add(relocation.offset) % align;
            let may_end = |fix: PageEnd| fix.relocations.contains(&relocation.number) && rest + fix.last_bytes >= align;
            counts[slot.kind] += u64::from(page_end.is_some_and(may_end));
        }
    }
    sort(&mut targets);
    targets.dedup();
    for kind in targets.iter().filter_map(|(kind, ..)| S::from_number(*kind)) {
        counts[kind] += 1;
    }
    if page_end.is_some() {
        // An entry at the end of a page is not used.
        let stride = instructions.veneer_bytes().unwrap_or(PAGE_BYTES);
        let skipped = |count: u64| if count == 0 { 0 } else { count.saturating_mul(stride) / (PAGE_BYTES / 2) + 1 };
        counts.iter_mut().for_each(|(_, count)| *count += skipped(*count));
    }
    Ok(counts)
}

/// The entries of one kind.
#[derive(Debug)]
pub(super) struct Plt<'c> {
    machine: &'c InstructionSet,
    page_end: Option<PageEnd>,
    /// Where the first entry will stand, a multiple of the alignment of veneers.
    start: u64,
    /// Bytes from the start of one entry to that of the next.
    stride: u64,
    /// Entries there is room for.
    room: u64,
    /// Entries that are used, or cannot be.
    used: u64,
    by_target: HashMap<u64, u64>,
    /// The entries so far.
    pub(super) code: Vec<u8>,
}

impl<'c> Plt<'c> {
    /// A table at an address; `None` if the machine has no veneers.
    pub(super) fn new(machine: &'c InstructionSet, rules: &MachineRules, start: u64, room: u64) -> Option<Self> {
        let stride = machine.veneer_bytes()?;
        let page_end = page_end_of(rules, machine);
        let by_target = HashMap::new();
        Some(Plt { machine, page_end, start, stride, room, used: 0, by_target, code: Vec::new() })
    }

    /// Where the first entry stands.
    pub(super) const fn start(&self) -> u64 {
        self.start
    }

    /// Where the entry for a target stands, `None` if there is no room for it, or no veneer reaches it.
    pub(super) fn entry(&mut self, target: u64) -> Result<Option<u64>, Error> {
        if let Some(&known) = self.by_target.get(&target) {
            return Ok(Some(known));
        }
        let Some(address) = self.next()? else { return Ok(None) };
        let Some(veneer) = self.machine.veneer(address, target) else { return Ok(None) };
        self.by_target.try_reserve(1).map_err(no_heap)?;
        self.append(veneer.bytes())?;
        self.by_target.insert(target, address);
        Ok(Some(address))
    }

    /// Puts an instruction of `len` bytes into an entry, and a jump to `resume` behind it. `instruction` makes it for its
    /// address. `None` if there is no room, or it does not reach what it should.
    pub(super) fn detour(
        &mut self,
        len: usize,
        resume: u64,
        instruction: impl FnOnce(u64) -> Option<[u8; 8]>,
    ) -> Result<Option<u64>, Error> {
        let Some(address) = self.next()? else { return Ok(None) };
        let jump = self.machine.jump.and_then(|jump| jump.encode(address.wrapping_add(len as u64), resume));
        let (Some(first), Some(jump)) = (instruction(address), jump) else { return Ok(None) };
        let mut code = [0; 24];
        let end = len + jump.bytes().len();
        let (Some(head), true) = (first.get(..len), end as u64 <= self.stride && end <= code.len()) else {
            return Ok(None);
        };
        code[..len].copy_from_slice(head);
        code[len..end].copy_from_slice(jump.bytes());
        self.append(&code[..end])?;
        Ok(Some(address))
    }

    /// Where the next entry stands.
    fn next(&mut self) -> Result<Option<u64>, Error> {
        loop {
            let address = self.start + self.used * self.stride;
            if self.used >= self.room {
                return Ok(None);
            }
            if !self.page_end.is_some_and(|fix| fix.forbids(address)) {
                return Ok(Some(address));
            }
            self.append(&[])?;
        }
    }

    /// Fills an entry. What is behind its code traps.
    fn append(&mut self, code: &[u8]) -> Result<(), Error> {
        let stride = usize::try_from(self.stride).unwrap_or(0);
        self.code.try_reserve(stride).map_err(no_heap)?;
        self.code.extend_from_slice(code);
        let rest = stride.saturating_sub(code.len());
        self.code.extend(self.machine.breakpoint.iter().cycle().take(rest));
        self.used += 1;
        Ok(())
    }
}
