//! Loading, and the two stages of a module that loaded.

use alloc::vec::Vec;
use core::mem::ManuallyDrop;

use execmem::{Draft, EngineOf, EngineRef, Extent, Handle, KindTag, KnownKind as _, Live, Sealed, Stage};
use execmem_types::InstructionSet;

use super::grow::{collect, push};
use super::image::{Contents, ModuleImage, Placed};
use super::layout::{Layout, Need, Slot};
use super::limits::LoadLimits;
use super::livepatch::{Late, Rules};
use super::names::Names;
use super::object_file::{self, ObjectFile};
use super::per_cpu::{NoPerCpu, PerCpu, Taken};
use super::relocate::rules_of;
use super::rules::MachineRules;
use super::symbols::{Symbols, Values};
use crate::growth::no_heap;
use crate::{Error, ModuleKinds};

/// The symbol of the function that initialises a module.
const INIT: &str = "init_module";
/// The symbol of the function that ends it.
const EXIT: &str = "cleanup_module";

/// A module that is loaded and published, with its init kinds still there. It knows the engine that it lies in.
#[derive(Debug)]
#[must_use = "a module that is dropped is never unloaded"]
pub struct Coming<E: EngineRef<Set: ModuleKinds>, P: PerCpu = NoPerCpu> {
    home: E,
    parts: Vec<Live<E::Set>>,
    names: Names,
    late: Option<Late>,
    /// Given back by unloading alone.
    per_cpu: ManuallyDrop<Option<Taken<P>>>,
}

/// A module that is initialised. It knows the engine that it lies in.
#[derive(Debug)]
#[must_use = "a module that is dropped is never unloaded"]
pub struct Module<E: EngineRef<Set: ModuleKinds>, P: PerCpu = NoPerCpu> {
    home: E,
    parts: Vec<Live<E::Set>>,
    sealed: Vec<Sealed<E::Set>>,
    names: Names,
    late: Option<Late>,
    /// Given back by unloading alone.
    per_cpu: ManuallyDrop<Option<Taken<P>>>,
}

/// Loads modules with one engine.
#[derive(Debug)]
pub struct Loader<E: EngineRef<Set: ModuleKinds> + Clone, P: PerCpu + Clone = NoPerCpu> {
    home: E,
    machine: &'static MachineRules,
    limits: LoadLimits,
    per_cpu: P,
}

/// Memory of a module, and what will be written to it.
struct Prepared<S: ModuleKinds, P: PerCpu> {
    drafts: Vec<Draft<S>>,
    relocated: Relocated<S>,
    per_cpu: Option<Taken<P>>,
}

/// What will be written, and what stays known of it.
struct Relocated<S: ModuleKinds> {
    contents: Contents<S>,
    names: Names,
    late: Option<Late>,
}

impl<E: EngineRef<Set: ModuleKinds> + Clone> Loader<E> {
    /// A loader for the machine of the engine's table, with the default [`LoadLimits`].
    ///
    /// # Errors
    ///
    /// [`Error::UnknownMachine`] if there are no rules for its relocations.
    pub fn new(home: E) -> Result<Self, Error> {
        Loader::with_limits(home, LoadLimits::DEFAULT)
    }

    /// A loader that spends at most so much on one object.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_limits(home: E, limits: LoadLimits) -> Result<Self, Error> {
        let machine = rules_of(home.engine().table().machine().instructions.isa).ok_or(Error::UnknownMachine)?;
        Ok(Loader { home, machine, limits, per_cpu: NoPerCpu })
    }
}

impl<E: EngineRef<Set: ModuleKinds> + Clone, P: PerCpu + Clone> Loader<E, P> {
    /// The same, with memory for variables of which each processor has its own. Without, modules that have some are refused.
    pub fn with_per_cpu<Q: PerCpu + Clone>(self, per_cpu: Q) -> Loader<E, Q> {
        Loader { home: self.home, machine: self.machine, limits: self.limits, per_cpu }
    }

    pub(super) fn engine(&self) -> &EngineOf<E> {
        self.home.engine()
    }

