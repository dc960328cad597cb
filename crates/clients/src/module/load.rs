//! Loading, and the two stages of a module that loaded.

use alloc::vec::Vec;

use execmem::kinds::Any;
use execmem::sync::Locking;
use execmem::{Backend, Draft, Engine, Extent, Handle, Kind, Live, Sealed};
use execmem_types::{Code, Trap};

use super::layout::{Layout, Need, Slot};
use super::names::Names;
use super::object_file::{self, ObjectFile};
use super::plt::Plt;
use super::relocate::{Patch, rules_of};
use super::rules::MachineRules;
use super::symbols::{Symbols, resolve};
use crate::Error;

/// The symbol of the function that initialises a module.
const INIT: &str = "init_module";
/// The symbol of the function that ends it.
const EXIT: &str = "cleanup_module";

/// A module that is loaded and published, with its init kinds still there.
#[derive(Debug)]
#[must_use = "a module that is dropped is never unloaded"]
pub struct Coming {
    parts: Vec<Live<Any>>,
    names: Names,
}

/// A module that is initialised.
#[derive(Debug)]
#[must_use = "a module that is dropped is never unloaded"]
pub struct Module {
    parts: Vec<Live<Any>>,
    sealed: Vec<Sealed<Any>>,
    names: Names,
}

/// Loads modules with one engine.
#[derive(Debug)]
pub struct Loader<'e, B, L: Locking> {
    engine: &'e Engine<B, L>,
    machine: &'static MachineRules,
    /// For calls that do not reach.
    veneers: Option<Code>,
}

/// The content of each kind, ready to be written, and where what has a name will lie.
type Prepared = (Vec<(Kind, Vec<u8>)>, Names);

impl<'e, B: Backend, L: Locking> Loader<'e, B, L> {
    /// A loader for the machine of the engine's table. Every call has to reach what it calls.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownMachine`] if there are no rules for its relocations.
    pub fn new(engine: &'e Engine<B, L>) -> Result<Self, Error> {
        let machine = rules_of(engine.table().machine().name).ok_or(Error::UnknownMachine)?;
        Ok(Loader { engine, machine, veneers: None })
    }

    /// Lets calls that do not reach go by way of veneers of this machine, behind the code of the module.
    #[must_use]
    pub const fn with_veneers(self, code: &Code) -> Self {
        Loader { veneers: Some(*code), ..self }
    }

    /// Loads a relocatable object: all of it, or nothing. Symbols that it does not define come from `outside`.
    ///
    /// # Errors
    ///
    /// What is wrong with the object, which symbol or relocation cannot be resolved, or what the engine refused.
    pub fn load(&self, data: &[u8], outside: &impl Symbols) -> Result<Coming, Error> {
        let object = object_file::parse(data)?;
        if object.machine != self.machine.number {
            return Err(Error::WrongMachine { found: object.machine, wanted: self.machine.number });
        }
        let mut layout = Layout::new(&object)?;
        match (self.place(&object, &layout, outside), &self.veneers) {
            // Where a call does not reach, it goes by way of a PLT, which takes memory that most modules do not need.
            (Err(Error::OutOfReach { .. }), Some(code)) => {
                layout.add_plts(&object, self.machine, code)?;
                self.place(&object, &layout, outside)
            }
            (outcome, _) => outcome,
        }
    }

    /// Loads an object that is laid out.
    fn place(&self, object: &ObjectFile<'_>, layout: &Layout, outside: &impl Symbols) -> Result<Coming, Error> {
        let mut drafts = self.allocate(layout)?;
        let placed = Placed::new(layout, &drafts);
        let prepared = self.prepare(object, layout, &placed, outside);
        let written = prepared.and_then(|(contents, names)| {
            self.write(&mut drafts, &placed, &contents)?;
            Ok(names)
        });
        match written {
            Ok(names) => Ok(Coming { parts: self.publish(drafts)?, names }),
            Err(error) => {
                free_all(self.engine, drafts);
                Err(error)
            }
        }
    }

