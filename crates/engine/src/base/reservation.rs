//! Memory that is set aside for later.

use alloc::vec::Vec;

use execmem_types::{Kind, KindTag};

use super::handle::Draft;

/// Allocations that [`Engine::reserve`](crate::Engine::reserve) made beforehand: taking one needs no heap, no lock and no
/// mapping, and no other thread can have it meanwhile.
///
/// What is not taken goes back by [`into_drafts`](Self::into_drafts) and [`Engine::free_group`](crate::Engine::free_group).
/// Like a handle, a reservation that is dropped leaves its memory live for good, and
/// [`KindStats::dropped`](crate::KindStats::dropped) counts it.
#[derive(Debug)]
#[must_use = "its memory stays live until it is freed"]
pub struct Reservation<K: KindTag = Kind> {
    drafts: Vec<Draft<K>>,
}

impl<K: KindTag> Reservation<K> {
    pub(crate) const fn new(drafts: Vec<Draft<K>>) -> Self {
        Reservation { drafts }
    }

    /// The next allocation; `None` if all are taken.
    #[inline]
    pub fn take(&mut self) -> Option<Draft<K>> {
        self.drafts.pop()
    }

    /// How many are left.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.drafts.len()
    }

    /// Whether all are taken.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.drafts.is_empty()
    }

    /// What is left.
    #[must_use]
    pub fn into_drafts(self) -> Vec<Draft<K>> {
        self.drafts
    }
}