    /// Loads a relocatable object: all of it, or nothing. Calls that do not reach go by way of veneers behind the code of the
    /// module, if its machine has some. Symbols that it does not define come from `outside`.
    ///
    /// # Errors
    ///
    /// What is wrong with the object or not understood, what exceeds the limits, which symbol or relocation cannot be
    /// resolved, or what the engine refused.
    pub fn load(&self, data: &[u8], outside: &impl Symbols) -> Result<Coming<E, P>, Error> {
        self.load_finalized(data, outside, |_| Ok(()))
    }

    /// The same, and `finalize` may change the module after it is relocated and before it is published: what Linux does in
    /// `module_finalize`.
    ///
    /// # Errors
    ///
    /// What `finalize` says, and the errors of [`load`](Self::load).
    pub fn load_finalized(
        &self,
        data: &[u8],
        outside: &impl Symbols,
        finalize: impl FnOnce(&mut ModuleImage<'_, E::Set>) -> Result<(), Error>,
    ) -> Result<Coming<E, P>, Error> {
        let object = object_file::parse(data, &self.limits, Some(self.machine))?;
        let alignment = |kind| self.engine().table().alignment(kind).bytes();
        let mut layout = Layout::new(&object, self.machine, alignment)?;
        let instructions = self.instructions();
        layout.add_late_plts(&object, self.machine, instructions)?;
        layout.check(&self.limits)?;
        let prepared = match self.place(&object, &layout, outside) {
            // Where a call does not reach, it goes by way of a PLT, which takes memory that most modules do not need.
            Err(Error::OutOfReach { .. }) if !instructions.veneers.is_empty() => {
                layout.add_plts(&object, self.machine, instructions)?;
                layout.check(&self.limits)?;
                self.place(&object, &layout, outside)
            }
            outcome => outcome,
        };
        let Prepared { mut drafts, relocated, per_cpu } = prepared?;
        let Relocated { mut contents, names, late } = relocated;
        let finalized =
            ModuleImage::new(&mut contents, &object, &layout, instructions).and_then(|mut image| finalize(&mut image));
        match finalized.and_then(|()| self.write(&mut drafts, &contents)) {
            Ok(()) => {
                let parts = self.publish(drafts)?;
                per_cpu.iter().for_each(|memory| memory.fill(&contents.per_cpu));
                Ok(Coming { home: self.home.clone(), parts, names, late, per_cpu: ManuallyDrop::new(per_cpu) })
            }
            Err(error) => {
                free_all::<E, _, _>(self.engine(), drafts);
                Err(error)
            }
        }
    }

    fn instructions(&self) -> &'static InstructionSet {
        self.engine().table().machine().instructions
    }

    /// Takes memory for an object that is laid out, and relocates it.
    fn place(
        &self,
        object: &ObjectFile<'_>,
        layout: &Layout<E::Set>,
        outside: &impl Symbols,
    ) -> Result<Prepared<E::Set, P>, Error> {
        let (need, _) = &layout.per_cpu;
        let per_cpu = Taken::new(&self.per_cpu, need.len, need.align)?;
        let drafts = self.allocate(layout)?;
        let placed = Placed::new(layout, &drafts);
        let prepared = self.prepare(object, layout, &placed, per_cpu.as_ref(), outside);
        match prepared {
            Ok(relocated) => Ok(Prepared { drafts, relocated, per_cpu }),
            Err(error) => {
                free_all::<E, _, _>(self.engine(), drafts);
                Err(error)
            }
        }
    }

    /// Memory for every kind of the module, or none. Where a section wants more than the alignment of its kind, there
    /// is room to move it.
    fn allocate(&self, layout: &Layout<E::Set>) -> Result<Vec<Draft<E::Set>>, Error> {
        let mut wanted = Vec::new();
        for (kind, Need { len, align }) in layout.needs() {
            let slack = align.saturating_sub(self.engine().table().alignment(kind).bytes());
            let too_large = Error::TooLarge { kind: kind.into(), section: layout.slots.len() };
            push(&mut wanted, (kind, len.checked_add(slack).ok_or(too_large)?))?;
        }
        Ok(self.engine().alloc_group(&wanted)?)
    }

