//! The contract between the engine, which decides, and the memory, which obeys.

use thiserror::Error;

use crate::{Extent, PageSize, PowerOfTwo, Protection, Rights, Trap};

/// A request for a block of fresh memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// Where. Start and length are multiples of `page`.
    pub extent: Extent,
    /// Size of the leaf entries to map it with.
    pub page: PageSize,
    /// The rights it has once mapped.
    pub protection: Protection,
    /// Every right that it will ever have, `protection` among them. [`Backend::protect`] refuses others.
    pub rights: Rights,
    /// What it holds once mapped.
    pub unused: Trap,
    /// It needs KASAN shadow memory.
    pub is_shadowed: bool,
    /// **Legacy.** Besides its rights it is writable *and* executable. A backend may refuse.
    pub is_writable_and_executable: bool,
}

impl Mapping {
    /// Memory that keeps its rights, without a shadow.
    #[must_use]
    pub const fn new(extent: Extent, page: PageSize, protection: Protection, unused: Trap) -> Self {
        let rights = Rights::only(protection);
        Mapping { extent, page, protection, rights, unused, is_shadowed: false, is_writable_and_executable: false }
    }

    /// The same, whose rights may change to these as well.
    #[must_use]
    pub const fn becoming(mut self, protection: Protection) -> Self {
        self.rights = self.rights.and(protection);
        self
    }
}

/// How the engine wants bytes to reach memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// By stores at the address, which must be writable there.
    Store,
    /// Through another mapping; the address keeps its rights.
    Poke,
}

/// What instruction fetches have to learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncScope {
    /// The bytes are new; no caller was told their address yet.
    Fresh,
    /// The bytes are in use, and may be executed by any processor at this moment.
    Live,
    /// Code stood here that no processor executes any more, and the address will be used again.
    Retired,
}

/// Why a backend refused. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BackendError {
    /// No memory, or no page table, could be had.
    #[error("no memory for {len:#x} bytes in pages of {page}")]
    OutOfMemory {
        /// Bytes wanted.
        len: u64,
        /// In pages of this size.
        page: PageSize,
    },
    /// Memory in pages of this size cannot be had here.
    #[error("pages of {page} are not available")]
    PageUnavailable {
        /// The size.
        page: PageSize,
    },
    /// Part of the range is mapped already.
    #[error("{extent} is mapped already")]
    AlreadyMapped {
        /// The range.
        extent: Extent,
    },
    /// Part of the range is not mapped, or belongs to another owner.
    #[error("{address:#x} is not mapped by this backend")]
    NotMapped {
        /// The first such address.
        address: u64,
    },
    /// The range does not consist of whole pages.
    #[error("{extent} does not consist of whole pages of {page}")]
    NotPages {
        /// The range.
        extent: Extent,
        /// Size of the pages.
        page: PageSize,
    },
    /// The rights of the memory do not allow the access.
    #[error("{address:#x} is {protection} and cannot be accessed this way")]
    Denied {
        /// The first such address.
        address: u64,
        /// Its rights.
        protection: Protection,
    },
    /// The mapping never said that it would have such rights.
    #[error("{extent} may become {rights} and never {protection}; say so when it is mapped")]
    NeverAllowed {
        /// The range.
        extent: Extent,
        /// What its [`Mapping`] said.
        rights: Rights,
        /// What was wanted.
        protection: Protection,
    },
    /// The process has as many mappings as it may have.
    #[error("the process has as many mappings as it may have; raise vm.max_map_count")]
    MappingLimit,
    /// The process has as many open files as it may have, and memory needs one for a moment.
    #[error("the process has as many open files as it may have; raise RLIMIT_NOFILE, or prepare memory beforehand")]
    DescriptorLimit,
    /// No file of the process may be as long as a block of memory.
    #[error("no file may have {bytes:#x} bytes here; raise RLIMIT_FSIZE, or prepare memory beforehand")]
    FileSizeLimit {
        /// Bytes of the block.
        bytes: u64,
    },
    /// The memory belongs to the process that this one was forked from.
    #[error("the memory belongs to the process this one was forked from, and cannot be changed here")]
    Forked,
    /// The backend cannot do this at all.
    #[error("this backend has no such operation")]
    Unsupported,
    /// The operating system refused.
    #[error("the operating system refused with error number {errno}")]
    System {
        /// Its error number.
        errno: i32,
    },
}

