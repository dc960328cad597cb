//! Shadow memory, as KASAN has it: a byte describes some bytes of the memory that it shadows.
//!
//! ```
//! # use execmem_arch_x86::X86_KASAN; use execmem_sim::Sim;
//! use execmem::{BackendError, Engine, Extent, Hooked, kinds::Text};
//! use execmem_clients::shadow::{Shadow, ShadowMemory};
//!
//! /// What a kernel has.
//! struct Pages;
//!
//! impl ShadowMemory for Pages {
//!     fn map(&self, shadow: Extent) -> Result<(), BackendError> {
//!         assert_eq!(shadow.len(), (2 << 20) >> 3); // the shadow of a block
//!         Ok(())
//!     }
//!     fn unmap(&self, _shadow: Extent) {}
//! }
//!
//! let hooks = Shadow::new(&X86_KASAN, 0xdfff_fc00_0000_0000, Pages);
//! let engine = Engine::new(X86_KASAN, Hooked { memory: Sim::new(X86_KASAN.machine()), hooks })?;
//! engine.free(engine.alloc::<Text>(100)?)?;
//! # Ok::<(), execmem::Error>(())
//! ```

use execmem::{BackendError, Extent, Hooks, KindSet, Table};
use execmem_types::{PerKind, Row};

/// The shadow memory of a kernel.
pub trait ShadowMemory {
    /// Maps shadow of memory that was just mapped, and marks all of that as accessible. Whole pages; none of it is mapped.
    ///
    /// # Errors
    ///
    /// Any: the memory itself is unmapped again, and smaller blocks are tried.
    fn map(&self, shadow: Extent) -> Result<(), BackendError>;

    /// Unmaps shadow. It may have been mapped by several calls.
    fn unmap(&self, shadow: Extent);
}

/// [`Hooks`] that map shadow with every block of a row that [is shadowed](execmem_types::Descriptor::is_shadowed), and unmap
/// it with the block. One that cannot be had makes growth fail with [`Error::Hook`](execmem::Error::Hook), and nothing is
/// lost.
#[derive(Debug)]
pub struct Shadow<S: KindSet, M> {
    is_shadowed: PerKind<S, bool>,
    scale_log2: u8,
    offset: u64,
    memory: M,
}

impl<S: KindSet, M: ShadowMemory> Shadow<S, M> {
    /// Shadow for the rows of a table. That of an address is at `(address >> scale) + offset`, modulo 2⁶⁴, with the scale of
    /// the table's machine: `KASAN_SHADOW_OFFSET` of Linux.
    pub fn new(table: &Table<S>, offset: u64, memory: M) -> Self {
        let is_shadowed = |kind| matches!(table.row(kind), Row::Own(descriptor) if descriptor.is_shadowed);
        Shadow {
            is_shadowed: PerKind::from_fn(false, is_shadowed),
            scale_log2: table.machine().limits.shadow_scale_log2,
            offset,
            memory,
        }
    }

    /// Where the shadow of a block lies; `None` if the row of `kind` has none, or that would reach beyond 2⁶⁴.
    #[must_use]
    pub fn of(&self, kind: S, block: Extent) -> Option<Extent> {
        let start = (block.start() >> self.scale_log2).wrapping_add(self.offset);
        if self.is_shadowed[kind] { Extent::new(start, block.len() >> self.scale_log2) } else { None }
    }
}

impl<S: KindSet, M: ShadowMemory> Hooks<S> for Shadow<S, M> {
    fn mapped(&self, kind: S, block: Extent) -> Result<(), BackendError> {
        match self.of(kind, block) {
            Some(shadow) => self.memory.map(shadow),
            None if self.is_shadowed[kind] => Err(BackendError::Unsupported),
            None => Ok(()),
        }
    }

    fn unmapped(&self, kind: S, block: Extent) {
        self.of(kind, block).into_iter().for_each(|shadow| self.memory.unmap(shadow));
    }
}