    /// The sections of each kind, patched for where they will lie.
    fn prepare(
        &self,
        object: &ObjectFile<'_>,
        layout: &Layout<E::Set>,
        placed: &Placed<E::Set>,
        per_cpu: Option<&Taken<P>>,
        outside: &impl Symbols,
    ) -> Result<Relocated<E::Set>, Error> {
        let address_of = |section: usize| match layout.per_cpu_offset(section) {
            Some(offset) => per_cpu.map(|memory| memory.extent.start().wrapping_add(offset)),
            None => placed.address(layout.slots.get(section).copied().flatten()?),
        };
        let values = Values::resolve(object, outside, address_of)?;
        let names = Names::new(object, &values, |section| {
            layout.slots.get(section).copied().flatten().is_some_and(|slot| is_init(slot.kind))
        })?;
        let mut contents = Contents::new(layout, placed, self.engine().table().machine().trap())?;
        contents.fill(object, layout);
        contents.relocate(object, layout, &values, (self.machine, self.instructions()))?;
        let (machine, instructions, limits) = (self.machine, self.instructions(), &self.limits);
        let plt = |(slot, room): (Slot<E::Set>, u64)| Some((placed.address(slot)?, room));
        let plts = collect(layout.late_plts.iter().map(|place| Ok(place.and_then(plt))))?;
        let rules = Rules { machine, instructions, limits };
        let late = Late::new(object, rules, |section| values.section(section), plts)?;
        Ok(Relocated { contents, names, late })
    }

    fn write(&self, drafts: &mut [Draft<E::Set>], contents: &Contents<E::Set>) -> Result<(), Error> {
        for part in contents.parts() {
            if let Some(draft) = drafts.iter_mut().find(|draft| draft.kind() == part.kind) {
                let offset = part.address - draft.address();
                self.engine().write(draft, offset, &part.bytes)?;
            }
        }
        Ok(())
    }

    /// Publishes everything; if one fails, everything is freed.
    fn publish(&self, drafts: Vec<Draft<E::Set>>) -> Result<Vec<Live<E::Set>>, Error> {
        self.engine().publish_group(drafts).map_err(|failed| {
            free_all::<E, _, _>(self.engine(), failed.handle);
            failed.error.into()
        })
    }
}

/// Frees a handle of this very engine, which always accepts it.
fn free<E: EngineRef, T: Stage, K: KindTag<Set = E::Set>>(engine: &EngineOf<E>, handle: Handle<T, K>) {
    let _ = engine.free(handle);
}

/// Frees handles of this very engine.
fn free_all<E: EngineRef, T: Stage, K: KindTag<Set = E::Set>>(engine: &EngineOf<E>, mut handles: Vec<Handle<T, K>>) {
    let _ = engine.free_group(&mut handles);
}

/// Whether memory of a kind goes when its module is initialised: not if a set keeps what lasts in it, too.
fn is_init<S: ModuleKinds>(kind: S) -> bool {
    let lasts = [S::Text::KIND, S::Data::KIND, S::RoData::KIND, S::RoAfterInit::KIND];
    [S::InitText::KIND, S::InitData::KIND, S::InitRoData::KIND].contains(&kind) && !lasts.contains(&kind)
}

impl<E: EngineRef<Set: ModuleKinds>, P: PerCpu> Coming<E, P> {
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
    pub fn extents(&self) -> impl Iterator<Item = (E::Set, Extent)> + '_ {
        self.parts.iter().map(|part| (part.kind(), part.extent()))
    }

    /// Ends initialisation: frees the init kinds, and makes read-only what is to be so from now on.
    ///
    /// # Errors
    ///
    /// [`Error::Engine`] if memory cannot be sealed; the module is unloaded then.
    pub fn finish(self) -> Result<Module<E, P>, Error> {
        let Coming { home, parts, names, late, per_cpu } = self;
        let mut module = Module { home, parts, sealed: Vec::new(), names, late, per_cpu };
        module.names.forget_init();
        if let Err(error) = module.end_init() {
            module.unload();
            return Err(error);
        }
        Ok(module)
    }

    /// Gives the module up before it is initialised.
    pub fn unload(self) {
        free_all::<E, _, _>(self.home.engine(), self.parts);
        drop(ManuallyDrop::into_inner(self.per_cpu));
    }
}