/// Memory as the engine sees it.
///
/// Each byte of the address space is in one of these states:
///
/// | state | reached by | left by |
/// |---|---|---|
/// | absent | [`unmap`](Self::unmap) | [`map`](Self::map), [`adopt`](Self::adopt) |
/// | mapped with a [`Protection`] | `map`, `adopt`, [`protect`](Self::protect) | `protect`, `unmap` |
///
/// # Invariants (I4, I6)
///
/// No address is ever writable and executable (law 2), and none is handed out again before the backend has confirmed
/// that no stale translation or instruction for it is left (law 4, and [`SyncScope::Retired`]).
///
/// # Laws
///
/// The trait is safe to implement and to call: the engine is policy, and a backend stays sound for *any* sequence of
/// calls. It keeps its own record of what it mapped and answers everything else with an error. Beyond that:
///
/// 1. An operation that returns `Err` changed nothing. (I9)
/// 2. No address is writable and executable, in any alias, not even for one step of an operation, unless
///    [`Mapping::is_writable_and_executable`] asked for it. (I4)
/// 3. Memory holds [`Mapping::unused`] before it becomes accessible at its address. (I5)
/// 4. `protect` and `unmap` return only when no processor can act on the rights or translations of before. (I6)
/// 5. `write` and `fill` with [`Access::Poke`] leave the rights at the address as they are, and reach whatever an
///    executing processor will read after [`sync_code`](Self::sync_code). (I7) A backend without another mapping
///    refuses them with [`BackendError::Unsupported`]. Aligned bytes as many as [`stores_at_once`](Self::stores_at_once)
///    says are one store.
/// 6. `write`, `fill` and `read` on memory that is mapped make no system call and take no lock that a slow operation
///    holds.
/// 7. `map`, `unmap`, `protect`, `collapse` may be slow. The engine holds no lock across them that an allocation in an
///    existing block needs. (I10)
/// 8. Memory has no rights but those that its [`Mapping`] said.
/// 9. Where [`check_caller`](Self::check_caller) refuses, every other operation gives the same answer.
pub trait Backend {
    /// Whether memory may be commanded from here. An engine asks first in every operation, before it takes a lock: the
    /// holder of the lock may not exist here.
    ///
    /// Costs a load and a compare at most, takes no lock and makes no system call.
    ///
    /// # Errors
    ///
    /// [`BackendError::Forked`] in a process that was forked from the one that made the backend. Never by default.
    #[inline]
    fn check_caller(&self) -> Result<(), BackendError> {
        Ok(())
    }

    /// Maps fresh memory. All of it must be absent.
    ///
    /// # Errors
    ///
    /// [`BackendError::PageUnavailable`] or [`BackendError::OutOfMemory`] if a smaller page size may work;
    /// [`BackendError::NotPages`], [`BackendError::AlreadyMapped`], and what the system says.
    fn map(&self, mapping: &Mapping) -> Result<(), BackendError>;

    /// Gives memory back. All of it must have been mapped here, and is a whole number of leaves.
    ///
    /// # Errors
    ///
    /// [`BackendError::NotMapped`], [`BackendError::NotPages`], and what the system says.
    fn unmap(&self, extent: Extent) -> Result<(), BackendError>;

    /// Changes the rights of whole pages, within those that their [`Mapping`] said.
    ///
    /// # Errors
    ///
    /// [`BackendError::NotMapped`], [`BackendError::NotPages`], [`BackendError::NeverAllowed`], and what the system
    /// says.
    fn protect(&self, extent: Extent, protection: Protection) -> Result<(), BackendError>;

    /// Copies bytes to memory.
    ///
    /// # Errors
    ///
    /// [`BackendError::NotMapped`], [`BackendError::Denied`].
    fn write(&self, access: Access, address: u64, bytes: &[u8]) -> Result<(), BackendError>;

    /// How many aligned bytes a [`write`](Self::write) of exactly so many, or of a smaller power of two, stores at once, so
    /// that a load sees the old bytes or the new. A word of this machine by default; 1 where bytes go one by one.
    fn stores_at_once(&self) -> PowerOfTwo {
        PowerOfTwo::from_log2(if cfg!(target_pointer_width = "64") { 3 } else { 2 })
    }

