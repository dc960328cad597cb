//! Policies: ways to serve the same loads with memory, so that they can be compared.
//!
//! | name | where it is from |
//! |---|---|
//! | `module_alloc` | Linux up to 6.9: one lump a module, whole pages, rights page by page |
//! | `prog_pack` | the same with BPF programs in packs: Linux 5.18 to 6.9 |
//! | `execmem-v2` | the proposal of November 2022: text in shared large blocks, data as before |
//! | `linux` | Linux 6.15 to 7.2: text in a cache of large blocks, whole pages, rights changed to write |
//!
//! They are rows of [`ROWS`]; [`served`] says which of them serve a machine: the cache, say, is for x86-64 only, so what
//! Linux does elsewhere is another row of the same name. The engine of this workspace is compared with them from outside
//! this crate.

mod blocks;
mod cache;
mod kernel;
mod rows;
mod served;

use execmem_types::{Extent, Kind};

pub use kernel::KernelPolicy;
pub use rows::{PolicyRow, ROWS, Store};
pub use served::{Release, Served, of_release, served};

use crate::refusal::Refusal;
use crate::sim::Control;

/// Something that wants memory: a module, a BPF program, a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// What it is called.
    pub name: String,
    /// Kinds and bytes, in the order they are laid out. A kind may come twice.
    pub parts: Vec<(Kind, u64)>,
    /// Bytes in single pages that are in use while it is loaded: the file it comes from.
    pub temporary_bytes: u64,
    /// Bytes in single pages that its user takes besides, for good.
    pub resident_bytes: u64,
}

/// Memory that a load has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// The load.
    pub id: u64,
    /// The kind.
    pub kind: Kind,
    /// Where it lies, with what it was rounded up by.
    pub extent: Extent,
    /// Bytes asked for.
    pub bytes: u64,
}

/// A way to serve loads.
pub trait Policy {
    /// The machine.
    fn sim(&self) -> &Control;

    /// Loads: allocates, writes, publishes. All of it or nothing.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    fn load(&mut self, id: u64, load: &Load) -> Result<(), Refusal>;

    /// Ends initialisation: frees the init kinds, makes read-only what is to be so from now on.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    fn finish(&mut self, id: u64) -> Result<(), Refusal>;

    /// Frees what a load has left.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    fn unload(&mut self, id: u64) -> Result<(), Refusal>;

    /// Gives back what is kept for later, as under pressure.
    fn settle(&mut self);

    /// Everything that is placed, by load.
    fn placed(&self) -> Vec<Placed>;
}
