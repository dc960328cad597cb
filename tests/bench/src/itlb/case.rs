//! What is measured: sizes of functions, bytes of text, and which are called how often.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How functions lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Layout {
    /// Each in 4K of its own, as the JIT of Linux did before packs.
    OnePerPage,
    /// At the same places, in pages of 2M: what differs is translations alone.
    OnePerPageLarge,
    /// Packed, in pages of 4K: packs as long as they are not mapped large.
    Packed,
    /// At the same places, in pages of 2M: this engine.
    PackedLarge,
}

impl Layout {
    pub(crate) const ALL: [Layout; 4] =
        [Layout::OnePerPage, Layout::OnePerPageLarge, Layout::Packed, Layout::PackedLarge];

    /// Layouts in small pages, each with the one that has everything at the same places in large ones.
    pub(crate) const TWINS: [(usize, usize); 2] = [(0, 1), (2, 3)];

    pub(crate) const fn is_packed(self) -> bool {
        matches!(self, Layout::Packed | Layout::PackedLarge)
    }

    pub(crate) const fn is_large(self) -> bool {
        matches!(self, Layout::OnePerPageLarge | Layout::PackedLarge)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Layout::OnePerPage => "one per 4K",
            Layout::OnePerPageLarge => "one per 4K of 2M",
            Layout::Packed => "packed 4K",
            Layout::PackedLarge => "packed 2M",
        }
    }
}

/// Sizes of functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Sizes {
    /// 64 to 448 bytes: half of all BPF programs have less than 500.
    Small,
    /// 1 to 4 KiB.
    Large,
}

impl Sizes {
    /// Shortest and longest, in units of 64 bytes.
    pub(crate) const fn lines(self) -> (usize, usize) {
        match self {
            Sizes::Small => (1, 7),
            Sizes::Large => (16, 64),
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Sizes::Small => "64 to 448 B",
            Sizes::Large => "1 to 4 KiB",
        }
    }
}

/// Which functions are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Law {
    /// All with the same odds.
    Uniform,
    /// Rank r with odds of 1 to r.
    Zipf,
}

impl Law {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Law::Uniform => "uniform",
            Law::Zipf => "Zipf",
        }
    }
}

/// A case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) sizes: Sizes,
    pub(crate) text_mib: usize,
    pub(crate) law: Law,
}

impl Case {
    /// All of them, or those with little text.
    pub(crate) fn all(quick: bool) -> Vec<Case> {
        let mibs: &[usize] = if quick { &[2, 8] } else { &[2, 8, 32, 64] };
        let mut cases = Vec::new();
        for law in [Law::Uniform, Law::Zipf] {
            for sizes in [Sizes::Small, Sizes::Large] {
                cases.extend(mibs.iter().map(|&text_mib| Case { sizes, text_mib, law }));
            }
        }
        cases
    }
}
