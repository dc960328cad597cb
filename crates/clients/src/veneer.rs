//! Veneers: how direct branches lead further than they reach.
//!
//! Code in a far window cannot branch to the anchor, and the anchor cannot branch to it. A *veneer* is a jump that
//! reaches any address; a direct branch leads to a veneer near it, and the veneer to the target.
//!
//! | what branches | where the veneers are | file |
//! |---|---|---|
//! | new code, to anything | at the end of its own allocation | `install` |
//! | a module, to anything | behind its own code | `module::plt` |
//! | the anchor, to far code | in an [`Island`] in the near window | `island` |
//!
//! Both are memory of the same engine. What a machine's branches and veneers look like is data,
//! an
//! [`InstructionSet`](execmem_types::InstructionSet); nothing here knows a machine, and every encoding is decoded before it is used.

mod install;
mod island;

pub use install::{Branch, Installed, install};
pub use island::Island;