    /// Fills memory with a pattern, in phase with the address.
    ///
    /// # Errors
    ///
    /// [`BackendError::NotMapped`], [`BackendError::Denied`].
    fn fill(&self, access: Access, extent: Extent, pattern: Trap) -> Result<(), BackendError>;

    /// Copies bytes from memory.
    ///
    /// # Errors
    ///
    /// [`BackendError::NotMapped`], [`BackendError::Denied`].
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), BackendError>;

    /// Makes written bytes what every processor executes.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn sync_code(&self, extent: Extent, scope: SyncScope) -> Result<(), BackendError>;

    /// Makes the written bytes of several extents what every processor executes. A backend that has to interrupt other
    /// processors for that does it once.
    ///
    /// # Errors
    ///
    /// As [`sync_code`](Self::sync_code).
    fn sync_group(&self, extents: &[Extent], scope: SyncScope) -> Result<(), BackendError> {
        extents.iter().try_for_each(|extent| self.sync_code(*extent, scope))
    }

    /// Whether [`collapse`](Self::collapse) works here: then blocks whose row says so begin with small leaves. False by
    /// default, also right for a backend that begins with small pages by itself.
    fn collapses(&self) -> bool {
        false
    }

    /// Replaces the small leaves of `extent` by leaves of `page`. Contents, rights and addresses stay.
    ///
    /// # Errors
    ///
    /// [`BackendError::Unsupported`] by default; [`BackendError::PageUnavailable`] and the errors of
    /// [`protect`](Self::protect).
    fn collapse(&self, extent: Extent, page: PageSize) -> Result<(), BackendError> {
        let _ = (extent, page);
        Err(BackendError::Unsupported)
    }

    /// Takes over memory that is mapped with `protection` already, never has other rights, and is never unmapped.
    ///
    /// # Errors
    ///
    /// [`BackendError::Unsupported`] by default; [`BackendError::NotMapped`] unless it is mapped like that.
    fn adopt(&self, extent: Extent, protection: Protection) -> Result<(), BackendError> {
        let _ = (extent, protection);
        Err(BackendError::Unsupported)
    }
}

/// Memory that tells about itself.
///
/// An engine owns its memory and hands out what this says. Facts read; nothing in them commands the memory, and none is an
/// address at which it could be written.
pub trait Describe {
    /// What it tells.
    type Facts<'m>
    where
        Self: 'm;

    /// What is true of the memory now. Allocates, maps and locks nothing.
    fn facts(&self) -> Self::Facts<'_>;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a backend has to bring itself.
    struct Least;

    impl Backend for Least {
        fn map(&self, _: &Mapping) -> Result<(), BackendError> {
            Ok(())
        }
        fn unmap(&self, _: Extent) -> Result<(), BackendError> {
            Ok(())
        }
        fn protect(&self, _: Extent, _: Protection) -> Result<(), BackendError> {
            Ok(())
        }
        fn write(&self, _: Access, _: u64, _: &[u8]) -> Result<(), BackendError> {
            Ok(())
        }
        fn fill(&self, _: Access, _: Extent, _: Trap) -> Result<(), BackendError> {
            Ok(())
        }
        fn read(&self, _: u64, _: &mut [u8]) -> Result<(), BackendError> {
            Ok(())
        }
        fn sync_code(&self, extent: Extent, _: SyncScope) -> Result<(), BackendError> {
            if extent.start() == 0 { Err(BackendError::Unsupported) } else { Ok(()) }
        }
    }

    #[test]
    fn what_a_backend_does_not_bring_it_cannot_do() {
        let [first, second] = [0, 64].map(|start| Extent::new(start, 64).expect("an extent"));
        assert_eq!(Least.check_caller(), Ok(()));
        assert!(!Least.collapses());
        assert_eq!(Least.collapse(first, PageSize::mib(2)), Err(BackendError::Unsupported));
        assert_eq!(Least.adopt(first, Protection::ReadOnly), Err(BackendError::Unsupported));
        assert_eq!(Least.stores_at_once().bytes(), size_of::<usize>() as u64, "a word");
        assert_eq!(Least.sync_group(&[second, second], SyncScope::Fresh), Ok(()));
        assert_eq!(
            Least.sync_group(&[second, first], SyncScope::Fresh),
            Err(BackendError::Unsupported),
            "each is told"
        );
    }
}
