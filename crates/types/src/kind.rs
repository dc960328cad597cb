//! What memory is for, declared by its users.
//!
//! A *set of kinds* is an enum that [`kinds!`](crate::kinds!) declares: a value of it is a kind known at run time. Each kind is a
//! type too, known at compile time, and its [`Class`] says what handles of that type can do. [`Kind`](crate::Kind), the ten of
//! Linux, is one such set, and the default where a set can be named.

use core::fmt;

use class::{ClassType, Patchable, Sealable, Writable};

/// What memory of a kind can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Executed. Once published it changes by patching only.
    Code,
    /// Writable for its whole life.
    Data,
    /// Read only once published.
    Constants,
    /// Data that is written during initialisation and then [sealed](crate::Seal).
    SealedAfterInit,
}

impl Class {
    /// Whether two are one: `==` for constants.
    #[must_use]
    pub const fn is(self, other: Class) -> bool {
        self as u8 == other as u8
    }

    /// Whether published memory can be written, for its life or until it is sealed.
    #[must_use]
    pub const fn is_written_when_live(self) -> bool {
        matches!(self, Class::Data | Class::SealedAfterInit)
    }
}

/// Classes as types. What can be done with memory is a trait of these, so a kind gets it by naming its class.
pub mod class {
    use core::fmt::Debug;

    /// What no other crate can name, so that none can add a class.
    mod sealed {
        pub trait Class {}
    }

    /// One of the types here.
    pub trait ClassType: sealed::Class + Debug + Copy + 'static {}

    /// Published code, which is patched.
    #[diagnostic::on_unimplemented(
        message = "memory of class `{Self}` is no code that can be patched",
        note = "data is changed by `write`; constants and sealed data do not change"
    )]
    pub trait Patchable: ClassType {}

    /// Published memory that is written.
    #[diagnostic::on_unimplemented(
        message = "published memory of class `{Self}` cannot be written",
        note = "code changes by `patch`; a draft of any kind can be written"
    )]
    pub trait Writable: ClassType {}

    /// Memory that is sealed.
    #[diagnostic::on_unimplemented(
        message = "memory of class `{Self}` cannot be sealed",
        note = "only kinds of class `SealedAfterInit` are"
    )]
    pub trait Sealable: ClassType {}

    macro_rules! classes {
        ($($(#[$doc:meta])* $name:ident: $($capability:ident),*;)*) => { $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub struct $name;
            impl sealed::Class for $name {}
            impl ClassType for $name {}
            $(impl $capability for $name {})*
        )* };
    }

    classes! {
        /// [`Class::Code`](super::Class::Code).
        Code: Patchable;
        /// [`Class::Data`](super::Class::Data).
        Data: Writable;
        /// [`Class::Constants`](super::Class::Constants).
        Constants:;
        /// [`Class::SealedAfterInit`](super::Class::SealedAfterInit).
        SealedAfterInit: Writable, Sealable;
        /// The class is known at run time only. What types forbid for the others is an error here.
        Unknown: Patchable, Writable, Sealable;
    }
}

/// What a handle says of its kind: one kind, or the whole set where it is known at run time only.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a kind nor a set of kinds",
    note = "declare a set with `kinds!`"
)]
pub trait KindTag: Copy + fmt::Debug + 'static {
    /// The set it belongs to.
    type Set: KindSet;

    /// What the memory can do.
    type Class: ClassType;

    /// The kind, if the type says which.
    const KNOWN: Option<Self::Set> = None;
}

/// A kind as a type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a kind that is known at compile time",
    note = "name the type of a kind; a kind that is known at run time goes to `alloc_kind`"
)]
pub trait KnownKind: KindTag {
    /// The kind as a value.
    const KIND: Self::Set;

    /// Its place in [`KindSet::ALL`], for constants.
    const NUMBER: u8;
}

/// A kind that is executed: content arrives before publication and changes only by patching after it.
pub trait CodeTag: KindTag<Class: Patchable> {}
impl<K: KindTag<Class: Patchable>> CodeTag for K {}

/// A kind whose published memory can be written: for its whole life, or until it is sealed.
pub trait WritableTag: KindTag<Class: Writable> {}
impl<K: KindTag<Class: Writable>> WritableTag for K {}

/// A kind that is written during initialisation and then sealed.
pub trait SealableTag: KindTag<Class: Sealable> {}
impl<K: KindTag<Class: Sealable>> SealableTag for K {}

/// What a set says of each of its kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindFacts {
    /// Name in tables and reports.
    pub name: &'static str,
    /// What its memory can do.
    pub class: Class,
}

/// All kinds of one engine: an enum that [`kinds!`](crate::kinds!) declares.
///
/// # Laws
///
/// `ALL[n].number() == n`, and `FACTS[n]` are those of `ALL[n]`. `kinds!` keeps them. A set that was written by hand and breaks
/// them finds wrong rows in its own tables.
pub trait KindSet: KindTag<Set = Self, Class = class::Unknown> + Eq + fmt::Display + Send + Sync {
    /// Every kind, in the order of tables.
    const ALL: &'static [Self];

    /// What is said of each, in the same order.
    const FACTS: &'static [KindFacts];

    /// A value for each kind: `[T; N]`.
    type Array<T: Copy>: Copy + AsRef<[T]> + AsMut<[T]>;

    /// The same value for each kind.
    fn filled<T: Copy>(value: T) -> Self::Array<T>;

    /// Place in [`ALL`](Self::ALL).
    fn number(self) -> u8;

    /// The same as an index.
    #[inline]
    fn index(self) -> usize {
        usize::from(self.number())
    }

    /// The kind of a number.
    #[inline]
    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The kind of that [name](Self::name).
    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Name in tables and reports.
    fn name(self) -> &'static str {
        Self::FACTS.get(self.index()).map_or("?", |facts| facts.name)
    }

    /// What its memory can do.
    #[inline]
    fn class(self) -> Class {
        Self::FACTS.get(self.index()).map_or(Class::Constants, |facts| facts.class)
    }

    /// Whether it is executed.
    #[inline]
    fn is_code(self) -> bool {
        self.class().is(Class::Code)
    }

    /// Whether it stays writable for its whole life.
    #[inline]
    fn is_writable(self) -> bool {
        self.class().is(Class::Data)
    }

    /// Whether it is writable first and sealed later.
    #[inline]
    fn is_sealable(self) -> bool {
        self.class().is(Class::SealedAfterInit)
    }
}

/// The name of a kind, where the set does not matter: in errors and reports.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KindName(&'static str);

impl KindName {
    /// The name of a kind of some set.
    #[must_use]
    pub const fn of(facts: &KindFacts) -> Self {
        KindName(facts.name)
    }

    /// The name as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl<S: KindSet> From<S> for KindName {
    fn from(kind: S) -> Self {
        KindName(kind.name())
    }
}

impl<S: KindSet> PartialEq<S> for KindName {
    fn eq(&self, kind: &S) -> bool {
        self.0 == kind.name()
    }
}

impl fmt::Display for KindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl fmt::Debug for KindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}
