//! What is mapped at home, page by page: the backend's own record, which answers before memory is touched.

use std::sync::atomic::{AtomicU32, Ordering};

use execmem_types::{BackendError, Extent, PageSize, Protection};
use once_cell::race::OnceBox;

use crate::Backing;
use crate::host::LARGE;
use crate::page::Page;
use crate::unit::{UNIT_BYTES, Unit};
use crate::view::Part;

/// The state of every page of a window.
///
/// Rights in the record are never more than the rights of the mapping: they are taken away here before, and granted
/// here after, the mapping changes. A [`Pin`] keeps them from being taken away.
#[derive(Debug)]
pub(crate) struct Record {
    window: Extent,
    page: PageSize,
    units: Vec<OnceBox<[Unit; 1]>>,
}

/// Part of an extent: in one unit, and all of it [latent](Page::LATENT) or none of it, mapped twice or none of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) extent: Extent,
    pub(crate) is_latent: bool,
}

/// Keeps the rights of some pages as they are until it is dropped.
#[derive(Debug)]
pub(crate) struct Pin<'r> {
    record: &'r Record,
    extent: Extent,
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        self.record.words(self.extent).for_each(|word| {
            word.fetch_sub(Page::PIN, Ordering::Release);
        });
    }
}

impl Record {
    /// A record of a window in which nothing is mapped.
    pub(crate) fn new(window: Extent, page: PageSize) -> Option<Self> {
        let count = usize::try_from(window.len() / UNIT_BYTES).ok()?;
        let mut units = Vec::new();
        units.try_reserve_exact(count).ok()?;
        units.resize_with(count, OnceBox::new);
        Some(Record { window, page, units })
    }

    /// The window.
    pub(crate) const fn window(&self) -> Extent {
        self.window
    }

    /// The smallest page.
    pub(crate) const fn page(&self) -> PageSize {
        self.page
    }

    /// Offset of an address in the window.
    #[inline]
    pub(crate) fn offset(&self, address: u64) -> usize {
        usize::try_from(address.wrapping_sub(self.window.start())).unwrap_or(usize::MAX)
    }

    /// The part of the window that an extent in it is.
    pub(crate) fn part(&self, extent: Extent) -> Part {
        Part::new(self.offset(extent.start()), usize::try_from(extent.len()).unwrap_or(usize::MAX))
    }

    /// The unit that holds an address, if something was ever mapped in it.
    #[inline]
    pub(crate) fn unit(&self, address: u64) -> Option<&Unit> {
        let offset = address.wrapping_sub(self.window.start());
        let index = usize::try_from(offset / UNIT_BYTES).ok()?;
        self.units.get(index)?.get().map(|[unit]| unit)
    }

    /// The same, made if it is not there yet. `None` if there is no memory for it.
    pub(crate) fn make_unit(&self, address: u64) -> Option<&Unit> {
        if let Some(unit) = self.unit(address) {
            return Some(unit);
        }
        let mut one = Vec::new();
        one.try_reserve_exact(1).ok()?;
        one.push(Unit::new());
        let one: Box<[Unit; 1]> = one.into_boxed_slice().try_into().ok()?;
        // Another thread may have been faster.
        let _ = self.units.get(self.offset(address) / usize::try_from(UNIT_BYTES).ok()?)?.set(one);
        self.unit(address)
    }

    /// The units that an extent touches, and its part in each.
    pub(crate) fn by_unit(&self, extent: Extent) -> impl Iterator<Item = Extent> + use<> {
        let first = LARGE.round_down(extent.start());
        let starts = (first..=extent.last()).step_by(usize::try_from(UNIT_BYTES).unwrap_or(usize::MAX));
        starts.filter_map(move |start| Extent::new(start, UNIT_BYTES)?.intersection(extent))
    }

    /// Addresses in each page that an extent touches.
    fn addresses(&self, extent: Extent) -> impl Iterator<Item = u64> + use<> {
        let step = usize::try_from(self.page.bytes()).unwrap_or(usize::MAX);
        (self.page.round_down(extent.start())..=extent.last()).step_by(step)
    }

    /// The word of the page that holds an address.
    fn word(&self, address: u64) -> Option<&AtomicU32> {
        let within = self.offset(address) % usize::try_from(UNIT_BYTES).ok()?;
        self.unit(address)?.pages.get(within >> self.page.log2())
    }

    /// The words of an extent, as far as there are any.
    fn words(&self, extent: Extent) -> impl Iterator<Item = &AtomicU32> {
        self.addresses(extent).filter_map(|address| self.word(address))
    }

    /// The pages of an extent.
    pub(crate) fn pages(&self, extent: Extent) -> impl Iterator<Item = Page> {
        self.addresses(extent).map(|address| self.page_at(address))
    }

