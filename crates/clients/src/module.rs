//! Relocatable ELF modules: kernel modules, and objects of the same shape.
//!
//! | step | file | what can go wrong |
//! |---|---|---|
//! | read headers, sections, symbols, relocations | `object_file`, `entries` | the object makes no sense, is not understood, or exceeds the `limits` |
//! | a kind for each section, by flags and name as Linux does | `classify` | – |
//! | a place for each section in the memory of its kind, and for the addresses that code reads | `layout`, `got` | too large |
//! | memory of which each processor has its own copy, from the caller | `per_cpu` | there is none |
//! | memory of up to seven kinds, all or none | `load` | no room |
//! | an address for each symbol | `symbols` | unresolved |
//! | patch a copy of each section | `image`, `relocate`, by the `rules` in `x86`, `arm64`, `riscv`, `powerpc`, `loongarch` | out of reach |
//! | veneers for calls that do not reach | `plt` | – |
//! | keep what waits for other objects | `livepatch` | the file is too large |
//! | what the caller does before anything is published | `alternatives`, for one | what it says |
//! | write, publish | `load` | the backend refuses |
//!
//! Whatever goes wrong, everything before it is undone. A module that loaded is [`Coming`]: its init function can be run
//! by the caller, at its own risk. [`Coming::finish`] then frees the init kinds and seals what is read-only after initialisation, and
//! [`Module::unload`] frees the rest.
//!
//! Functions of a loaded module are traced, probed and replaced in the [`CodeSite`](crate::site::CodeSite) that the module is, or a
//! [`Lease`] of it; [`prepare_sites`] finds where.
//!
//! Modules that refer to each other are a set, [`Modules`]; [`plan`] says in which order they load.

#[cfg(feature = "x86-decoder")]
mod alternatives;
mod arm64;
mod classify;
mod entries;
mod got;
mod grow;
mod image;
mod layout;
mod lease;
mod limits;
mod livepatch;
mod load;
mod loongarch;
mod names;
mod object_file;
mod per_cpu;
mod plan;
mod plt;
mod powerpc;
mod refusal;
mod relocate;
mod riscv;
mod rules;
mod set;
mod sites;
mod sort;
mod stages;
mod state;
mod symbols;
mod x86;

#[cfg(feature = "x86-decoder")]
pub use alternatives::{AlternativeFault, AlternativeFeatures, AlternativeFormat, Callee, apply_alternatives};
pub use image::{ImageSection, ModuleImage};
pub use lease::Lease;
pub use limits::{LoadLimits, Resource};
pub use load::Loader;
pub use names::Names;
pub use per_cpu::{NoPerCpu, PerCpu};
pub use plan::plan;
pub use refusal::{ElfMachine, RelocationSite, SectionRefusal, SymbolRefusal};
pub use rules::{Bits, MachineRules, Meaning, PageEnd, Piece, Range, RelocationRule, SignRule, Target, Value};
pub use set::Modules;
pub use sites::{SiteRule, prepare_sites};
pub use stages::{Coming, Module};
pub use symbols::Symbols;
