//! How the memory of a unit grows: it begins with little, and becomes one large page when it is used, without moving and
//! while it is executed and written.
//!
//! | bytes in use | memory |
//! |---|---|
//! | up to 8 KiB | 8 KiB in small pages; of constants, as much as is written |
//! | up to 256 KiB | 64 KiB, then twice as much each time; of constants, twice as much from the start |
//! | more | 2 MiB in one large page; while the kernel has none, as before, and the next growth tries again |
//!
//! A process that filled a unit of a class will fill the next: that one is large from its start.

use std::sync::atomic::Ordering;

use execmem_types::{BackendError, Extent, PageSize, Protection, Trap};
use rustix::io::Errno;

use crate::change::refusal;
use crate::limits;
use crate::material::Backing;
use crate::page::Page;
use crate::unit::Unit;
use crate::view::{Part, View};
use crate::window::Window;

/// Bytes that a unit has memory for at first: a process with few functions has no more.
const FIRST_BYTES: u64 = 8 << 10;

/// Bytes that a unit has memory for when that is used up.
const SECOND_BYTES: u64 = 64 << 10;

/// A unit that needs memory for more bytes than this becomes one large page.
const LARGE_FROM: u64 = 256 << 10;

/// What one step of growth is about: pages of a unit that are mapped and have no memory yet.
#[derive(Debug, Clone, Copy)]
struct Growth<'w> {
    unit: &'w Unit,
    extent: Extent,
    rights: Protection,
    is_twice: bool,
    /// What the pages hold at first.
    pattern: Trap,
}

impl Window {
    /// Gives every page of an extent memory that is mapped and has none yet.
    pub(crate) fn commit(&self, extent: Extent) -> Result<(), BackendError> {
        if !self.record.has_latent(extent) {
            return Ok(());
        }
        let _changing = self.change();
        self.commit_alone(extent)
    }

    /// The same by the holder of `changing`.
    pub(crate) fn commit_alone(&self, extent: Extent) -> Result<(), BackendError> {
        let page = self.record.page();
        for part in self.record.by_unit(extent).filter(|part| self.record.has_latent(*part)) {
            let (whole, unit) = (self.whole_unit(part), self.unit(part)?);
            let needed = part.last() + 1 - whole.start();
            let mut goal = part;
            if self.is_whole(whole) {
                let bytes = if unit.pattern() == Trap::ZERO {
                    needed.next_power_of_two().max(page.bytes())
                } else {
                    memory_for(needed, page)
                };
                unit.set_owed(bytes > LARGE_FROM && self.enlarge(whole).is_err());
                goal = whole.part(0, bytes).unwrap_or(whole);
            }
            self.solidify(goal, unit.pattern()).map_err(|errno| refusal(errno, goal, page))?;
        }
        Ok(())
    }

    /// Whether a unit is mapped from beginning to end, all of it once or all of it twice.
    fn is_whole(&self, whole: Extent) -> bool {
        let is_twice = self.record.page_at(whole.start()).is_twice();
        self.record.pages(whole).all(|page| page.rights().is_some() && page.is_twice() == is_twice)
    }

    /// Gives the latent pages of an extent in one unit memory, in small pages.
    pub(crate) fn solidify(&self, extent: Extent, pattern: Trap) -> Result<(), Errno> {
        let whole = Extent::between(self.record.page().round_down(extent.start()), extent.end()).unwrap_or(extent);
        for latent in self.record.runs(whole, |page| page.is_latent()) {
            let growth = Growth { pattern, ..self.growth(latent)? };
            let home = self.record.part(growth.extent);
            if growth.is_twice {
                let within = self.in_unit(growth.extent);
                self.with_view(growth.unit, within, |view| {
                    view.populate(within, Protection::ReadWrite)?;
                    self.fill_and_show(&growth, view, within)
                })?;
            } else {
                self.home.protect(home, Protection::ReadWrite)?;
                self.home.populate(home, Protection::ReadWrite)?;
                self.fill_and_show(&growth, &self.home, home)?;
            }
            self.record.set_solid(growth.extent);
        }
        Ok(())
    }

