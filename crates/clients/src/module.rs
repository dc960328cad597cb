//! Relocatable ELF modules: kernel modules, and objects of the same shape.
//!
//! | step | file | what can go wrong |
//! |---|---|---|
//! | read headers, sections, symbols, relocations | `object_file` | the object makes no sense |
//! | a kind for each section, by flags and name as Linux does | `classify` | – |
//! | a place for each section in the memory of its kind | `layout` | too large |
//! | memory of up to seven kinds, all or none | `load` | no room |
//! | an address for each symbol | `symbols` | unresolved |
//! | patch a copy of each section | `relocate`, by the `rules` in `x86` | out of reach |
//! | write, publish | `load` | the backend refuses |
//!
//! Whatever goes wrong, everything before it is undone. A module that loaded is [`Coming`]: its init function can be run
//! by whoever dares. [`Coming::finish`] then frees the init kinds and seals what is read-only after initialisation, and
//! [`Module::unload`] frees the rest.

mod classify;
mod layout;
mod load;
mod object_file;
mod relocate;
mod rules;
mod symbols;
mod x86;

pub use load::{Coming, Loader, Module, Names};
pub use rules::{RelocationRule, Target, Value};
pub use symbols::Symbols;