    /// Memory for every kind of the module, or none. Where a section wants more than the alignment of its kind, there
    /// is room to move it.
    fn allocate(&self, layout: &Layout) -> Result<Vec<Draft<Any>>, Error> {
        let wanted = layout.needs().map(|(kind, Need { len, align })| {
            let slack = align.saturating_sub(self.engine.table().alignment(kind).bytes());
            let len = len.checked_add(slack).ok_or(Error::TooLarge { kind, section: layout.slots.len() })?;
            Ok((kind, len))
        });
        let wanted: Vec<_> = wanted.collect::<Result<_, Error>>()?;
        Ok(self.engine.alloc_group(&wanted)?)
    }

    /// The sections of each kind, patched for where they will lie.
    fn prepare(
        &self,
        object: &ObjectFile<'_>,
        layout: &Layout,
        placed: &Placed,
        outside: &impl Symbols,
    ) -> Result<Prepared, Error> {
        let address_of = |section: usize| placed.address(layout.slots.get(section).copied().flatten()?);
        let values = resolve(object, outside, address_of)?;
        let trap = self.engine.table().machine().trap;
        let mut contents = Vec::new();
        for (kind, need) in layout.needs() {
            contents.push((kind, blank(kind, need.len, placed, trap)?));
        }
        for (index, section) in object.sections.iter().enumerate() {
            let Some(bytes) = bytes_of(&mut contents, layout, index, section.len) else { continue };
            if section.data.is_empty() { bytes.fill(0) } else { bytes.copy_from_slice(section.data) }
        }
        let mut plts = self.plts(layout, placed);
        for (section, relocations) in &object.relocations {
            let (Some(address), Some(slot)) = (address_of(*section), layout.slots[*section]) else { continue };
            let len = object.sections[*section].len;
            let Some(bytes) = bytes_of(&mut contents, layout, *section, len) else { continue };
            let (machine, is_big_endian, symbols) = (self.machine, object.is_big_endian, &*values);
            let patch = Patch { section: *section, address, machine, is_big_endian, relocations, symbols };
            patch.apply(bytes, plts[slot.kind.index()].as_mut())?;
        }
        for (kind, bytes) in &mut contents {
            let (plt, place) = (&plts[kind.index()], layout.plts[kind.index()]);
            if let (Some(plt), Some(start)) = (plt, place.and_then(|(start, _)| usize::try_from(start).ok())) {
                bytes[start..start + plt.code.len()].copy_from_slice(&plt.code);
            }
        }
        Ok((contents, Names::new(object, &values, address_of)))
    }

    /// The empty PLTs of each kind that has room for one.
    fn plts(&self, layout: &Layout, placed: &Placed) -> [Option<Plt<'_>>; Kind::COUNT] {
        Kind::ALL.map(|kind| {
            let (offset, room) = layout.plts[kind.index()]?;
            let start = placed.address(Slot { kind, offset })?;
            Plt::new(self.veneers.as_ref()?, start, room)
        })
    }

    fn write(&self, drafts: &mut [Draft<Any>], placed: &Placed, contents: &[(Kind, Vec<u8>)]) -> Result<(), Error> {
        for (kind, bytes) in contents {
            let draft = drafts.iter_mut().find(|draft| draft.kind() == *kind);
            if let (Some(draft), Some((_, base))) = (draft, placed.kinds[kind.index()]) {
                let offset = base - draft.address();
                self.engine.write(draft, offset, bytes)?;
            }
        }
        Ok(())
    }

    /// Publishes everything; if one fails, everything is freed.
    fn publish(&self, drafts: Vec<Draft<Any>>) -> Result<Vec<Live<Any>>, Error> {
        let mut published = Vec::new();
        let mut waiting = drafts.into_iter();
        while let Some(draft) = waiting.next() {
            match self.engine.publish(draft) {
                Ok(live) => published.push(live),
                Err(failed) => {
                    free(self.engine, failed.handle);
                    free_all(self.engine, waiting.collect());
                    free_all(self.engine, published);
                    return Err(failed.error.into());
                }
            }
        }
        Ok(published)
    }
}

/// Frees a handle of this very engine, which always accepts it.
fn free<B: Backend, L: Locking>(engine: &Engine<B, L>, handle: impl Handle) {
    let _ = engine.free(handle);
}

/// Frees handles of this very engine.
fn free_all<B: Backend, L: Locking>(engine: &Engine<B, L>, mut handles: Vec<impl Handle>) {
    let _ = engine.free_group(&mut handles);
}

/// Where the sections of each kind begin.
struct Placed {
    /// By kind: the memory, and the first address that is aligned for every section.
    kinds: [Option<(Extent, u64)>; Kind::COUNT],
}

