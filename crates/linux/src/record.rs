//! What is mapped at home, page by page: the backend's own record, which answers before memory is touched.

use std::ops::RangeInclusive;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use execmem_types::{BackendError, Extent, PageSize, Protection};

const ABSENT: u8 = 0;

/// Pages that share a piece of record.
const PIECE: usize = 512;

/// The state of every page of a window. A piece of record appears when a page in it is first mapped.
#[derive(Debug)]
pub(crate) struct Record {
    window: Extent,
    page: PageSize,
    pieces: Box<[OnceLock<Box<[AtomicU8; PIECE]>>]>,
}

const fn encode(protection: Protection) -> u8 {
    match protection {
        Protection::NoAccess => 1,
        Protection::ReadOnly => 2,
        Protection::ReadWrite => 3,
        Protection::ReadExecute => 4,
    }
}

const fn decode(state: u8) -> Option<Protection> {
    match state {
        1 => Some(Protection::NoAccess),
        2 => Some(Protection::ReadOnly),
        3 => Some(Protection::ReadWrite),
        4 => Some(Protection::ReadExecute),
        _ => None,
    }
}

impl Record {
    pub(crate) fn new(window: Extent, page: PageSize) -> Self {
        let pages = usize::try_from(window.len() / page.bytes()).unwrap_or(0);
        let pieces = std::iter::repeat_with(OnceLock::new).take(pages.div_ceil(PIECE)).collect();
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

    /// The state of a page.
    #[inline]
    fn state(&self, page: usize) -> Option<Protection> {
        let piece = self.pieces.get(page / PIECE)?.get()?;
        decode(piece[page % PIECE].load(Ordering::Acquire))
    }

    /// Refuses an extent that is not whole pages.
    pub(crate) fn check_whole(&self, extent: Extent, page: PageSize) -> Result<(), BackendError> {
        if extent.is_aligned(page.bytes()) { Ok(()) } else { Err(BackendError::NotPages { extent, page }) }
    }

    /// Refuses an extent any page of which is mapped.
    pub(crate) fn check_absent(&self, extent: Extent) -> Result<(), BackendError> {
        let is_absent = self.pages(extent)?.all(|page| self.state(page).is_none());
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
            let state = self.state(page);
            if !state.is_some_and(&allowed) {
                let start = self.window.start() + ((page as u64) << self.page.log2());
                let address = start.max(extent.start());
                return Err(match state {
                    Some(protection) => BackendError::Denied { address, protection },
                    None => BackendError::NotMapped { address },
                });
            }
        }
        Ok(())
    }

    /// Notes the rights of an extent; `None` is absent.
    pub(crate) fn set(&self, extent: Extent, protection: Option<Protection>) {
        let state = protection.map_or(ABSENT, encode);
        let Ok(pages) = self.pages(extent) else { return };
        for page in pages {
            let piece = self.pieces[page / PIECE].get_or_init(|| Box::new([const { AtomicU8::new(ABSENT) }; PIECE]));
            piece[page % PIECE].store(state, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accesses_are_judged_by_every_page_they_touch() {
        let page = PageSize::kib(4);
        let window = Extent::new(0x10000, 0x10000).expect("window");
        let record = Record::new(window, page);
        let (first, second) = (window.part(0, 0x1000).expect("page"), window.part(0x1000, 0x1000).expect("page"));
        record.set(first, Some(Protection::ReadWrite));
        let across = window.part(0xff0, 0x20).expect("across");
        assert_eq!(record.check_mapped(across, |_| true), Err(BackendError::NotMapped { address: 0x11000 }));
        record.set(second, Some(Protection::ReadExecute));
        let denied = BackendError::Denied { address: 0x11000, protection: Protection::ReadExecute };
        assert_eq!(record.check_mapped(across, Protection::is_writable), Err(denied));
        assert_eq!(record.check_absent(across), Err(BackendError::AlreadyMapped { extent: across }));
        let beyond = Extent::new(0x1fff0, 0x20).expect("beyond");
        assert_eq!(record.check_mapped(beyond, |_| true), Err(BackendError::NotMapped { address: 0x20000 }));
        record.set(across, None);
        assert_eq!(record.check_absent(across), Ok(()));
    }
}
