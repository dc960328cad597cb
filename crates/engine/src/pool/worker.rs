//! A pool at work.

use execmem_types::KindSet;

use super::Pool;
use crate::memory::{Memory, Seam};
use crate::space::Space;
use crate::sync::Locking;

/// A pool, and the seam through which it has memory. What it does is told in the files beside this one.
pub(crate) struct Worker<'e, M, S, L: Locking> {
    pub(crate) pool: &'e Pool<L>,
    pub(crate) seam: Seam<'e, M, S, L::Spin>,
}

impl<'e, M: Memory<S>, S: KindSet, L: Locking> Worker<'e, M, S, L> {
    #[inline]
    pub(crate) const fn new(pool: &'e Pool<L>, memory: &'e M, space: &'e Space<L::Spin>) -> Self {
        Worker { pool, seam: Seam::new(memory, &pool.row, space) }
    }
}
