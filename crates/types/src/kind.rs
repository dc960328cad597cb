//! What memory is for.
//!
//! A caller names a kind and a size. Protection, window, alignment and page size are the table's business.

use core::fmt;

/// What memory is for: the seven kinds of sections a module has, and three callers whose window or protection differs
/// on some architectures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Code of a module, or of a JIT.
    Text,
    /// Writable data.
    Data,
    /// Constants.
    RoData,
    /// Data that is written during initialisation and then [sealed](crate::Seal).
    RoAfterInit,
    /// Code that is freed after initialisation.
    InitText,
    /// Data that is freed after initialisation.
    InitData,
    /// Constants that are freed after initialisation.
    InitRoData,
    /// Instruction slots of kprobes.
    Kprobe,
    /// Trampolines of ftrace.
    Ftrace,
    /// BPF programs, their trampolines and dispatchers.
    Bpf,
}

impl Kind {
    /// Number of kinds.
    pub const COUNT: usize = Self::ALL.len();

    /// Every kind, in table order.
    pub const ALL: [Kind; 10] = [
        Kind::Text,
        Kind::Data,
        Kind::RoData,
        Kind::RoAfterInit,
        Kind::InitText,
        Kind::InitData,
        Kind::InitRoData,
        Kind::Kprobe,
        Kind::Ftrace,
        Kind::Bpf,
    ];

    /// The kinds of a module's sections.
    pub const MODULE: [Kind; 7] =
        [Kind::Text, Kind::Data, Kind::RoData, Kind::RoAfterInit, Kind::InitText, Kind::InitData, Kind::InitRoData];

    /// Place in [`ALL`](Self::ALL).
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether it is executed.
    #[must_use]
    pub const fn is_code(self) -> bool {
        matches!(self, Kind::Text | Kind::InitText | Kind::Kprobe | Kind::Ftrace | Kind::Bpf)
    }

    /// Whether it stays writable for its whole life.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        matches!(self, Kind::Data | Kind::InitData)
    }

    /// Whether it is writable first and sealed later.
    #[must_use]
    pub const fn is_sealable(self) -> bool {
        matches!(self, Kind::RoAfterInit)
    }

    /// Name in tables and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Data => "data",
            Kind::RoData => "rodata",
            Kind::RoAfterInit => "ro-after-init",
            Kind::InitText => "init-text",
            Kind::InitData => "init-data",
            Kind::InitRoData => "init-rodata",
            Kind::Kprobe => "kprobe",
            Kind::Ftrace => "ftrace",
            Kind::Bpf => "bpf",
        }
    }

    /// The kind of that [name](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Kind> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A kind as a type, so that handles of different kinds are different types.
///
/// Sealed: the kinds are those of [`kinds`].
pub trait KindTag: sealed::Sealed + fmt::Debug + Copy + 'static {}

/// A kind that is known when the program is compiled: all of [`kinds`] but [`kinds::Any`].
pub trait KnownKind: KindTag {
    /// The kind.
    const KIND: Kind;
}

/// A kind that is executed: content arrives before publication and changes only by patching after it.
pub trait CodeTag: KindTag {}

/// A kind whose published memory can be written: for its whole life, or until it is sealed.
pub trait WritableTag: KindTag {}

/// A kind that is written during initialisation and then sealed.
pub trait SealableTag: KindTag {}

mod sealed {
    pub trait Sealed {}
}

/// One type per [`Kind`].
pub mod kinds {
    use super::{CodeTag, Kind, KindTag, KnownKind, SealableTag, WritableTag, sealed::Sealed};

    macro_rules! tags {
        ($($name:ident: $($capability:ident),*;)*) => { $(
            #[doc = concat!("[`Kind::", stringify!($name), "`] as a type.")]
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub struct $name;
            impl Sealed for $name {}
            impl KindTag for $name {}
            impl KnownKind for $name {
                const KIND: Kind = Kind::$name;
            }
            $(impl $capability for $name {})*
        )* };
    }

    tags! {
        Text: CodeTag;
        Data: WritableTag;
        RoData:;
        RoAfterInit: WritableTag, SealableTag;
        InitText: CodeTag;
        InitData: WritableTag;
        InitRoData:;
        Kprobe: CodeTag;
        Ftrace: CodeTag;
        Bpf: CodeTag;
    }

    /// A kind that is known at run time only. What the types forbid for a known kind is an error here.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Any;
    impl Sealed for Any {}
    impl KindTag for Any {}
    impl CodeTag for Any {}
    impl WritableTag for Any {}
    impl SealableTag for Any {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_stand_at_their_index_and_have_names() {
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), index);
            assert_eq!(Kind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(Kind::from_name("no such kind"), None);
    }
}
