//! Tables of further architectures for execmem: arm, loongarch, mips, nios2, parisc, s390 and sparc64.
//!
//! They keep the same rules and pass the same tests as the others. What a boot changes is not modelled: an architecture
//! that needs it gets a crate of its own.
//!
//! ```
//! use execmem_arch_others::{mips, tables};
//! use execmem_types::Reach;
//!
//! assert!(matches!(mips::MACHINE_MIPS.reach(), Reach::Segment { size_log2: 28, .. }));
//! assert_eq!(tables().count(), 8);
//! ```
#![no_std]
#![forbid(unsafe_code)]

use execmem_types::{NamedTable, Source};

macro_rules! architectures {
    ($($name:ident)*) => {
        $(
            #[doc = concat!("Facts and tables of ", stringify!($name), ".")]
            pub mod $name {
                mod generated;

                pub use generated::*;
            }
        )*

        /// The tables and sources of each architecture.
        pub const ARCHES: &[(&[NamedTable], &[Source])] = &[$(($name::TABLES, $name::SOURCES),)*];
    };
}

architectures! { arm loongarch mips nios2 parisc s390 sparc64 }

/// Every table.
pub fn tables() -> impl Iterator<Item = &'static NamedTable> {
    ARCHES.iter().flat_map(|(tables, _)| *tables)
}

#[cfg(test)]
mod tests {
    use execmem_types::{Kind, Rule};

    use super::*;

    /// The error of a table whose text is said to be near a kernel.
    fn anchored(named: &NamedTable, kernel: (u64, u128)) -> Option<Rule> {
        let adjusted = named.table.adjusted(|plan| {
            plan.machine.anchor = execmem_types::Extent::between(kernel.0, kernel.1);
            if let Some(text) = plan.own_mut(Kind::Text) {
                text.is_anchored = true;
            }
        });
        adjusted.err().map(|error| error.rule)
    }

    #[test]
    fn modules_in_another_segment_than_the_kernel_cannot_be_anchored() {
        assert_eq!(anchored(&nios2::TABLES[0], (0xc000_0000, 0xc080_0000)), Some(Rule::WindowInReach));
        assert_eq!(
            anchored(&mips::TABLES[0], (0xffff_ffff_8010_0000, 0xffff_ffff_8110_0000)),
            Some(Rule::WindowInReach)
        );
    }

    #[test]
    fn what_linux_gives_sparc64_modules_is_more_than_call_reaches() {
        let all = sparc64::TABLES[0].table.adjusted(|plan| {
            if let Some(text) = plan.own_mut(Kind::Text) {
                text.windows = [execmem_types::Extent::between(0x1000_0000, 0xf000_0000), None, None];
            }
        });
        assert_eq!(all.err().map(|error| error.rule), Some(Rule::WindowInReach));
    }
}
