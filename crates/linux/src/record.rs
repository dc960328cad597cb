//! What is mapped at home, page by page: the backend's own record, which answers before memory is touched.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU16, Ordering};

use execmem_types::{BackendError, Extent, PageSize, Protection};
use once_cell::race::OnceBox;

use crate::Backing;

/// Pages that share a piece of record.
const PIECE: usize = 1024;

/// One page in a word: rights, backing, and how many accesses rely on both at the moment.
const RIGHTS: u16 = 0b111;
const BACKING_SHIFT: u32 = 3;
const PIN: u16 = 1 << 6;

/// No further access can rely on a page.
const FULL: u16 = u16::MAX - PIN + 1;

/// The state of every page of a window. A piece of record appears when a page in it is first mapped.
///
/// Rights in the record are never more than the rights of the mapping: they are taken away here before, and granted
/// here after, the mapping changes. A [`Pin`] keeps them from being taken away.
#[derive(Debug)]
pub(crate) struct Record {
    window: Extent,
    page: PageSize,
    pieces: Box<[OnceBox<[AtomicU16; PIECE]>]>,
}

const fn encode(protection: Option<Protection>) -> u16 {
    match protection {
        None => 0,
        Some(Protection::NoAccess) => 1,
        Some(Protection::ReadOnly) => 2,
        Some(Protection::ReadWrite) => 3,
        Some(Protection::ReadExecute) => 4,
    }
}

const fn decode(word: u16) -> Option<Protection> {
    match word & RIGHTS {
        1 => Some(Protection::NoAccess),
        2 => Some(Protection::ReadOnly),
        3 => Some(Protection::ReadWrite),
        4 => Some(Protection::ReadExecute),
        _ => None,
    }
}

/// The rights that two have in common.
fn common(one: Protection, other: Protection) -> Protection {
    match (one, other) {
        _ if one == other => one,
        (Protection::NoAccess, _) | (_, Protection::NoAccess) => Protection::NoAccess,
        _ => Protection::ReadOnly,
    }
}

/// Keeps the rights of some pages as they are until it is dropped.
#[derive(Debug)]
pub(crate) struct Pin<'r> {
    record: &'r Record,
    pages: RangeInclusive<usize>,
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        for page in self.pages.clone() {
            if let Some(word) = self.record.word(page) {
                word.fetch_sub(PIN, Ordering::Release);
            }
        }
    }
}

impl Record {
    pub(crate) fn new(window: Extent, page: PageSize) -> Self {
        let pages = usize::try_from(window.len() / page.bytes()).unwrap_or(0);
        let pieces = std::iter::repeat_with(OnceBox::new).take(pages.div_ceil(PIECE)).collect();
        Record { window, page, pieces }
    }

    /// The window.
    pub(crate) const fn window(&self) -> Extent {
        self.window
    }

    /// Numbers of the pages of an extent in the window.
    fn pages(&self, extent: Extent) -> Result<RangeInclusive<usize>, BackendError> {
        if !self.window.covers(extent) {
            let outside = if self.window.contains(extent.start()) { self.window.last() + 1 } else { extent.start() };
            return Err(BackendError::NotMapped { address: outside });
        }
        let number = |address: u64| usize::try_from((address - self.window.start()) >> self.page.log2());
        Ok(number(extent.start()).unwrap_or(0)..=number(extent.last()).unwrap_or(0))
    }

    #[inline]
    fn word(&self, page: usize) -> Option<&AtomicU16> {
        Some(&self.pieces.get(page / PIECE)?.get()?[page % PIECE])
    }

    /// The rights of a page.
    #[inline]
    fn rights(&self, page: usize) -> Option<Protection> {
        decode(self.word(page)?.load(Ordering::Acquire))
    }

    /// What a page that is mapped is made of.
    pub(crate) fn backing(&self, address: u64) -> Option<Backing> {
        let page = *self.pages(Extent::new(address, 1)?).ok()?.start();
        let word = self.word(page)?.load(Ordering::Acquire);
        decode(word)?;
        Backing::ALL.get(usize::from(word >> BACKING_SHIFT & RIGHTS)).copied()
    }

