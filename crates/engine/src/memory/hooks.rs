//! What an engine commands: memory, and what is told about it.
//!
//! Hooks are the user's part of the life of memory, by kind, dispatched statically: one that is not there costs nothing.
//!
//! ```
//! # use execmem_arch_x86::TABLE; use execmem_sim::Sim;
//! use core::sync::atomic::{AtomicUsize, Ordering};
//! use execmem::{BackendError, Engine, Extent, Hooked, Hooks, Kind, kinds::Bpf};
//!
//! /// Flushes branch predictors before an address of a BPF program is used.
//! struct Flush(AtomicUsize);
//!
//! impl Hooks<Kind> for Flush {
//!     fn before_use(&self, kind: Kind, _place: Extent) -> Result<(), BackendError> {
//!         if kind == Kind::Bpf {
//!             self.0.fetch_add(1, Ordering::Relaxed);
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let flush = Flush(AtomicUsize::new(0));
//! let engine = Engine::new(TABLE, Hooked { memory: Sim::new(TABLE.machine()), hooks: &flush })?;
//! let program = engine.alloc::<Bpf>(100)?;
//! assert_eq!(flush.0.load(Ordering::Relaxed), 1);
//! engine.free(program)?;
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use alloc::sync::Arc;

use execmem_types::{Backend, BackendError, Extent, KindSet};

/// What a user does at points of the life of memory. Each method does nothing by default.
///
/// # When they run
///
/// | hook | called | under |
/// |---|---|---|
/// | [`before_use`](Self::before_use) | when a place is found, before the caller has it | no lock |
/// | [`published`](Self::published) | when the content is what processors see | no lock |
/// | [`freed`](Self::freed) | when the content is destroyed, before another caller can have the place | no lock |
/// | [`mapped`](Self::mapped) | when a block is mapped, before anything in it is allocated | the lock of changes of its row |
/// | [`unmapped`](Self::unmapped) | when a block is unmapped, before its addresses are used again | no lock |
///
/// **Re-entry.** A hook may call its engine. From `mapped` it must not ask for memory of the same row that has to be mapped
/// for it, which would wait for itself.
///
/// **Refusal.** `before_use` and `mapped` may refuse, and the allocation fails with
/// [`Error::Hook`](crate::Error::Hook); nothing is lost. A free is never refused. Each `before_use` that returns `Ok` is
/// followed by one `freed`, unless the memory is never freed: of a pair of hooks, the first gets it at once if the second
/// refuses. A hook that calls another has to do the same.
///
/// **Panic.** One in `before_use`, `published` or `freed` leaves the memory of that call live for good, as if its handle had
/// been [dropped](crate::KindStats::dropped); one in `mapped` leaves the block mapped and unused for good. The engine can be
/// used after it.
pub trait Hooks<S: KindSet> {
    /// An allocation of a kind is about to get this place, which may have held another before: flush what processors may
    /// remember of that.
    ///
    /// # Errors
    ///
    /// Any: the place is free again, and the allocation fails.
    #[inline]
    fn before_use(&self, kind: S, place: Extent) -> Result<(), BackendError> {
        let _ = (kind, place);
        Ok(())
    }

    /// Memory was published.
    #[inline]
    fn published(&self, kind: S, place: Extent) {
        let _ = (kind, place);
    }

    /// Memory was freed, and holds what unused memory holds.
    #[inline]
    fn freed(&self, kind: S, place: Extent) {
        let _ = (kind, place);
    }

    /// A block was mapped for the row of a kind: make shadow memory for it, say.
    ///
    /// # Errors
    ///
    /// Any: the block is unmapped again, and smaller ones are tried.
    fn mapped(&self, kind: S, block: Extent) -> Result<(), BackendError> {
        let _ = (kind, block);
        Ok(())
    }

    /// A block was unmapped.
    fn unmapped(&self, kind: S, block: Extent) {
        let _ = (kind, block);
    }
}

/// Hooks that do nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoHooks;

impl<S: KindSet> Hooks<S> for NoHooks {}

macro_rules! hooks_by_pointer {
    ($($pointer:ty),*) => { $(
        impl<S: KindSet, H: Hooks<S> + ?Sized> Hooks<S> for $pointer {
            #[inline]
            fn before_use(&self, kind: S, place: Extent) -> Result<(), BackendError> {
                (**self).before_use(kind, place)
            }
            #[inline]
            fn published(&self, kind: S, place: Extent) {
                (**self).published(kind, place);
            }
            #[inline]
            fn freed(&self, kind: S, place: Extent) {
                (**self).freed(kind, place);
            }
            fn mapped(&self, kind: S, block: Extent) -> Result<(), BackendError> {
                (**self).mapped(kind, block)
            }
            fn unmapped(&self, kind: S, block: Extent) {
                (**self).unmapped(kind, block);
            }
        }
    )* };
}

hooks_by_pointer!(&H, Arc<H>);

/// Both, one after the other. A place that the second refuses is freed for the first again, and a block unmapped.
impl<S: KindSet, A: Hooks<S>, B: Hooks<S>> Hooks<S> for (A, B) {
    #[inline]
    fn before_use(&self, kind: S, place: Extent) -> Result<(), BackendError> {
        self.0.before_use(kind, place)?;
        self.1.before_use(kind, place).inspect_err(|_| self.0.freed(kind, place))
    }

    #[inline]
    fn published(&self, kind: S, place: Extent) {
        self.0.published(kind, place);
        self.1.published(kind, place);
    }

    #[inline]
    fn freed(&self, kind: S, place: Extent) {
        self.0.freed(kind, place);
        self.1.freed(kind, place);
    }

    fn mapped(&self, kind: S, block: Extent) -> Result<(), BackendError> {
        self.0.mapped(kind, block)?;
        self.1.mapped(kind, block).inspect_err(|_| self.0.unmapped(kind, block))
    }

    fn unmapped(&self, kind: S, block: Extent) {
        self.0.unmapped(kind, block);
        self.1.unmapped(kind, block);
    }
}

/// What an engine commands. Every [`Backend`] is one, without hooks; [`Hooked`] is one with hooks. There are no others.
pub trait Memory<S: KindSet>: sealed::Memory<S> {
    /// The memory itself.
    type Backend: Backend;

    /// What is told about it.
    type Hooks: Hooks<S>;

    /// The memory itself.
    fn backend(&self) -> &Self::Backend;

    /// What is told about it.
    fn hooks(&self) -> &Self::Hooks;
}

/// What no other crate can name.
mod sealed {
    use execmem_types::{Backend, KindSet};

    pub trait Memory<S> {}

    impl<S: KindSet, B: Backend> Memory<S> for B {}
    impl<S: KindSet, B: Backend, H: super::Hooks<S>> Memory<S> for super::Hooked<B, H> {}
}

impl<S: KindSet, B: Backend> Memory<S> for B {
    type Backend = B;
    type Hooks = NoHooks;

    #[inline]
    fn backend(&self) -> &B {
        self
    }

    #[inline]
    fn hooks(&self) -> &NoHooks {
        &NoHooks
    }
}

/// Memory, and hooks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hooked<B, H> {
    /// The memory.
    pub memory: B,
    /// The hooks.
    pub hooks: H,
}

impl<S: KindSet, B: Backend, H: Hooks<S>> Memory<S> for Hooked<B, H> {
    type Backend = B;
    type Hooks = H;

    #[inline]
    fn backend(&self) -> &B {
        &self.memory
    }

    #[inline]
    fn hooks(&self) -> &H {
        &self.hooks
    }
}
