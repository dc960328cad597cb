//! Relocations that wait for other objects: those of modules that patch running code of others (Linux's livepatch).
//!
//! | name | meaning |
//! |---|---|
//! | section `.klp.rela.OBJECT.SECTION` | relocations of SECTION, applied while OBJECT is loaded |
//! | symbol `.klp.sym.OBJECT.SYMBOL,NUMBER`, of section number 0xff20 | the NUMBERth symbol of OBJECT with that name, local ones included; of 0, the only one |
//! | OBJECT `vmlinux` | the kernel, which is always loaded: its relocations are applied with the others |
//!
//! A section that waits is code or lies in writable data, constants too. Source: `Documentation/livepatch/module-elf-format.rst`,
//! `kernel/livepatch/core.c`, `klp_resolve_symbols`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use execmem::{EngineOf, EngineRef, KindSet as _, Live};
use execmem_types::InstructionSet;

use super::classify::stays;
use super::entries::{Place, SymbolTable};
use super::got::Got;
use super::grow::{copied, push, repeated, text};
use super::layout::address_bytes;
use super::limits::{Budget, LoadLimits, Resource};
use super::object_file::{self, LateList, ObjectFile, Section};
use super::plt::Plt;
use super::refusal::{SectionRefusal, SymbolRefusal};
use super::relocate::Patch;
use super::rules::MachineRules;
use super::symbols::{Symbols, Values};
use crate::{Error, ModuleKinds, Name};

/// The name of the kernel as an object.
pub(super) const KERNEL: &str = "vmlinux";
/// How the names of sections start that hold relocations of this sort, and those of symbols.
pub(super) const LIST_PREFIX: &str = ".klp.rela.";
const SYMBOL_PREFIX: &str = ".klp.sym.";

/// A symbol of another object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PatchedSymbol<'n> {
    pub(super) object: &'n str,
    pub(super) name: &'n str,
    pub(super) number: u32,
}

/// What the name of a symbol says; `None` if it is no name of one.
pub(super) fn symbol(name: &str) -> Option<PatchedSymbol<'_>> {
    let (object, rest) = name.strip_prefix(SYMBOL_PREFIX)?.split_once('.')?;
    let (name, number) = rest.rsplit_once(',')?;
    let number = number.parse().ok()?;
    (!object.is_empty() && !name.is_empty()).then_some(PatchedSymbol { object, name, number })
}

/// The object that relocations in a section of this name wait for: `None` if for none, and inside if the name says none.
pub(super) fn object_of_list(section: &str) -> Option<Option<&str>> {
    let rest = section.strip_prefix(LIST_PREFIX)?;
    Some(rest.split_once('.').map(|(object, _)| object).filter(|object| !object.is_empty()))
}

/// Whether two names are of one object: names with `-` and with `_` are the same.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let normal = |byte| if byte == b'-' { b'_' } else { byte };
    one.bytes().map(normal).eq(other.bytes().map(normal))
}

/// Refuses relocations of what is gone when they are applied, or that refer to what no object that is named defines.
pub(super) fn check(sections: &[Section<'_>], symbols: &SymbolTable<'_>, list: &LateList<'_>) -> Result<(), Error> {
    let Some(section) = sections.get(list.section) else { return Ok(()) };
    if !stays(section) {
        let reason = SectionRefusal::NotThereLater;
        return Err(Error::RefusedSection { section: list.section, name: Name::new(section.name), reason });
    }
    for index in list.relocations.iter().map(|relocation| relocation.symbol).filter(|index| *index > 0) {
        let symbol = symbols.get(index);
        if !symbol.is_some_and(|symbol| matches!(symbol.place, Place::Patched | Place::Section(_) | Place::Absolute)) {
            let name = symbol.and_then(|symbol| symbols.name(&symbol, u64::MAX).ok()).unwrap_or("");
            let (name, section) = (Name::new(name), Name::new(section.name));
            return Err(Error::RefusedSymbol { name, section, reason: SymbolRefusal::OtherObject });
        }
    }
    Ok(())
}

/// What a module keeps to be linked with other objects when they come, and unlinked when they go.
#[derive(Debug)]
pub(super) struct Late {
    rules: &'static MachineRules,
    instructions: &'static InstructionSet,
    limits: LoadLimits,
    file: Vec<u8>,
    /// Where its sections lie.
    sections: Vec<Option<u64>>,
    /// By list: where its PLT lies, and for how many entries.
    plts: Vec<Option<(u64, u64)>>,
    /// What it waits for, by list.
    objects: Vec<Box<str>>,
    linked: Vec<Linked>,
}

/// An object that is linked.
#[derive(Debug)]
struct Linked {
    object: Box<str>,
    changes: Vec<Change>,
}

/// Bytes of published memory, as they were and as they are while an object is linked.
#[derive(Debug, Clone, Copy)]
struct Change {
    address: u64,
    len: usize,
    old: [u8; 8],
    new: [u8; 8],
}

/// What an object that was read needs of the loader.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'l> {
    pub(super) machine: &'static MachineRules,
    pub(super) instructions: &'static InstructionSet,
    pub(super) limits: &'l LoadLimits,
}