impl<E: EngineRef<Set: ModuleKinds>, P: PerCpu> Module<E, P> {
    /// Frees the init kinds, and seals what is to be sealed. What failed to be sealed stays among the parts.
    fn end_init(&mut self) -> Result<(), Error> {
        let engine = self.home.engine();
        self.sealed.try_reserve_exact(1).map_err(no_heap)?;
        let mut outcome = Ok(());
        let mut place = 0;
        while let Some(part) = self.parts.get(place) {
            match part.kind() {
                kind if is_init(kind) => free::<E, _, _>(engine, self.parts.swap_remove(place)),
                kind if kind == <E::Set as ModuleKinds>::RoAfterInit::KIND && outcome.is_ok() => {
                    match engine.seal(self.parts.swap_remove(place)) {
                        Ok(sealed) => self.sealed.push(sealed),
                        Err(failed) => {
                            outcome = Err(failed.error.into());
                            self.parts.push(failed.handle);
                        }
                    }
                }
                _ => place += 1,
            }
        }
        outcome
    }

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

    /// Applies the relocations that wait for another object, a module that is loaded now (`.klp.rela.OBJECT.*`).
    /// [`Symbols::numbered`] finds its symbols, as [`Names`] do. Returns whether any wait for it. No processor may execute or
    /// read what they change meanwhile. [`Modules`](super::Modules) do this by themselves.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyLinked`], [`Error::NotPatchable`] if the table flips rights, and those of relocations; nothing has
    /// changed then.
    pub fn link_object(&mut self, object: &str, symbols: &impl Symbols) -> Result<bool, Error> {
        let Some(late) = self.late.as_mut().filter(|late| late.waits_for(object)) else { return Ok(false) };
        late.link::<E>(self.home.engine(), &mut self.parts, object, symbols).map(|()| true)
    }

    /// Puts back what was there before an object was linked, because that goes. No processor may execute what refers to
    /// it any more. Nothing, if the object is not linked. Takes no heap.
    ///
    /// # Errors
    ///
    /// [`Error::Engine`]; the object is still linked then.
    pub fn unlink_object(&mut self, object: &str) -> Result<(), Error> {
        let Some(late) = &mut self.late else { return Ok(()) };
        late.unlink::<E>(self.home.engine(), &mut self.parts, object)
    }

    /// Whether any relocations wait for other objects, or are applied for them.
    #[must_use]
    pub const fn patches_others(&self) -> bool {
        self.late.is_some()
    }

    /// The memory of which each processor has its own copy.
    #[must_use]
    pub fn per_cpu(&self) -> Option<Extent> {
        self.per_cpu.as_ref().map(|memory| memory.extent)
    }

    /// The memory of each kind.
    pub fn extents(&self) -> impl Iterator<Item = (E::Set, Extent)> + '_ {
        let sealed = self.sealed.iter().map(|part| (part.kind(), part.extent()));
        self.parts.iter().map(|part| (part.kind(), part.extent())).chain(sealed)
    }

    /// The engine, and the piece of memory that holds an address.
    pub(super) fn part(&self, address: u64) -> Option<(&EngineOf<E>, &Live<E::Set>)> {
        let part = self.parts.iter().find(|part| part.extent().contains(address))?;
        Some((self.home.engine(), part))
    }

    /// Frees everything. No processor may execute or refer to it any more.
    pub fn unload(self) {
        free_all::<E, _, _>(self.home.engine(), self.parts);
        free_all::<E, _, _>(self.home.engine(), self.sealed);
        drop(ManuallyDrop::into_inner(self.per_cpu));
    }
}