    /// The longest extents in an extent, which is whole pages, all pages of which are alike.
    pub(crate) fn runs(&self, extent: Extent, is_alike: impl Fn(Page) -> bool + Copy) -> impl Iterator<Item = Extent> {
        let mut rest = Some(extent);
        std::iter::from_fn(move || {
            let within = rest.take()?;
            let first = self.addresses(within).find(|address| is_alike(self.page_at(*address)))?;
            let behind = Extent::between(first, within.end())?;
            let next = self.addresses(behind).find(|address| !is_alike(self.page_at(*address)));
            rest = next.and_then(|next| Extent::between(next, within.end()));
            Extent::between(first, next.map_or(within.end(), u128::from))
        })
    }

    /// The units in which something was ever mapped.
    pub(crate) fn units(&self) -> impl Iterator<Item = (Extent, &Unit)> {
        self.by_unit(self.window).filter_map(|extent| Some((extent, self.unit(extent.start())?)))
    }

    /// Bytes of all units that wait for the rest of their file.
    pub(crate) fn waiting(&self) -> usize {
        self.units().map(|(_, unit)| unit.waiting()).sum()
    }

    /// What is known about the page that holds an address.
    pub(crate) fn page_at(&self, address: u64) -> Page {
        self.word(address).map_or(Page::ABSENT, |word| Page(word.load(Ordering::Acquire)))
    }

    /// Where the bytes of an extent are in the writable view, if it lies in one unit and all of its pages are
    /// [open](Page::is_open) there.
    #[inline]
    pub(crate) fn in_view(&self, extent: Extent) -> Option<usize> {
        let (unit, within, words) = self.words_of_unit(extent)?;
        let view = unit.open_view();
        let are_open = words.iter().all(|word| Page(word.load(Ordering::Acquire)).is_open());
        (view != 0 && are_open).then_some(view + within)
    }

    /// The unit that an extent lies in, where in it, and the words of its pages. `None` if it lies in several, or nothing
    /// was ever mapped there.
    #[inline]
    fn words_of_unit(&self, extent: Extent) -> Option<(&Unit, usize, &[AtomicU32])> {
        let unit = self.unit(extent.start())?;
        let within = usize::try_from((extent.start() - self.window.start()) % UNIT_BYTES).ok()?;
        let last = within + usize::try_from(extent.len() - 1).ok()?;
        let words = unit.pages.get(within >> self.page.log2()..=last >> self.page.log2())?;
        (last < usize::try_from(UNIT_BYTES).ok()?).then_some((unit, within, words))
    }

    /// Cuts an extent into pieces.
    pub(crate) fn pieces(&self, extent: Extent) -> impl Iterator<Item = Piece> {
        let kind = |address| {
            let page = self.page_at(address);
            (page.is_latent(), page.is_twice())
        };
        let mut rest = Some(extent);
        std::iter::from_fn(move || {
            let within = rest.take()?;
            let (is_latent, is_twice) = kind(within.start());
            let end = self.whole_unit(within.start()).map_or(within.end(), |unit| unit.end().min(within.end()));
            let own = Extent::between(within.start(), end)?;
            let next = self.addresses(own).find(|address| kind(*address) != (is_latent, is_twice));
            let border = next.map_or(end, u128::from);
            rest = u64::try_from(border).ok().and_then(|border| Extent::between(border, within.end()));
            Some(Piece { extent: Extent::between(within.start(), border)?, is_latent })
        })
    }

    /// The unit that holds an address.
    pub(crate) fn whole_unit(&self, address: u64) -> Option<Extent> {
        Extent::new(LARGE.round_down(address), UNIT_BYTES)
    }

    /// Whether any page of an extent is latent.
    #[inline]
    pub(crate) fn has_latent(&self, extent: Extent) -> bool {
        match self.words_of_unit(extent) {
            Some((_, _, words)) => words.iter().any(|word| Page(word.load(Ordering::Acquire)).is_latent()),
            None => self.pages(extent).any(Page::is_latent),
        }
    }

    /// Why a page does not do.
    fn refusal(&self, address: u64, extent: Extent, rights: Option<Protection>) -> BackendError {
        let address = address.max(extent.start());
        match rights {
            Some(protection) => BackendError::Denied { address, protection },
            None => BackendError::NotMapped { address },
        }
    }

    /// Refuses an extent that is not in the window.
    pub(crate) fn check_inside(&self, extent: Extent) -> Result<(), BackendError> {
        if self.window.covers(extent) {
            return Ok(());
        }
        let outside = if self.window.contains(extent.start()) { self.window.last() + 1 } else { extent.start() };
        Err(BackendError::NotMapped { address: outside })
    }

    /// Refuses an extent that is not whole pages.
    pub(crate) fn check_whole(&self, extent: Extent, page: PageSize) -> Result<(), BackendError> {
        self.check_inside(extent)?;
        if extent.is_aligned(page.bytes()) { Ok(()) } else { Err(BackendError::NotPages { extent, page }) }
    }

