//! The allocators of ranges that are compared, each in a file of its own.

mod btree;
mod buddy;
mod execmem_range;
mod offset_allocator;
mod tlsf;

pub(super) use self::btree::BTree;
pub(super) use self::buddy::Buddy;
pub(crate) use self::execmem_range::ExecmemRange;
pub(super) use self::offset_allocator::OffsetAllocator;
pub(super) use self::tlsf::Tlsf;