impl Late {
    /// Keeps what is needed later; `None` if nothing waits. `sections` and `plts` lie there.
    pub(super) fn new(
        object: &ObjectFile<'_>,
        rules: Rules<'_>,
        section: impl Fn(usize) -> Option<u64>,
        plts: Vec<Option<(u64, u64)>>,
    ) -> Result<Option<Self>, Error> {
        if object.late.is_empty() {
            return Ok(None);
        }
        Budget::new(Resource::KeptBytes, rules.limits.kept_bytes).take(object.file.len() as u64)?;
        let (mut sections, mut objects) = (Vec::new(), Vec::new());
        (0..object.sections.len()).try_for_each(|index| push(&mut sections, section(index)))?;
        object.late.iter().try_for_each(|list| push(&mut objects, text(list.object)?))?;
        let Rules { machine, instructions, limits } = rules;
        let (rules, limits, file) = (machine, *limits, copied(object.file)?);
        Ok(Some(Late { rules, instructions, limits, file, sections, plts, objects, linked: Vec::new() }))
    }

    /// Whether it waits for an object, or is linked with it.
    pub(super) fn waits_for(&self, object: &str) -> bool {
        self.objects.iter().any(|name| is_same(name, object))
    }

    /// Applies what waits for an object, or nothing. Where what was changed before a refusal cannot be put back, the object stays
    /// linked, and [`unlink`](Self::unlink) goes on.
    pub(super) fn link<E: EngineRef<Set: ModuleKinds>>(
        &mut self,
        engine: &EngineOf<E>,
        parts: &mut [Live<E::Set>],
        name: &str,
        symbols: &impl Symbols,
    ) -> Result<(), Error> {
        if self.linked.iter().any(|linked| is_same(&linked.object, name)) {
            return Err(Error::AlreadyLinked { object: Name::new(name) });
        }
        let object = object_file::parse(&self.file, &self.limits, Some(self.rules))?;
        let values = Values::of_patched(&object, name, symbols, sections_of(&self.sections)?)?;
        let mut changes = Vec::new();
        for (list, plt) in object.late.iter().zip(&self.plts).filter(|(list, _)| is_same(list.object, name)) {
            self.changes::<E>(engine, (&object, &values), list, *plt, &mut changes)?;
        }
        push(&mut self.linked, Linked { object: text(name)?, changes })?;
        let changes = self.linked.last().map_or(&[][..], |linked| &linked.changes);
        store_all::<E>(engine, parts, changes, |change| &change.new).inspect_err(|_| {
            let _ = self.unlink::<E>(engine, parts, name);
        })
    }

    /// Puts back what was there before an object was linked, if it is: all of it, or nothing unless that is refused too. Takes
    /// no heap.
    pub(super) fn unlink<E: EngineRef<Set: ModuleKinds>>(
        &mut self,
        engine: &EngineOf<E>,
        parts: &mut [Live<E::Set>],
        name: &str,
    ) -> Result<(), Error> {
        let Some(place) = self.linked.iter().position(|linked| is_same(&linked.object, name)) else { return Ok(()) };
        let changes = &self.linked[place].changes;
        store_all::<E>(engine, parts, changes, |change| &change.old).inspect_err(|_| {
            let _ = store_all::<E>(engine, parts, changes, |change| &change.new);
        })?;
        self.linked.swap_remove(place);
        Ok(())
    }

