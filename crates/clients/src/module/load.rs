//! Loading: from an object to a module that is published.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem::ManuallyDrop;

use execmem::{Draft, EngineOf, EngineRef};
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
use super::stages::{Coming, free_all, is_init};
use super::symbols::{Symbols, Values};
use crate::growth::try_box;
use crate::{Error, ModuleKinds};

/// Loads modules with one engine.
#[derive(Debug)]
pub struct Loader<E: EngineRef<Set: ModuleKinds> + Clone, P: PerCpu + Clone = NoPerCpu> {
    home: E,
    machine: &'static MachineRules,
    limits: LoadLimits,
    per_cpu: P,
}

/// What will be written to the memory of a module, and what stays known of it.
struct Prepared<S: ModuleKinds, P: PerCpu> {
    contents: Contents<S>,
    /// Large, so not moved with the rest.
    names: Box<[Names; 1]>,
    late: Option<Box<[Late; 1]>>,
    per_cpu: Option<Taken<P>>,
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
        let object = self.parse(data)?;
        let [object] = &*object;
        let mut layout = self.lay_out(object)?;
        let [layout] = &mut *layout;
        let mut drafts = self.allocate(layout)?;
        let mut prepared = self.prepare(object, layout, &drafts, outside);
        if self.needs_veneers(&prepared) {
            free_all::<E, _, _>(self.engine(), drafts);
            self.add_plts(object, layout)?;
            drafts = self.allocate(layout)?;
            prepared = self.prepare(object, layout, &drafts, outside);
        }
        let filled = prepared.and_then(|mut prepared| {
            self.fill(object, layout, &mut drafts, &mut prepared.contents, finalize)?;
            Ok(prepared)
        });
        match filled {
            Ok(prepared) => self.publish(drafts, prepared),
            Err(error) => {
                free_all::<E, _, _>(self.engine(), drafts);
                Err(error)
            }
        }
    }

    // The steps are not inlined: kernels have small stacks, and what one of them needs is gone before the next. What is large
    // lies in the heap.

    #[inline(never)]
    fn parse<'data>(&self, data: &'data [u8]) -> Result<Box<[ObjectFile<'data>; 1]>, Error> {
        try_box(object_file::parse(data, &self.limits, Some(self.machine))?)
    }

    /// A place for each section in the memory of its kind.
    #[inline(never)]
    fn lay_out(&self, object: &ObjectFile<'_>) -> Result<Box<[Layout<E::Set>; 1]>, Error> {
        let alignment = |kind| self.engine().table().alignment(kind).bytes();
        let mut layout = try_box(Layout::new(object, self.machine, alignment)?)?;
        layout[0].add_late_plts(object, self.machine, self.instructions())?;
        layout[0].check(&self.limits)?;
        Ok(layout)
    }

    /// Where a call does not reach, it goes by way of a PLT, which takes memory that most modules do not need.
    fn needs_veneers(&self, prepared: &Result<Prepared<E::Set, P>, Error>) -> bool {
        matches!(prepared, Err(Error::OutOfReach { .. })) && !self.instructions().veneers.is_empty()
    }

    /// Makes room for PLTs.
    #[inline(never)]
    fn add_plts(&self, object: &ObjectFile<'_>, layout: &mut Layout<E::Set>) -> Result<(), Error> {
        layout.add_plts(object, self.machine, self.instructions())?;
        layout.check(&self.limits)
    }

    /// Lets `finalize` change what was relocated, and writes it to its memory.
    #[inline(never)]
    fn fill(
        &self,
        object: &ObjectFile<'_>,
        layout: &Layout<E::Set>,
        drafts: &mut [Draft<E::Set>],
        contents: &mut Contents<E::Set>,
        finalize: impl FnOnce(&mut ModuleImage<'_, E::Set>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        finalize(&mut ModuleImage::new(contents, object, layout, self.instructions())?)?;
        self.write(drafts, contents)
    }

    fn instructions(&self) -> &'static InstructionSet {
        self.engine().table().machine().instructions
    }

    /// Memory for every kind of the module, or none. Where a section wants more than the alignment of its kind, there
    /// is room to move it.
    #[inline(never)]
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
    #[inline(never)]
    fn prepare(
        &self,
        object: &ObjectFile<'_>,
        layout: &Layout<E::Set>,
        drafts: &[Draft<E::Set>],
        outside: &impl Symbols,
    ) -> Result<Prepared<E::Set, P>, Error> {
        let (need, _) = &layout.per_cpu;
        let per_cpu = Taken::new(&self.per_cpu, need.len, need.align)?;
        let values = self.resolve(object, layout, drafts, per_cpu.as_ref(), outside)?;
        let mut contents = self.contents(object, layout, drafts)?;
        contents.relocate(object, layout, &values, (self.machine, self.instructions()))?;
        let late = self.late(object, layout, drafts, &values)?;
        Ok(Prepared { contents, names: names(object, layout, &values)?, late, per_cpu })
    }

    /// The value of each symbol.
    #[inline(never)]
    fn resolve<'data>(
        &self,
        object: &ObjectFile<'data>,
        layout: &Layout<E::Set>,
        drafts: &[Draft<E::Set>],
        per_cpu: Option<&Taken<P>>,
        outside: &impl Symbols,
    ) -> Result<Values<'data>, Error> {
        let placed = Placed::new(layout, drafts);
        Values::resolve(object, outside, |section| match layout.per_cpu_offset(section) {
            Some(offset) => per_cpu.map(|memory| memory.extent.start().wrapping_add(offset)),
            None => placed.address(layout.slots.get(section).copied().flatten()?),
        })
    }

    /// The sections of each kind, as they are in the file.
    #[inline(never)]
    fn contents(
        &self,
        object: &ObjectFile<'_>,
        layout: &Layout<E::Set>,
        drafts: &[Draft<E::Set>],
    ) -> Result<Contents<E::Set>, Error> {
        let placed = Placed::new(layout, drafts);
        let mut contents = Contents::new(layout, &placed, self.engine().table().machine().trap())?;
        contents.fill(object, layout);
        Ok(contents)
    }

    /// What waits for other objects.
    #[inline(never)]
    fn late(
        &self,
        object: &ObjectFile<'_>,
        layout: &Layout<E::Set>,
        drafts: &[Draft<E::Set>],
        values: &Values<'_>,
    ) -> Result<Option<Box<[Late; 1]>>, Error> {
        let placed = Placed::new(layout, drafts);
        let (machine, instructions, limits) = (self.machine, self.instructions(), &self.limits);
        let plt = |(slot, room): (Slot<E::Set>, u64)| Some((placed.address(slot)?, room));
        let plts = collect(layout.late_plts.iter().map(|place| Ok(place.and_then(plt))))?;
        let rules = Rules { machine, instructions, limits };
        Late::new(object, rules, |section| values.section(section), plts)?.map(try_box).transpose()
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
    #[inline(never)]
    fn publish(&self, drafts: Vec<Draft<E::Set>>, prepared: Prepared<E::Set, P>) -> Result<Coming<E, P>, Error> {
        let Prepared { contents, names, late, per_cpu } = prepared;
        let parts = self.engine().publish_group(drafts).map_err(|failed| {
            free_all::<E, _, _>(self.engine(), failed.handle);
            failed.error
        })?;
        per_cpu.iter().for_each(|memory| memory.fill(&contents.per_cpu));
        Ok(Coming { home: self.home.clone(), parts, names, late, per_cpu: ManuallyDrop::new(per_cpu) })
    }
}

/// Where the named things of a module lie.
#[inline(never)]
fn names<S: ModuleKinds>(
    object: &ObjectFile<'_>,
    layout: &Layout<S>,
    values: &Values<'_>,
) -> Result<Box<[Names; 1]>, Error> {
    let is_init =
        |section| layout.slots.get(section).copied().flatten().is_some_and(|slot: Slot<S>| is_init(slot.kind));
    try_box(Names::new(object, values, is_init)?)
}