impl Placed {
    fn new(layout: &Layout, drafts: &[Draft<Any>]) -> Self {
        let mut kinds = [None; Kind::COUNT];
        for draft in drafts {
            let index = draft.kind().index();
            let base = draft.address().next_multiple_of(layout.needs[index].align);
            kinds[index] = Some((draft.extent(), base));
        }
        Placed { kinds }
    }

    fn address(&self, slot: Slot) -> Option<u64> {
        self.kinds[slot.kind.index()].map(|(_, base)| base.wrapping_add(slot.offset))
    }
}

/// Bytes for the sections of one kind: what lies between sections of code traps.
fn blank(kind: Kind, len: u64, placed: &Placed, trap: Trap) -> Result<Vec<u8>, Error> {
    let out_of_memory = Error::OutOfMemory { kind, len };
    let size = usize::try_from(len).map_err(|_| out_of_memory)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| out_of_memory)?;
    bytes.resize(size, 0);
    if let (true, Some((_, base))) = (kind.is_code(), placed.kinds[kind.index()]) {
        trap.fill(base, &mut bytes);
    }
    Ok(bytes)
}

/// The bytes of a section in the content of its kind.
fn bytes_of<'a>(
    contents: &'a mut [(Kind, Vec<u8>)],
    layout: &Layout,
    section: usize,
    len: u64,
) -> Option<&'a mut [u8]> {
    let slot = layout.slots.get(section).copied().flatten()?;
    let (_, bytes) = contents.iter_mut().find(|(kind, _)| *kind == slot.kind)?;
    let start = usize::try_from(slot.offset).ok()?;
    bytes.get_mut(start..start.checked_add(usize::try_from(len).ok()?)?)
}

impl Coming {
    /// The address of the function that initialises the module.
    #[must_use]
    pub fn init(&self) -> Option<u64> {
        self.names.symbol(INIT)
    }

    /// Where its symbols and sections lie.
    #[must_use]
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// The memory of each kind.
    pub fn extents(&self) -> impl Iterator<Item = (Kind, Extent)> + '_ {
        self.parts.iter().map(|part| (part.kind(), part.extent()))
    }

    /// Ends initialisation: frees the init kinds, and makes read-only what is to be so from now on.
    ///
    /// # Errors
    ///
    /// [`Error::Engine`] if memory cannot be sealed; the module is unloaded then.
    pub fn finish<B: Backend, L: Locking>(self, engine: &Engine<B, L>) -> Result<Module, Error> {
        let mut module = Module { parts: Vec::new(), sealed: Vec::new(), names: self.names };
        let mut refusal = None;
        let mut gone: Vec<Extent> = Vec::new();
        for part in self.parts {
            match part.kind() {
                Kind::InitText | Kind::InitData | Kind::InitRoData => {
                    gone.push(part.extent());
                    free(engine, part);
                }
                Kind::RoAfterInit => match engine.seal(part) {
                    Ok(sealed) => module.sealed.push(sealed),
                    Err(failed) => {
                        refusal = Some(failed.error);
                        module.parts.push(failed.handle);
                    }
                },
                _ => module.parts.push(part),
            }
        }
        module.names.forget(&gone);
        if let Some(error) = refusal {
            module.unload(engine);
            return Err(error.into());
        }
        Ok(module)
    }

    /// Gives the module up before it is initialised.
    pub fn unload<B: Backend, L: Locking>(self, engine: &Engine<B, L>) {
        free_all(engine, self.parts);
    }
}

impl Module {
    /// The address of the function that ends the module.
    #[must_use]
    pub fn exit(&self) -> Option<u64> {
        self.names.symbol(EXIT)
    }

    /// Where its symbols and sections lie.
    #[must_use]
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// The memory of each kind.
    pub fn extents(&self) -> impl Iterator<Item = (Kind, Extent)> + '_ {
        let sealed = self.sealed.iter().map(|part| (part.kind(), part.extent()));
        self.parts.iter().map(|part| (part.kind(), part.extent())).chain(sealed)
    }

    /// Frees everything. Nobody may execute or refer to it any more.
    pub fn unload<B: Backend, L: Locking>(self, engine: &Engine<B, L>) {
        free_all(engine, self.parts);
        free_all(engine, self.sealed);
    }
}
