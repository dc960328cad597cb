//! What a pool knows of its row of the table.

use execmem_types::{
    Access, Descriptor, Fill, KindName, KindSet, Machine, PowerOfTwo, Protection, Rights, Row, Seal, Table, Trap,
    Unused,
};

use crate::base::counters::Events;

/// The row of a pool, and what was counted of its memory. It knows no set of kinds.
#[derive(Debug)]
pub(crate) struct PoolRow {
    /// Number of the kind that has the row.
    pub(crate) kind: u8,
    pub(crate) name: KindName,
    pub(crate) descriptor: Descriptor,
    /// Smallest quantum of all kinds served.
    pub(crate) quantum: PowerOfTwo,
    /// What memory holds while it is not live.
    pub(crate) unused: Trap,
    pub(crate) events: Events,
}

impl PoolRow {
    /// The row of a kind that has one of its own; `None` if it shares that of another.
    pub(crate) fn of<S: KindSet>(table: &Table<S>, kind: S) -> Option<Self> {
        let Row::Own(descriptor) = table.row(kind) else { return None };
        Some(PoolRow {
            kind: kind.number(),
            name: kind.into(),
            descriptor: *descriptor,
            quantum: table.shared_quantum(kind),
            unused: unused(descriptor, table.machine()),
            events: Events::default(),
        })
    }

    /// The rights of memory that is not published.
    pub(crate) const fn unpublished_protection(&self) -> Protection {
        match self.descriptor.fill {
            Fill::Poke => self.descriptor.protection,
            _ if self.descriptor.is_writable_and_executable => self.descriptor.protection,
            Fill::Direct | Fill::Flip => Protection::ReadWrite,
        }
    }

    /// Every right that memory of the pool ever has.
    pub(crate) const fn rights(&self) -> Rights {
        let rights = Rights::only(self.unpublished_protection());
        match (self.descriptor.fill, self.descriptor.seal) {
            (Fill::Flip, _) | (_, Seal::Pages | Seal::Block) => rights.and(self.descriptor.protection),
            (Fill::Poke | Fill::Direct, Seal::Never) => rights,
        }
    }

    /// How bytes reach the memory.
    #[inline]
    pub(crate) const fn access(&self) -> Access {
        match self.descriptor.fill {
            Fill::Poke => Access::Poke,
            Fill::Direct | Fill::Flip => Access::Store,
        }
    }

    /// Whether blocks are sealed as a whole.
    #[inline]
    pub(crate) const fn seals_blocks(&self) -> bool {
        matches!(self.descriptor.seal, Seal::Block)
    }

    /// Whether published code can be executed while it changes.
    pub(crate) const fn is_executable_while_written(&self) -> bool {
        matches!(self.descriptor.fill, Fill::Poke) || self.descriptor.is_writable_and_executable
    }

    /// Whether memory may have other rights when it is freed than what is written through: then they change first.
    pub(crate) const fn changes_rights(&self) -> bool {
        matches!(self.descriptor.fill, Fill::Flip) || matches!(self.descriptor.seal, Seal::Pages)
    }

    /// Whether destroying content waits for nothing: no rights change, and no processor has to learn of it.
    pub(crate) const fn retires_at_once(&self) -> bool {
        !self.changes_rights() && !self.seals_blocks() && !self.descriptor.protection.is_executable()
    }
}

/// What memory of a row holds while it is not live.
fn unused(descriptor: &Descriptor, machine: &Machine) -> Trap {
    match descriptor.unused {
        Unused::Trap => machine.trap(),
        Unused::Zero => Trap::ZERO,
        Unused::Pattern(pattern) => pattern,
    }
}