    /// What is known about a run of latent pages, rounded to whole pages.
    fn growth(&self, latent: Extent) -> Result<Growth<'_>, Errno> {
        let unit = self.record.unit(latent.start()).ok_or(Errno::FAULT)?;
        let page = self.record.page_at(latent.start());
        let rights = page.rights().ok_or(Errno::FAULT)?;
        let len = self.record.page().round_up(latent.len()).unwrap_or(latent.len());
        let extent = Extent::new(latent.start(), len).unwrap_or(latent);
        Ok(Growth { unit, extent, rights, is_twice: page.is_twice(), pattern: unit.pattern() })
    }

    /// Fills fresh memory where it is writable, and then gives it its rights at home.
    fn fill_and_show(&self, growth: &Growth<'_>, view: &View, written: Part) -> Result<(), Errno> {
        let pattern = growth.pattern;
        let home = self.record.part(growth.extent);
        if pattern != Trap::ZERO {
            self.fill_view(view, written, growth.extent.start(), pattern)?;
        }
        match growth.rights {
            Protection::ReadExecute if growth.is_twice => self.make_executable(growth.extent, home)?,
            rights => self.home.protect(home, rights)?,
        }
        if growth.is_twice {
            // Beside what has the same rights, or both stay mappings of their own.
            self.home.set_dumped(home, true)?;
        }
        if growth.rights.is_executable() { self.sync_fresh(home, view, written) } else { Ok(()) }
    }

    /// Makes home executable in an extent of memory that is mapped twice.
    fn make_executable(&self, extent: Extent, home: Part) -> Result<(), Errno> {
        if !self.maps_executable() {
            match self.home.protect(home, Protection::ReadExecute) {
                // Forbidden since the window was set up.
                Err(Errno::ACCESS) => self.maps_executable.store(true, Ordering::Relaxed),
                done => return done,
            }
        }
        self.extend(extent)
    }

    /// Makes home executable in an extent where the system gives that right to new mappings only: by a longer copy of what
    /// is executable before it in its unit.
    fn extend(&self, extent: Extent) -> Result<(), Errno> {
        let unit = self.whole_unit(extent);
        let before = Extent::between(unit.start(), extent.start().into()).ok_or(Errno::ACCESS)?;
        let is_executable = |page: Page| page.is_open() && page.rights() == Some(Protection::ReadExecute);
        if !self.record.pages(before).all(is_executable) {
            return Err(Errno::ACCESS);
        }
        let start = self.record.part(before);
        self.home.extend(Part::new(start.offset, start.len + self.record.part(extent).len))
    }

    /// Makes a unit one large page, all of which is mapped.
    pub(crate) fn enlarge(&self, whole: Extent) -> Result<(), Errno> {
        let unit = self.record.unit(whole.start()).ok_or(Errno::FAULT)?;
        let home = self.record.part(whole);
        let page = self.record.page_at(whole.start());
        if !self.is_whole(whole) {
            return Err(Errno::INVAL);
        }
        if !page.is_twice() {
            return self.enlarge_private(whole, home);
        }
        let all = self.in_unit(whole);
        let backing = self.with_view(unit, all, |view| {
            if page.is_latent() {
                // Collapsing nothing is an error.
                self.fill_view(view, Part::new(0, 1), whole.start(), unit.pattern())?;
            }
            let backing = make_large(view, all, true)?;
            // Collapsing first and filling later is ten times faster than the reverse.
            for latent in self.record.runs(whole, |page| page.is_latent()) {
                self.fill_and_show(&self.growth(latent)?, view, self.in_unit(latent))?;
            }
            Ok(backing)
        })?;
        // Maps the large page at home now; left alone, the first access would.
        let _ = self.home.collapse(home);
        self.record.set_backing(whole, backing);
        Ok(())
    }

    /// The same for memory of this process alone. What is executed there keeps its rights, so the rest is filled in small
    /// pages first.
    fn enlarge_private(&self, whole: Extent, home: Part) -> Result<(), Errno> {
        let page = self.record.page_at(whole.start());
        if page.is_latent() {
            let growth = self.growth(whole)?;
            self.home.protect(home, Protection::ReadWrite)?;
            self.fill_view(&self.home, Part::new(home.offset, 1), whole.start(), growth.pattern)?;
            let backing = make_large(&self.home, home, false);
            if backing.is_err() {
                self.home.reset(home)?;
            } else {
                self.fill_and_show(&growth, &self.home, home)?;
            }
            self.record.set_backing(whole, backing?);
            return Ok(());
        }
        self.solidify(whole, self.growth(whole)?.pattern)?;
        let backing = make_large(&self.home, home, false)?;
        self.record.set_backing(whole, backing);
        Ok(())
    }

    /// Runs `body` while a part of the writable view of a unit is writable.
    pub(crate) fn with_view<O>(
        &self,
        unit: &Unit,
        part: Part,
        body: impl FnOnce(&View) -> Result<O, Errno>,
    ) -> Result<O, Errno> {
        let view = unit.view.get().ok_or(Errno::FAULT)?;
        if self.means.hides_views {
            view.protect(part, Protection::ReadWrite)?;
        }
        let outcome = body(view);
        if self.means.hides_views {
            view.protect(part, Protection::NoAccess)?;
        }
        outcome
    }
}

/// Bytes that a unit has memory for, in small pages, when so many from its start are used.
pub(crate) fn memory_for(used: u64, page: PageSize) -> u64 {
    let bytes = if used <= FIRST_BYTES { FIRST_BYTES } else { used.next_power_of_two().max(SECOND_BYTES) };
    bytes.max(page.bytes())
}

/// Makes part of a view, which is writable and not empty, a large page: at once, or else by request.
pub(crate) fn make_large(view: &View, part: Part, is_of_file: bool) -> Result<Backing, Errno> {
    let is_advised = view.welcome_large(part, true).is_ok();
    match view.collapse(part) {
        Ok(()) => Ok(Backing::Collapsed),
        // What kernels before 6.1 say, and any kernel that has no large pages at all.
        Err(Errno::INVAL) if is_advised && limits::large_pages_on_request(is_of_file) => {
            view.populate(part, Protection::ReadWrite)?;
            Ok(Backing::Advised)
        }
        Err(errno) => Err(errno),
    }
}