    /// Why a page does not do.
    fn refusal(&self, page: usize, extent: Extent, rights: Option<Protection>) -> BackendError {
        let address = (self.window.start() + ((page as u64) << self.page.log2())).max(extent.start());
        match rights {
            Some(protection) => BackendError::Denied { address, protection },
            None => BackendError::NotMapped { address },
        }
    }

    /// Refuses an extent that is not whole pages.
    pub(crate) fn check_whole(&self, extent: Extent, page: PageSize) -> Result<(), BackendError> {
        if extent.is_aligned(page.bytes()) { Ok(()) } else { Err(BackendError::NotPages { extent, page }) }
    }

    /// Refuses an extent any page of which is mapped.
    pub(crate) fn check_absent(&self, extent: Extent) -> Result<(), BackendError> {
        let is_absent = self.pages(extent)?.all(|page| self.rights(page).is_none());
        if is_absent { Ok(()) } else { Err(BackendError::AlreadyMapped { extent }) }
    }

    /// Refuses an extent unless all its pages are mapped with rights that are `allowed`.
    #[inline]
    pub(crate) fn check_mapped(
        &self,
        extent: Extent,
        allowed: impl Fn(Protection) -> bool,
    ) -> Result<(), BackendError> {
        for page in self.pages(extent)? {
            let rights = self.rights(page);
            if !rights.is_some_and(&allowed) {
                return Err(self.refusal(page, extent, rights));
            }
        }
        Ok(())
    }

