//! The two stages of a module that loaded: before its initialisation has ended, and after it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem::ManuallyDrop;

use execmem::{EngineOf, EngineRef, Extent, Failed, Handle, KindTag, KnownKind as _, Live, Sealed, Stage};

use super::livepatch::Late;
use super::names::Names;
use super::per_cpu::{NoPerCpu, PerCpu, Taken};
use super::symbols::Symbols;
use crate::{Error, ModuleKinds};

/// The symbol of the function that initialises a module.
const INIT: &str = "init_module";
/// The symbol of the function that ends it.
const EXIT: &str = "cleanup_module";

/// A module that is loaded and published, with its init kinds still there. It knows the engine that it lies in.
#[must_use = "a module that is dropped is never unloaded"]
pub struct Coming<E: EngineRef<Set: ModuleKinds>, P: PerCpu = NoPerCpu> {
    pub(super) home: E,
    pub(super) parts: Vec<Live<E::Set>>,
    /// Large, so not moved with the rest.
    pub(super) names: Box<[Names; 1]>,
    pub(super) late: Option<Box<[Late; 1]>>,
    /// Given back by unloading alone.
    pub(super) per_cpu: ManuallyDrop<Option<Taken<P>>>,
}

/// A module that is initialised. It knows the engine that it lies in.
#[derive(Debug)]
#[must_use = "a module that is dropped is never unloaded"]
pub struct Module<E: EngineRef<Set: ModuleKinds>, P: PerCpu = NoPerCpu> {
    home: E,
    parts: Vec<Live<E::Set>>,
    /// What is read-only since initialisation ended: memory of one kind.
    sealed: Option<Sealed<E::Set>>,
    /// Large, so not moved with the rest.
    names: Box<[Names; 1]>,
    late: Option<Box<[Late; 1]>>,
    /// Given back by unloading alone.
    per_cpu: ManuallyDrop<Option<Taken<P>>>,
}

/// Frees a handle of this very engine, which always accepts it.
fn free<E: EngineRef, T: Stage, K: KindTag<Set = E::Set>>(engine: &EngineOf<E>, handle: Handle<T, K>) {
    let _ = engine.free(handle);
}

/// Frees handles of this very engine.
pub(super) fn free_all<E: EngineRef, T: Stage, K: KindTag<Set = E::Set>>(
    engine: &EngineOf<E>,
    mut handles: Vec<Handle<T, K>>,
) {
    let _ = engine.free_group(&mut handles);
}

/// Whether memory of a kind goes when its module is initialised: not if a set keeps what lasts in it, too.
pub(super) fn is_init<S: ModuleKinds>(kind: S) -> bool {
    let lasts = [S::Text::KIND, S::Data::KIND, S::RoData::KIND, S::RoAfterInit::KIND];
    [S::InitText::KIND, S::InitData::KIND, S::InitRoData::KIND].contains(&kind) && !lasts.contains(&kind)
}

impl<E: EngineRef<Set: ModuleKinds>, P: PerCpu> Coming<E, P> {
    /// The address of the function that initialises the module.
    #[must_use]
    pub fn init(&self) -> Option<u64> {
        self.names[0].symbol(INIT)
    }

    /// Where its symbols and sections lie.
    #[must_use]
    pub const fn names(&self) -> &Names {
        &self.names[0]
    }

    /// The memory of each kind.
    pub fn extents(&self) -> impl Iterator<Item = (E::Set, Extent)> + '_ {
        self.parts.iter().map(|part| (part.kind(), part.extent()))
    }

    /// Ends initialisation: makes read-only what is to be so from now on, and frees the init kinds. Takes no heap.
    ///
    /// # Errors
    ///
    /// What the engine says if memory cannot be sealed. The module comes back as it was: it can be finished later, or
    /// unloaded once its own end has run.
    pub fn finish(mut self) -> Result<Module<E, P>, Failed<Self>> {
        let sealed = match self.seal() {
            Ok(sealed) => sealed,
            Err(error) => return Err(Failed { handle: self, error }),
        };
        let Coming { home, mut parts, mut names, late, per_cpu } = self;
        names[0].forget_init();
        while let Some(place) = parts.iter().position(|part| is_init(part.kind())) {
            free::<E, _, _>(home.engine(), parts.swap_remove(place));
        }
        Ok(Module { home, parts, sealed, names, late, per_cpu })
    }

    /// The same, and a module that cannot be finished is unloaded.
    ///
    /// # Errors
    ///
    /// [`Error::Engine`] if memory cannot be sealed.
    pub fn finish_or_unload(self) -> Result<Module<E, P>, Error> {
        self.finish().map_err(|Failed { handle, error }| {
            handle.unload();
            error.into()
        })
    }

    /// Seals what is read-only after initialisation: memory of one kind, if there is any.
    fn seal(&mut self) -> Result<Option<Sealed<E::Set>>, execmem::Error> {
        let is_sealed = |part: &Live<E::Set>| part.kind() == <E::Set as ModuleKinds>::RoAfterInit::KIND;
        let Some(place) = self.parts.iter().position(is_sealed) else { return Ok(None) };
        self.home.engine().seal(self.parts.swap_remove(place)).map(Some).map_err(|Failed { handle, error }| {
            self.parts.push(handle);
            error
        })
    }

    /// Gives the module up before it is initialised.
    pub fn unload(self) {
        free_all::<E, _, _>(self.home.engine(), self.parts);
        drop(ManuallyDrop::into_inner(self.per_cpu));
    }
}

impl<E: EngineRef<Set: ModuleKinds>, P: PerCpu> core::fmt::Debug for Coming<E, P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Coming").field("parts", &self.parts).finish_non_exhaustive()
    }
}

impl<E: EngineRef<Set: ModuleKinds>, P: PerCpu> Module<E, P> {
    /// The address of the function that ends the module.
    #[must_use]
    pub fn exit(&self) -> Option<u64> {
        self.names[0].symbol(EXIT)
    }

    /// Where its symbols and sections lie.
    #[must_use]
    pub const fn names(&self) -> &Names {
        &self.names[0]
    }

    /// Applies the relocations that wait for another object, a module that is loaded now (`.klp.rela.OBJECT.*`).
    /// [`Symbols::numbered`] finds its symbols, as [`Names`] do. Returns whether any wait for it. No processor may execute or
    /// read what they change meanwhile. [`Modules`](super::Modules) do this by themselves.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyLinked`], [`Error::NotPatchable`] if the table flips rights, and those of relocations; nothing has
    /// changed then, unless putting it back is refused too: [`unlink_object`](Self::unlink_object) goes on.
    pub fn link_object(&mut self, object: &str, symbols: &impl Symbols) -> Result<bool, Error> {
        let Some([late]) = self.late.as_deref_mut() else { return Ok(false) };
        if !late.waits_for(object) {
            return Ok(false);
        }
        late.link::<E>(self.home.engine(), &mut self.parts, object, symbols).map(|()| true)
    }

    /// Puts back what was there before an object was linked, because that goes. No processor may execute what refers to
    /// it any more. Nothing, if the object is not linked. Takes no heap.
    ///
    /// # Errors
    ///
    /// [`Error::Engine`]; the object is still linked then.
    pub fn unlink_object(&mut self, object: &str) -> Result<(), Error> {
        let Some([late]) = self.late.as_deref_mut() else { return Ok(()) };
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
        self.sealed.into_iter().for_each(|part| free::<E, _, _>(self.home.engine(), part));
        drop(ManuallyDrop::into_inner(self.per_cpu));
    }
}
