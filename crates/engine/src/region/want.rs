//! What is looked for in blocks.

use execmem_types::PowerOfTwo;

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Want {
    /// Bytes, a multiple of the quantum of the pool.
    pub(crate) len: u64,
    pub(crate) align: PowerOfTwo,
    /// [Kind and owner](crate::base::request::tag_of).
    pub(crate) tag: u32,
    /// Which of the kinds that share the pool.
    pub(crate) sharer: u8,
    /// Bytes that the caller asked for.
    pub(crate) requested: u64,
}