    /// The same, and the rights stay until the pin is dropped.
    pub(crate) fn pin(&self, extent: Extent, allowed: impl Fn(Protection) -> bool) -> Result<Pin<'_>, BackendError> {
        let pages = self.pages(extent)?;
        let first = *pages.start();
        for page in pages.clone() {
            if let Err(rights) = self.pin_page(page, &allowed) {
                if page > first {
                    drop(Pin { record: self, pages: first..=page - 1 });
                }
                return Err(self.refusal(page, extent, rights));
            }
        }
        Ok(Pin { record: self, pages })
    }

    /// Pins one page, unless its rights are not allowed; they are the error.
    fn pin_page(&self, page: usize, allowed: impl Fn(Protection) -> bool) -> Result<(), Option<Protection>> {
        let word = self.word(page).ok_or(None)?;
        let update = |word: u16| (word < FULL && decode(word).is_some_and(&allowed)).then(|| word + PIN);
        loop {
            match word.fetch_update(Ordering::Acquire, Ordering::Relaxed, update) {
                // Pages are pinned in order, so of all who wait somebody waits for accesses that go on: they end soon.
                Err(full) if full >= FULL => std::thread::yield_now(),
                pinned => return pinned.map(drop).map_err(decode),
            }
        }
    }

    /// Takes away, before the mapping changes, the rights that pages are about to lose, and waits until no access
    /// relies on them. Returns the rights of before, page by page.
    pub(crate) fn restrict(&self, extent: Extent, to: Protection) -> Vec<Option<Protection>> {
        let Ok(pages) = self.pages(extent) else { return Vec::new() };
        let mut before = Vec::with_capacity(pages.clone().count());
        for page in pages {
            let Some(word) = self.word(page) else { continue };
            let old = decode(word.load(Ordering::Acquire));
            before.push(old);
            let kept = old.map(|old| common(old, to));
            if kept == old {
                continue;
            }
            Self::store_rights(word, kept);
            while word.load(Ordering::Acquire) >= PIN {
                // An access is a copy of some bytes: it ends soon.
                std::thread::yield_now();
            }
        }
        before
    }

    /// Puts rights back that [`restrict`](Self::restrict) took.
    pub(crate) fn restore(&self, extent: Extent, before: &[Option<Protection>]) {
        let Ok(pages) = self.pages(extent) else { return };
        for (page, rights) in pages.zip(before) {
            if let Some(word) = self.word(page) {
                Self::store_rights(word, *rights);
            }
        }
    }

    fn store_rights(word: &AtomicU16, rights: Option<Protection>) {
        let update = |word: u16| Some(word & !RIGHTS | encode(rights));
        let _ = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, update);
    }

    /// Notes the rights of an extent; `None` is absent.
    pub(crate) fn set(&self, extent: Extent, rights: Option<Protection>) {
        let Ok(pages) = self.pages(extent) else { return };
        for page in pages {
            let piece = self.pieces[page / PIECE].get_or_init(|| Box::new([const { AtomicU16::new(0) }; PIECE]));
            Self::store_rights(&piece[page % PIECE], rights);
        }
    }

    /// Notes what the memory of an extent that is mapped is made of.
    pub(crate) fn set_backing(&self, extent: Extent, backing: Backing) {
        let bits = (backing as u16) << BACKING_SHIFT;
        for word in self.pages(extent).into_iter().flatten().filter_map(|page| self.word(page)) {
            let update = |word: u16| Some(word & !(RIGHTS << BACKING_SHIFT) | bits);
            let _ = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, update);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> (Record, Extent, Extent) {
        let window = Extent::new(0x10000, 0x10000).expect("window");
        let part = |offset| window.part(offset, 0x1000).expect("page");
        (Record::new(window, PageSize::kib(4)), part(0), part(0x1000))
    }

    #[test]
    fn accesses_are_judged_by_every_page_they_touch() {
        let (record, first, second) = record();
        record.set(first, Some(Protection::ReadWrite));
        let across = Extent::new(0x10ff0, 0x20).expect("across");
        assert_eq!(record.check_mapped(across, |_| true), Err(BackendError::NotMapped { address: 0x11000 }));
        record.set(second, Some(Protection::ReadExecute));
        let denied = BackendError::Denied { address: 0x11000, protection: Protection::ReadExecute };
        assert_eq!(record.check_mapped(across, Protection::is_writable), Err(denied));
        assert_eq!(record.pin(across, Protection::is_writable).expect_err("the second"), denied);
        assert_eq!(record.restrict(across, Protection::NoAccess).len(), 2, "no pin is left on the first");
        assert_eq!(record.check_absent(across), Err(BackendError::AlreadyMapped { extent: across }));
        let beyond = Extent::new(0x1fff0, 0x20).expect("beyond");
        assert_eq!(record.check_mapped(beyond, |_| true), Err(BackendError::NotMapped { address: 0x20000 }));
        record.set(across, None);
        assert_eq!(record.check_absent(across), Ok(()));
    }

    #[test]
    fn rights_are_taken_away_only_when_no_access_relies_on_them() {
        let (record, page, _) = record();
        record.set(page, Some(Protection::ReadWrite));
        record.set_backing(page, Backing::Collapsed);
        let pin = record.pin(page, Protection::is_writable).expect("writable");
        std::thread::scope(|scope| {
            let restricted = scope.spawn(|| record.restrict(page, Protection::ReadExecute));
            while record.check_mapped(page, Protection::is_writable).is_ok() {
                std::thread::yield_now();
            }
            assert!(!restricted.is_finished());
            assert!(
                record.pin(page, |rights| rights != Protection::NoAccess).is_ok(),
                "reading is possible throughout"
            );
            drop(pin);
            assert_eq!(restricted.join().expect("no panic"), [Some(Protection::ReadWrite)]);
        });
        record.restore(page, &[Some(Protection::ReadWrite)]);
        assert!(record.check_mapped(page, Protection::is_writable).is_ok());
        assert_eq!(record.backing(page.start()), Some(Backing::Collapsed));
    }

    #[test]
    fn an_access_waits_when_a_page_has_as_many_pins_as_can_be_counted() {
        let (record, page, _) = record();
        record.set(page, Some(Protection::ReadWrite));
        record.set_backing(page, Backing::Secret);
        let pin = || record.pin(page, Protection::is_writable).expect("writable");
        let mut pins: Vec<_> = (0..FULL / PIN).map(|_| pin()).collect();
        std::thread::scope(|scope| {
            let late = scope.spawn(|| drop(pin()));
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(!late.is_finished());
            pins.pop();
            late.join().expect("no panic");
        });
        drop(pins);
        assert_eq!(record.restrict(page, Protection::NoAccess), [Some(Protection::ReadWrite)], "no pin is left");
        assert_eq!(record.backing(page.start()), Some(Backing::Secret));
    }
}
