//! Donated memory, for those who look up addresses: a list that only grows, read without a lock.

use alloc::boxed::Box;
use alloc::vec::Vec;

use once_cell::race::OnceBox;

use crate::Error;
use crate::region::Window;

/// The donations to one pool.
#[derive(Debug, Default)]
pub(crate) struct Donations(OnceBox<[Donation; 1]>);

#[derive(Debug)]
struct Donation {
    window: Window,
    rest: Donations,
}

impl Donations {
    /// Whether there are none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.get().is_none()
    }

    /// The donations in the order in which they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Window> {
        core::iter::successors(next_of(self), |donation| next_of(&donation.rest)).map(|donation| &donation.window)
    }

    /// Adds one.
    pub(crate) fn push(&self, window: Window) -> Result<(), Error> {
        let mut one = Vec::new();
        one.try_reserve_exact(1).map_err(|_| Error::OutOfMemory)?;
        one.push(Donation { window, rest: Donations::default() });
        let mut new: Box<[Donation; 1]> = one.into_boxed_slice().try_into().map_err(|_| Error::OutOfMemory)?;
        let mut list = self;
        while let Err(refused) = list.0.set(new) {
            new = refused;
            let Some(donation) = next_of(list) else { return Err(Error::OutOfMemory) };
            list = &donation.rest;
        }
        Ok(())
    }
}

fn next_of(list: &Donations) -> Option<&Donation> {
    list.0.get().map(|[donation]| donation)
}
