//! Memory that is mapped twice: a memory file at home, without the right to write, and in a writable view at a random
//! place. The file is closed before anything else can happen with it.
//!
//! A unit has one writable view for good, of all of its 2 MiB. Where it has no file any more, the *sink* is behind it:
//! so an access that is late writes to memory that no thread reads, and never to that of another owner.

use execmem_types::{Extent, Protection, Trap};
use rustix::io::Errno;

use crate::file::{Guarded, memory_file, secret_file};
use crate::fork;
use crate::material::Material;
use crate::page::Page;
use crate::unit::{UNIT_BYTES, Unit};
use crate::view::{Part, View};
use crate::window::Window;

/// A part of a unit that is about to be mapped twice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fresh<'w> {
    pub(crate) unit: &'w Unit,
    /// What a file will be behind: more than what is mapped, where nothing else is in the unit.
    pub(crate) extent: Extent,
    pub(crate) material: Material,
    /// A page of the reserved pool.
    pub(crate) is_of_pool: bool,
    /// Bytes that must have their content and the right to execute from the start, where the system gives it to new
    /// mappings only.
    pub(crate) executable: Option<(usize, Trap)>,
}

impl Window {
    /// Puts a file behind part of a unit, at home without access and in its writable view. On failure, home is reserved
    /// there as before.
    pub(crate) fn back_twice(&self, fresh: &Fresh<'_>) -> Result<(), Errno> {
        let home = self.record.part(fresh.extent);
        let backed = self.views_of(fresh, home).and_then(|view| self.install(fresh.unit, view, fresh.extent));
        if backed.is_err() {
            let _ = self.home.reset(home);
        }
        backed
    }

    /// Makes a file, maps it at home and in a new writable view, and closes it.
    fn views_of(&self, fresh: &Fresh<'_>, home: Part) -> Result<View, Errno> {
        let _kept_away = fork::keep_away();
        let is_secret = fresh.material == Material::SecretFile;
        let file = if is_secret { secret_file(home.len) } else { memory_file(home.len, fresh.is_of_pool) }?;
        let view = View::somewhere(home.len, &self.random, self.mark)?;
        let all = view.whole();
        // No rights yet: a child that is forked by other means than the C library's gets nothing before the next line.
        view.map_file(all, &file, 0, Protection::NoAccess)?;
        view.keep_from_children(all)?;
        view.set_dumped(all, false)?;
        if let Some(node) = self.means.node {
            // A hint; whether there are nodes was found out before.
            let _ = view.prefer(all, node);
        }
        view.protect(all, Protection::ReadWrite)?;
        let first = match fresh.executable {
            Some((len, pattern)) => {
                view.populate(Part::new(0, len), Protection::ReadWrite)?;
                self.fill_view(&view, Part::new(0, len), fresh.extent.start(), pattern)?;
                Some(Part::new(home.offset, len))
            }
            None => None,
        };
        let guard = self.means.guard.filter(|_| !is_secret);
        let file = guard.map_or_else(|| Ok(Guarded::unguarded(&file)), |guard| Guarded::new(&file, guard))?;
        match first {
            Some(first) => self.home.map_file(first, file.reader(), 0, Protection::ReadExecute)?,
            None => self.home.map_file(home, file.reader(), 0, Protection::NoAccess)?,
        }
        if is_secret {
            self.home.keep_from_children(home)?;
        } else if first.is_none() {
            self.home.set_dumped(home, false)?;
        }
        Ok(view)
    }

    /// Makes a view the writable view of part of a unit.
    fn install(&self, unit: &Unit, view: View, extent: Extent) -> Result<(), Errno> {
        let part = self.in_unit(extent);
        if self.means.hides_views {
            view.protect(view.whole(), Protection::NoAccess)?;
        }
        if let Some(whole) = unit.view.get() {
            view.move_onto(whole, part)?;
        } else if extent.len() == UNIT_BYTES {
            // The lock of changes is held, so no other thread makes one.
            let _ = unit.view.set(view);
        } else {
            let len = usize::try_from(UNIT_BYTES).map_err(|_| Errno::OVERFLOW)?;
            let whole = View::somewhere(len, &self.random, self.mark)?;
            self.sink_behind(&whole)?;
            view.move_onto(&whole, part)?;
            let _ = unit.view.set(whole);
        }
        if !self.means.hides_views {
            unit.publish_view();
        }
        Ok(())
    }

    /// Puts the sink behind all of a writable view. Where the system maps no memory once more (emulators do not), the view
    /// has a sink of its own, which takes memory when an access is late.
    fn sink_behind(&self, view: &View) -> Result<(), Errno> {
        let (sink, all) = (self.sink.as_ref().ok_or(Errno::NOTSUP)?, view.whole());
        match sink.duplicate_onto(view, all) {
            Err(Errno::INVAL | Errno::NOMEM) => {}
            done => return done,
        }
        view.map_private(all, Protection::ReadWrite)?;
        view.keep_from_children(all)?;
        view.set_dumped(all, false)?;
        // After mlockall(2) it has memory already, as much as it can ever have.
        let _ = view.unlock(all);
        Ok(())
    }

    /// The part of a unit that a file should be behind so that a mapping in it can be mapped twice: all of it if nothing
    /// is mapped there, so that it can become one large page. `None` if there is one behind it already.
    pub(crate) fn to_back(&self, extent: Extent) -> Option<Extent> {
        let mut pages = self.record.pages(extent);
        if pages.all(Page::is_twice) {
            return None;
        }
        let whole = self.whole_unit(extent);
        Some(if self.record.is_absent(whole) { whole } else { extent })
    }

    /// The unit that an extent lies in.
    pub(crate) fn whole_unit(&self, extent: Extent) -> Extent {
        self.record.whole_unit(extent.start()).unwrap_or(extent)
    }

    /// Notes that a file is behind an extent, of which nothing is mapped yet.
    pub(crate) fn note_backed(&self, extent: Extent) {
        if let Some(unit) = self.record.unit(extent.start()).filter(|_| extent.len() == UNIT_BYTES) {
            // The file before it went when this one took its place in the writable view.
            unit.wait_for_nothing();
        }
        self.record.set(extent, Page::ABSENT.with(Page::TWICE, true));
    }

    /// Gives the memory behind part of a unit back that is out of reach at home and in the record. Where a file cannot
    /// give back a part of it, it goes with the rest.
    pub(crate) fn release(&self, unit: &Unit, extent: Extent, twice_bytes: usize) {
        let whole = self.whole_unit(extent);
        let is_used = self.record.pages(whole).any(|page| page.is_twice() && page.rights().is_some());
        let Some(view) = unit.view.get() else { return };
        if is_used {
            if twice_bytes > 0 && view.punch(self.in_unit(extent)).is_err() {
                unit.wait_for(twice_bytes);
            }
            return;
        }
        // Pages that never were mapped have the file behind them still.
        let idle = self.record.runs(whole, |page| page.is_twice());
        let are_reset = idle.map(|run| self.home.reset(self.record.part(run))).all(|outcome| outcome.is_ok());
        if are_reset && self.sink_behind(view).is_ok() {
            let idle = self.record.runs(whole, |page| page.is_twice());
            idle.for_each(|run| self.record.set(run, Page::ABSENT));
            unit.wait_for_nothing();
        } else {
            unit.wait_for(twice_bytes);
        }
    }
}