    /// Whether nothing is mapped in an extent.
    pub(crate) fn is_absent(&self, extent: Extent) -> bool {
        self.words(extent).all(|word| Page(word.load(Ordering::Acquire)).rights().is_none())
    }

    /// Refuses an extent unless all its pages are mapped with rights that are `allowed`.
    pub(crate) fn check_mapped(
        &self,
        extent: Extent,
        allowed: impl Fn(Protection) -> bool,
    ) -> Result<(), BackendError> {
        self.check_inside(extent)?;
        for address in self.addresses(extent) {
            let rights = self.page_at(address).rights();
            if !rights.is_some_and(&allowed) {
                return Err(self.refusal(address, extent, rights));
            }
        }
        Ok(())
    }

    /// Refuses rights that the mapping of a page never said it would have.
    pub(crate) fn check_allowed(&self, extent: Extent, protection: Protection) -> Result<(), BackendError> {
        let mut all = self.words(extent).map(|word| Page(word.load(Ordering::Acquire)).allowed());
        let refused = all.find(|rights| !rights.contain(protection));
        refused.map_or(Ok(()), |rights| Err(BackendError::NeverAllowed { extent, rights, protection }))
    }

    /// The rights of an extent, which must be `allowed`, stay until the pin is dropped.
    pub(crate) fn pin(&self, extent: Extent, allowed: impl Fn(Protection) -> bool) -> Result<Pin<'_>, BackendError> {
        self.check_inside(extent)?;
        for address in self.addresses(extent) {
            if let Err(rights) = self.pin_page(address, &allowed) {
                let pinned = Extent::between(extent.start(), u128::from(address));
                drop(pinned.map(|extent| Pin { record: self, extent }));
                return Err(self.refusal(address, extent, rights));
            }
        }
        Ok(Pin { record: self, extent })
    }

    /// Pins one page, unless its rights are not allowed; they are the error.
    fn pin_page(&self, address: u64, allowed: impl Fn(Protection) -> bool) -> Result<(), Option<Protection>> {
        let word = self.word(address).ok_or(None)?;
        let may_pin = |page: Page| !page.is_full() && !page.is_latent() && page.rights().is_some_and(&allowed);
        let update = |word: u32| may_pin(Page(word)).then(|| word + Page::PIN);
        loop {
            match word.fetch_update(Ordering::Acquire, Ordering::Relaxed, update) {
                // Pages are pinned in order, so of all accesses that wait one waits for some that go on: they end soon.
                Err(full) if Page(full).is_full() => std::thread::yield_now(),
                pinned => return pinned.map(drop).map_err(|word| Page(word).rights()),
            }
        }
    }

    fn update(&self, extent: Extent, update: impl Fn(Page) -> Page) {
        for word in self.words(extent) {
            let _ = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| Some(update(Page(word)).0));
        }
    }

    /// Takes away, before the mapping changes, the rights that pages are about to lose, and waits until no access
    /// relies on them.
    pub(crate) fn restrict(&self, extent: Extent, to: Protection) {
        for word in self.words(extent) {
            let update = |word: u32| Some(Page(word).restricted(to).0);
            let before = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, update).map_or(Page::ABSENT, Page);
            let loses = before.restricted(to).rights() != before.rights();
            while loses && Page(word.load(Ordering::Acquire)).is_pinned() {
                // An access is a copy of some bytes: it ends soon.
                std::thread::yield_now();
            }
        }
    }

    /// Puts rights back that [`restrict`](Self::restrict) took.
    pub(crate) fn restore(&self, extent: Extent) {
        self.update(extent, Page::restored);
    }

    /// Notes the rights of an extent that is mapped.
    pub(crate) fn give(&self, extent: Extent, to: Protection) {
        self.update(extent, |page| page.given(to));
    }

    /// Notes what the pages of an extent are, all units of which were [made](Self::make_unit).
    pub(crate) fn set(&self, extent: Extent, page: Page) {
        self.update(extent, |before| Page(before.only_pins().0 | page.0));
    }

    /// Notes that an extent is not mapped any more; what it is made of stays known.
    pub(crate) fn hide(&self, extent: Extent) {
        self.update(extent, Page::hidden);
    }

    /// Notes that the pages of an extent have memory.
    pub(crate) fn set_solid(&self, extent: Extent) {
        self.update(extent, |page| page.with(Page::LATENT, false));
    }

    /// Notes that the pages of an extent have memory, and what it is made of.
    pub(crate) fn set_backing(&self, extent: Extent, backing: Backing) {
        self.update(extent, |page| page.with(Page::LATENT, false).made_of(backing));
    }
}

#[cfg(test)]
mod tests;