    /// Computes what one list changes.
    fn changes<E: EngineRef<Set: ModuleKinds>>(
        &self,
        engine: &EngineOf<E>,
        (object, values): (&ObjectFile<'_>, &Values<'_>),
        list: &LateList<'_>,
        plt: Option<(u64, u64)>,
        changes: &mut Vec<Change>,
    ) -> Result<(), Error> {
        let (section, relocations) = (list.section, list.relocations);
        let Some(address) = values.section(section) else { return Ok(()) };
        let before = content::<E>(engine, address, object.sections[section].len)?;
        let mut after = copied(&before)?;
        let mut plt = plt.and_then(|(start, room)| Plt::new(self.instructions, self.rules, start, room));
        let got = Got { start: 0, entries: &[], address_bytes: address_bytes(self.rules) };
        let (machine, instructions) = (self.rules, self.instructions);
        let patch = Patch { section, address, machine, instructions, object, relocations, values, got };
        patch.apply(&mut after, plt.as_mut())?;
        if let Some((start, code)) = plt.as_ref().map(|plt| (plt.start(), &plt.code)) {
            let before = content::<E>(engine, start, code.len() as u64)?;
            for (index, (old, new)) in before.chunks(8).zip(code.chunks(8)).enumerate() {
                push(changes, Change::new(start + index as u64 * 8, old, new))?;
            }
        }
        for relocation in relocations.iter() {
            let field = usize::try_from(relocation.offset).ok().zip(self.rules.rule(relocation.number));
            let Some((start, rule)) = field else { continue };
            let (Some(old), Some(new)) = (before.get(start..), after.get(start..)) else { continue };
            let len = rule.target.bytes(new).min(new.len()).min(8);
            if len > 0 {
                push(changes, Change::new(address + relocation.offset, &old[..len], &new[..len]))?;
            }
        }
        Ok(())
    }
}

impl Change {
    /// Up to eight bytes.
    fn new(address: u64, old: &[u8], new: &[u8]) -> Self {
        let len = old.len().min(new.len()).min(8);
        let mut change = Change { address, len, old: [0; 8], new: [0; 8] };
        change.old[..len].copy_from_slice(&old[..len]);
        change.new[..len].copy_from_slice(&new[..len]);
        change
    }
}

fn sections_of(sections: &[Option<u64>]) -> Result<Vec<Option<u64>>, Error> {
    let mut copy = repeated(None, sections.len())?;
    copy.copy_from_slice(sections);
    Ok(copy)
}

/// Published bytes.
fn content<E: EngineRef<Set: ModuleKinds>>(engine: &EngineOf<E>, address: u64, len: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = repeated(0, usize::try_from(len).map_err(|_| execmem::Error::OutOfMemory)?)?;
    if !bytes.is_empty() {
        engine.read_at(address, &mut bytes)?;
    }
    Ok(bytes)
}

/// Writes the bytes of all changes, up to one that is refused.
fn store_all<E: EngineRef<Set: ModuleKinds>>(
    engine: &EngineOf<E>,
    parts: &mut [Live<E::Set>],
    changes: &[Change],
    side: fn(&Change) -> &[u8; 8],
) -> Result<(), Error> {
    changes.iter().try_for_each(|change| store::<E>(engine, parts, change, side(change)))
}

/// Writes the bytes of one change. No processor executes or reads them: no function that they are in is called yet.
fn store<E: EngineRef<Set: ModuleKinds>>(
    engine: &EngineOf<E>,
    parts: &mut [Live<E::Set>],
    change: &Change,
    bytes: &[u8; 8],
) -> Result<(), Error> {
    let (address, bytes) = (change.address, &bytes[..change.len]);
    let part = parts.iter_mut().find(|part| part.extent().contains(address)).ok_or(Error::NoCode { address })?;
    let (kind, offset) = (part.kind(), address - part.address());
    if !kind.is_code() {
        return Ok(engine.write(part, offset, bytes)?);
    }
    if !engine.table().can_poke(kind) {
        return Err(Error::NotPatchable { kind: kind.into() });
    }
    Ok(engine.patch_unexecuted(part, offset, bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_object_symbol_and_number() {
        let of = |object, name, number| Some(PatchedSymbol { object, name, number });
        assert_eq!(symbol(".klp.sym.ext4.ext4_attr_store.isra.0,2"), of("ext4", "ext4_attr_store.isra.0", 2));
        assert_eq!(symbol(".klp.sym.vmlinux.printk,0"), of("vmlinux", "printk", 0));
        for name in ["printk", ".klp.sym.ext4", ".klp.sym.ext4.f", ".klp.sym..f,0", ".klp.sym.e.f,x", ".klp.sym.e.,0"] {
            assert_eq!(symbol(name), None, "{name}");
        }
        assert_eq!(object_of_list(".klp.rela.btrfs..text.f"), Some(Some("btrfs")));
        assert_eq!((object_of_list(".klp.rela."), object_of_list(".rela.text")), (Some(None), None));
        assert!(is_same("snd-hda", "snd_hda") && !is_same("snd", "snd_hda"));
    }
}
