//! How a set of kinds is declared.

/// Declares a set of kinds: an enum of values, and a module with a type for each.
///
/// Each kind has a class (`Code`, `Data`, `Constants` or `SealedAfterInit`), which says what its handles can do, and a name for
/// reports. A set has at most 32 kinds. It is `pub` or `pub(crate)`.
///
/// ```
/// execmem_types::kinds! {
///     /// What a hypervisor keeps.
///     pub enum Vm, types in vm {
///         /// Entries and exits.
///         Stub: Code = "stub",
///         /// Translated code of guests.
///         Guest: Code = "guest",
///         /// Nested page tables.
///         Tables: Data = "tables",
///     }
/// }
/// # fn main() {
/// use execmem_types::KnownKind as _;
///
/// assert_eq!(Vm::from_name("guest"), Some(Vm::Guest));
/// assert_eq!(vm::Tables::KIND, Vm::Tables);
/// assert!(Vm::Stub.is_code() && !Vm::Tables.is_code());
/// # }
/// ```
#[macro_export]
macro_rules! kinds {
    ($(#[$meta:meta])* $vis:vis enum $Set:ident, types in $module:ident {
        $($(#[$doc:meta])* $Kind:ident: $Class:ident = $name:literal),+ $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        $vis enum $Set { $($(#[$doc])* $Kind),+ }

        impl $Set {
            /// Number of kinds.
            pub const COUNT: usize = [$($name),+].len();

            /// Every kind, in the order of tables.
            pub const ALL: [Self; Self::COUNT] = [$($Set::$Kind),+];

            /// Place in [`ALL`](Self::ALL).
            #[must_use]
            #[inline]
            pub const fn index(self) -> usize {
                self as usize
            }

            /// Name in tables and reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                <Self as $crate::KindSet>::FACTS[self as usize].name
            }

            /// The kind of that [name](Self::name).
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                <Self as $crate::KindSet>::from_name(name)
            }

            /// What its memory can do.
            #[must_use]
            pub const fn class(self) -> $crate::Class {
                <Self as $crate::KindSet>::FACTS[self as usize].class
            }

            /// Whether it is executed.
            #[must_use]
            pub const fn is_code(self) -> bool {
                self.class().is($crate::Class::Code)
            }

            /// Whether it stays writable for its whole life.
            #[must_use]
            pub const fn is_writable(self) -> bool {
                self.class().is($crate::Class::Data)
            }

            /// Whether it is writable first and sealed later.
            #[must_use]
            pub const fn is_sealable(self) -> bool {
                self.class().is($crate::Class::SealedAfterInit)
            }
        }

        impl $crate::KindTag for $Set {
            type Set = $Set;
            type Class = $crate::class::Unknown;
        }

        impl $crate::KindSet for $Set {
            const ALL: &'static [Self] = &Self::ALL;
            const FACTS: &'static [$crate::KindFacts] =
                &[$($crate::KindFacts { name: $name, class: $crate::Class::$Class }),+];
            type Array<T: Copy> = [T; Self::COUNT];
            #[inline]
            fn filled<T: Copy>(value: T) -> Self::Array<T> {
                [value; Self::COUNT]
            }
            #[inline]
            fn number(self) -> u8 {
                self as u8
            }
        }

        impl ::core::fmt::Display for $Set {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.pad(self.name())
            }
        }

        #[doc = concat!("The kinds of [`", stringify!($Set), "`] as types.")]
        $vis mod $module { $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            $vis struct $Kind;
            impl $crate::KindTag for $Kind {
                type Set = super::$Set;
                type Class = $crate::class::$Class;
                const KNOWN: Option<super::$Set> = Some(super::$Set::$Kind);
            }
            impl $crate::KnownKind for $Kind {
                const KIND: super::$Set = super::$Set::$Kind;
                const NUMBER: u8 = super::$Set::$Kind as u8;
            }
        )+ }
    };
}
