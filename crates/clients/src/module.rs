//! Relocatable ELF modules: kernel modules, and objects of the same shape.
//!
//! | step | file | what can go wrong |
//! |---|---|---|
//! | read headers, sections, symbols, relocations | `object_file` | the object makes no sense |
//! | a kind for each section, by flags and name as Linux does | `classify` | – |
//! | a place for each section in the memory of its kind | `layout` | too large |
//! | memory of up to seven kinds, all or none | `load` | no room |
//! | an address for each symbol | `symbols` | unresolved |
//! | patch a copy of each section | `relocate`, by the `rules` in `x86`, `arm64`, `riscv`, `powerpc` | out of reach |
//! | veneers for calls that do not reach | `plt` | – |
//! | write, publish | `load` | the backend refuses |
//!
//! Whatever goes wrong, everything before it is undone. A module that loaded is [`Coming`]: its init function can be run
//! by whoever dares. [`Coming::finish`] then frees the init kinds and seals what is read-only after initialisation, and
//! [`Module::unload`] frees the rest.
//!
//! Modules that refer to each other are a set, [`Modules`]; [`plan`] says in which order they load.

mod arm64;
mod classify;
mod layout;
mod load;
mod names;
mod object_file;
mod plan;
mod plt;
mod powerpc;
mod relocate;
mod riscv;
mod rules;
mod set;
mod symbols;
mod x86;

pub use load::{Coming, Loader, Module};
pub use names::Names;
pub use plan::plan;
pub use rules::{Bits, MachineRules, Piece, RelocationRule, Target, Value};
pub use set::Modules;
pub use symbols::Symbols;
