//! One value for each kind of a set.

use core::fmt;
use core::ops::{Index, IndexMut};

use crate::KindSet;

/// One value for each kind of a set, found by kind.
pub struct PerKind<S: KindSet, T: Copy>(pub(crate) S::Array<T>);

impl<S: KindSet, T: Copy> PerKind<S, T> {
    /// The same for every kind.
    #[must_use]
    pub fn filled(value: T) -> Self {
        PerKind(S::filled(value))
    }

    /// What `value` gives for each, on top of what stands for all.
    #[must_use]
    pub fn from_fn(initial: T, mut value: impl FnMut(S) -> T) -> Self {
        let mut all = Self::filled(initial);
        S::ALL.iter().for_each(|kind| all[*kind] = value(*kind));
        all
    }

    /// Kinds and their values, in the order of tables.
    pub fn iter(&self) -> impl Iterator<Item = (S, &T)> {
        S::ALL.iter().copied().zip(self.0.as_ref())
    }

    /// The values, in the order of tables.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.as_ref().iter()
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (S, &mut T)> {
        S::ALL.iter().copied().zip(self.0.as_mut())
    }
}

impl<S: KindSet, T: Copy> Clone for PerKind<S, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: KindSet, T: Copy> Copy for PerKind<S, T> {}

impl<S: KindSet, T: Copy> Index<S> for PerKind<S, T> {
    type Output = T;

    #[inline]
    fn index(&self, kind: S) -> &T {
        &self.0.as_ref()[kind.index()]
    }
}

impl<S: KindSet, T: Copy> IndexMut<S> for PerKind<S, T> {
    #[inline]
    fn index_mut(&mut self, kind: S) -> &mut T {
        &mut self.0.as_mut()[kind.index()]
    }
}

impl<S: KindSet, T: Copy + PartialEq> PartialEq for PerKind<S, T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_ref() == other.0.as_ref()
    }
}

impl<S: KindSet, T: Copy + Eq> Eq for PerKind<S, T> {}

impl<S: KindSet, T: Copy + fmt::Debug> fmt::Debug for PerKind<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
