//! Handles: what a caller holds, typed by kind and by stage of life.
//!
//! | stage | content | next |
//! |---|---|---|
//! | [`Draft`] | can be written | `publish` |
//! | [`Live`] | code changes by `patch` only; data is data | `seal` where the kind has it |
//! | [`Sealed`] | nothing changes | – |
//!
//! A handle is neither `Copy` nor `Clone`, and every stage takes the one before by value: using memory that was freed,
//! writing published code or sealing code does not compile.
//!
//! ```compile_fail,E0382
//! # use execmem::{Draft, kinds::Text};
//! # fn free<H>(_: H) {}
//! fn twice(draft: Draft<Text>) {
//!     free(draft);
//!     free(draft); // use of moved value
//! }
//! ```
//!
//! ```compile_fail,E0277
//! # use execmem::{Backend, Engine, Live, kinds::Text};
//! fn seal_code<B: Backend>(engine: &Engine<B>, code: Live<Text>) {
//!     let _ = engine.seal(code); // text has no `SealableTag`
//! }
//! ```
//!
//! ```compile_fail,E0277
//! # use execmem::{Backend, Engine, Live, kinds::Text};
//! fn write_published<B: Backend>(engine: &Engine<B>, code: &mut Live<Text>) {
//!     let _ = engine.write(code, 0, &[0x90]); // published code is no `Writable`
//! }
//! ```

use core::marker::PhantomData;

use execmem_types::{Extent, Kind, KindTag, KnownKind, WritableTag, kinds::Any};

use crate::owner::Owner;
use crate::shard::Site;

/// What every handle carries. Public in a private module: callers cannot name it.
#[doc(hidden)]
#[derive(Debug, PartialEq, Eq)]
pub struct Grant {
    pub(crate) engine: u32,
    pub(crate) kind: Kind,
    pub(crate) extent: Extent,
    /// Bytes the caller asked for.
    pub(crate) requested: u64,
    pub(crate) owner: Owner,
    pub(crate) site: Site,
    pub(crate) is_far: bool,
}

/// What all handles have in common.
pub trait Handle: Staged + core::fmt::Debug + Sized {
    /// Address of the first byte.
    #[must_use]
    fn address(&self) -> u64 {
        self.grant().extent.start()
    }

    /// All bytes of the allocation: what was asked for, rounded up to the quantum of the kind.
    #[must_use]
    fn extent(&self) -> Extent {
        self.grant().extent
    }

    /// The kind of the memory.
    #[must_use]
    fn kind(&self) -> Kind {
        self.grant().kind
    }

    /// Whose it is.
    #[must_use]
    fn owner(&self) -> Owner {
        self.grant().owner
    }

    /// Whether it is code too far from the anchor for direct branches, which need veneers then.
    #[must_use]
    fn is_far(&self) -> bool {
        self.grant().is_far
    }
}

/// A handle whose memory can be written.
pub trait Writable: Handle {}

mod staged {
    use super::Grant;

    pub trait Staged {
        /// What the stage says about the memory.
        const STAGE: super::Stage;
        fn grant(&self) -> &Grant;
        fn grant_mut(&mut self) -> &mut Grant;
        fn into_grant(self) -> Grant;
        fn from_grant(grant: Grant) -> Self;
    }
}

pub(crate) use staged::Staged;

/// The stage of life of an allocation.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Draft,
    Live,
    Sealed,
}

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident)*) => { $(
        $(#[$doc])*
        #[derive(Debug, PartialEq, Eq)]
        #[must_use = "memory whose handle is dropped is never freed"]
        pub struct $name<K: KindTag = Any> {
            grant: Grant,
            kind: PhantomData<fn() -> K>,
        }

        impl<K: KindTag> Staged for $name<K> {
            const STAGE: Stage = Stage::$name;
            fn grant(&self) -> &Grant {
                &self.grant
            }
            fn grant_mut(&mut self) -> &mut Grant {
                &mut self.grant
            }
            fn into_grant(self) -> Grant {
                self.grant
            }
            fn from_grant(grant: Grant) -> Self {
                $name { grant, kind: PhantomData }
            }
        }

        impl<K: KindTag> Handle for $name<K> {}

        impl<K: KindTag> $name<K> {
            /// The same handle with its kind known at run time only.
            pub fn erase(self) -> $name<Any> {
                $name { grant: self.grant, kind: PhantomData }
            }
        }

        impl $name<Any> {
            /// The same handle with its kind known by type.
            ///
            /// # Errors
            ///
            /// The handle itself if it is of another kind.
            pub fn retype<K: KnownKind>(self) -> Result<$name<K>, Self> {
                if K::KIND == self.grant.kind {
                    Ok($name { grant: self.grant, kind: PhantomData })
                } else {
                    Err(self)
                }
            }
        }
    )* };
}

handles! {
    /// Fresh memory, to be written and then published.
    Draft
    /// Published memory.
    Live
    /// Memory that was written during initialisation and is read-only now.
    Sealed
}

impl<K: KindTag> Writable for Draft<K> {}
impl<K: WritableTag> Writable for Live<K> {}
