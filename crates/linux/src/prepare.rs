//! Code memory that is made beforehand, for processes that give up the right to make any: to map and unmap it takes no
//! system call.

use execmem_types::{BackendError, Extent, Mapping, Protection, Rights};
use rustix::io::Errno;

use crate::host::LARGE;
use crate::unit::{UNIT_BYTES, Unit};
use crate::view::{Part, View};
use crate::window::{Window, system_error};

impl Window {
    /// Makes the units of an extent beforehand: filled with traps and executable.
    pub(crate) fn prepare(&self, extent: Extent, trap: execmem_types::Trap) -> Result<(), BackendError> {
        self.map(&Mapping::new(extent, LARGE, Protection::ReadExecute, trap))?;
        self.commit(extent)?;
        let _changing = self.change();
        for (_, unit) in self.record.units().filter(|(unit, _)| extent.covers(*unit)) {
            unit.set_prepared(true);
        }
        self.record.hide(extent);
        Ok(())
    }

    /// Keeps the mappings of home in an extent as they are until the process ends. False if the system cannot.
    pub(crate) fn seal(&self, extent: Extent) -> bool {
        self.home.seal(self.record.part(extent)).is_ok()
    }

    /// Maps a unit that was made beforehand for a mapping like this. One that does not fit is given up.
    pub(crate) fn map_prepared(&self, unit: &Unit, part: Extent, mapping: &Mapping) -> Result<bool, BackendError> {
        if !unit.is_prepared() {
            return Ok(false);
        }
        let is_like_it = mapping.rights == Rights::only(Protection::ReadExecute) && mapping.unused == unit.pattern();
        if is_like_it && part.len() == UNIT_BYTES {
            self.record.give(part, Protection::ReadExecute);
            return Ok(true);
        }
        let whole = self.whole_unit(part);
        self.home.reset(self.record.part(whole)).map_err(system_error)?;
        self.forget(whole);
        Ok(false)
    }

    /// Keeps the memory of an extent for later if all of it was made beforehand: filled with traps, as it was.
    pub(crate) fn keep_prepared(&self, extent: Extent) -> bool {
        let is_prepared =
            |part: Extent| part.len() == UNIT_BYTES && self.record.unit(part.start()).is_some_and(Unit::is_prepared);
        if !self.record.by_unit(extent).all(is_prepared) {
            return false;
        }
        let are_filled = self.record.by_unit(extent).all(|part| self.fill_prepared(part).is_ok());
        if are_filled {
            self.record.hide(extent);
        }
        are_filled
    }

    fn fill_prepared(&self, whole: Extent) -> Result<(), Errno> {
        let unit = self.record.unit(whole.start()).ok_or(Errno::FAULT)?;
        let home = self.record.part(whole);
        let part = Part::new(0, home.len);
        if unit.view.get().is_none() {
            // Of this process alone, and the kernel writes.
            return crate::proc_mem::fill(whole.start(), home.len, unit.pattern());
        }
        self.with_view(unit, part, |view: &View| {
            self.fill_view(view, part, whole.start(), unit.pattern())?;
            self.sync_fresh(home, view, part)
        })
    }
}
