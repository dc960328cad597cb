//! Handles that free their memory when they are dropped.

use alloc::sync::Arc;
use core::fmt;
use core::ops::{Deref, DerefMut};

use execmem_types::{KindSet, KindTag, SealableTag};

use super::Engine;
use crate::base::error::{Error, Failed};
use crate::base::handle::{Draft, Handle, Live, Sealed, Stage, Writes, stage};
use crate::memory::Memory;
use crate::sync::Locking;

/// A way to an engine, which owned handles and clients keep: a reference, an `Arc`, the engine itself, or a type of one's own.
///
/// One that leads to another engine than before makes owned handles count as [dropped](crate::KindStats::dropped).
pub trait EngineRef {
    /// The memory of the engine.
    type Memory: Memory<Self::Set>;
    /// Its kinds.
    type Set: KindSet;
    /// Its locks.
    type Locks: Locking;

    /// The engine.
    fn engine(&self) -> &EngineOf<Self>;
}

/// The engine that a way leads to.
pub type EngineOf<E> = Engine<<E as EngineRef>::Memory, <E as EngineRef>::Set, <E as EngineRef>::Locks>;

impl<M: Memory<S>, S: KindSet, L: Locking> EngineRef for Engine<M, S, L> {
    type Memory = M;
    type Set = S;
    type Locks = L;

    #[inline]
    fn engine(&self) -> &Self {
        self
    }
}

macro_rules! by_pointer {
    ($($pointer:ty),*) => { $(
        impl<E: EngineRef + ?Sized> EngineRef for $pointer {
            type Memory = E::Memory;
            type Set = E::Set;
            type Locks = E::Locks;

            #[inline]
            fn engine(&self) -> &EngineOf<E> {
                (**self).engine()
            }
        }
    )* };
}

by_pointer!(&E, Arc<E>);

/// A handle that frees its memory when it is dropped, unless it [becomes a plain one](Self::into_handle) before.
///
/// In a process that may not command the memory (a forked child), dropping does nothing: the memory is the parent's. If the
/// backend refuses to destroy the content, the bytes are withheld, as [`Engine::free`] says.
///
/// ```
/// # use execmem_arch_x86::TABLE; use execmem_sim::Sim;
/// use execmem::{Engine, Kind, kinds::Text};
///
/// let engine = Engine::new(TABLE, Sim::new(TABLE.machine()))?;
/// {
///     let mut code = engine.alloc::<Text>(3)?.owned_by(&engine)?;
///     code.write(0, &[0x31, 0xc0, 0xc3])?;
///     let code = code.publish()?;
///     assert!(engine.find(code.address()).is_some());
/// }
/// assert_eq!(engine.kind_stats(Kind::Text).live, 0);
/// # Ok::<(), execmem::Error>(())
/// ```
pub struct Owned<E: EngineRef, T: Stage, K: KindTag<Set = E::Set>> {
    /// `None` only while it is taken apart.
    parts: Option<(E, Handle<T, K>)>,
}

impl<T: Stage, K: KindTag> Handle<T, K> {
    /// The same memory, freed when the result is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignHandle`] if it is not of this engine; the handle comes back.
    pub fn owned_by<E>(self, engine: E) -> Result<Owned<E, T, K>, Failed<Self>>
    where
        E: EngineRef,
        K: KindTag<Set = E::Set>,
    {
        match engine.engine().check(self.allocation()) {
            Ok(()) => Ok(Owned { parts: Some((engine, self)) }),
            Err(error) => Err(Failed { handle: self, error }),
        }
    }
}

impl<E: EngineRef, T: Stage, K: KindTag<Set = E::Set>> Owned<E, T, K> {
    /// The plain handle: from now on nothing frees the memory by itself.
    pub fn into_handle(self) -> Handle<T, K> {
        self.into_parts().1
    }

    /// The way to the engine.
    pub fn engine(&self) -> &E {
        &self.parts().0
    }

    /// Copies bytes into memory that can be written, as [`Engine::write`] does.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error>
    where
        T: Writes<K>,
    {
        let (engine, handle) = self.parts_mut();
        engine.engine().write(handle, offset, bytes)
    }

    fn parts(&self) -> &(E, Handle<T, K>) {
        let Some(parts) = &self.parts else { panic!("I9: an owned handle is empty") };
        parts
    }

    fn parts_mut(&mut self) -> &mut (E, Handle<T, K>) {
        let Some(parts) = &mut self.parts else { panic!("I9: an owned handle is empty") };
        parts
    }

    fn into_parts(mut self) -> (E, Handle<T, K>) {
        let Some(parts) = self.parts.take() else { panic!("I9: an owned handle is empty") };
        parts
    }

    /// The next stage of the memory, or this one if that fails.
    fn advance<N: Stage>(
        self,
        step: impl FnOnce(&EngineOf<E>, Handle<T, K>) -> Result<Handle<N, K>, Failed<Handle<T, K>>>,
    ) -> Result<Owned<E, N, K>, Failed<Self>> {
        let (engine, handle) = self.into_parts();
        match step(engine.engine(), handle) {
            Ok(next) => Ok(Owned { parts: Some((engine, next)) }),
            Err(Failed { handle, error }) => Err(Failed { handle: Owned { parts: Some((engine, handle)) }, error }),
        }
    }
}

impl<E: EngineRef, K: KindTag<Set = E::Set>> Owned<E, stage::Draft, K> {
    /// Publishes, as [`Engine::publish`] does.
    ///
    /// # Errors
    ///
    /// As there; the draft comes back.
    pub fn publish(self) -> Result<Owned<E, stage::Live, K>, Failed<Self>> {
        self.advance(|engine, draft: Draft<K>| engine.publish(draft))
    }
}

impl<E: EngineRef, K: SealableTag + KindTag<Set = E::Set>> Owned<E, stage::Live, K> {
    /// Seals, as [`Engine::seal`] does.
    ///
    /// # Errors
    ///
    /// As there; the memory comes back.
    pub fn seal(self) -> Result<Owned<E, stage::Sealed, K>, Failed<Self>> {
        self.advance(|engine, live: Live<K>| -> Result<Sealed<K>, _> { engine.seal(live) })
    }
}

impl<E: EngineRef, T: Stage, K: KindTag<Set = E::Set>> Drop for Owned<E, T, K> {
    fn drop(&mut self) {
        if let Some((engine, handle)) = self.parts.take() {
            // What is refused counts as dropped.
            let _ = engine.engine().free(handle);
        }
    }
}

impl<E: EngineRef, T: Stage, K: KindTag<Set = E::Set>> Deref for Owned<E, T, K> {
    type Target = Handle<T, K>;

    fn deref(&self) -> &Handle<T, K> {
        &self.parts().1
    }
}

impl<E: EngineRef, T: Stage, K: KindTag<Set = E::Set>> DerefMut for Owned<E, T, K> {
    fn deref_mut(&mut self) -> &mut Handle<T, K> {
        &mut self.parts_mut().1
    }
}

impl<E: EngineRef, T: Stage, K: KindTag<Set = E::Set>> fmt::Debug for Owned<E, T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts().1.fmt(f)
    }
}
