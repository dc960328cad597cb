//! Page tables: leaves of every size of the machine, split where rights differ within one.
//!
//! # Invariants (I11)
//!
//! Every split is counted where it happens, so a load that gives everything back and was never split leaves the tables as
//! they were, and can be seen to.

use std::collections::BTreeMap;

use execmem_types::{BackendError, Extent, Machine, PageSize, Protection, Rights};

use crate::buddy::Frame;

/// A leaf entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) size: PageSize,
    pub(crate) frame: Frame,
    pub(crate) protection: Protection,
    /// What its rights may become.
    pub(crate) rights: Rights,
    /// Writable besides being executable: legacy tables only.
    pub(crate) is_writable_and_executable: bool,
    /// Whose memory it is.
    pub(crate) owner: Owner,
}

/// Which owner mapped a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The engine, through `map`.
    Engine,
    /// The kernel; the engine has not taken it over.
    Kernel,
    /// The kernel; the engine has taken it over and may write it.
    Adopted,
}

/// The leaves by address.
#[derive(Debug, Default)]
pub(crate) struct Paging {
    leaves: BTreeMap<u64, Leaf>,
}

/// What a change of rights did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) splits: u64,
    pub(crate) leaves: u64,
}

impl Paging {
    /// The leaf that maps an address, and where it starts.
    pub(crate) fn find(&self, address: u64) -> Option<(u64, Leaf)> {
        let (&start, leaf) = self.leaves.range(..=address).next_back()?;
        (address - start < leaf.size.bytes()).then_some((start, *leaf))
    }

    /// Whether any address of an extent is mapped.
    pub(crate) fn overlaps(&self, extent: Extent) -> bool {
        self.find(extent.start()).is_some() || self.leaves.range(extent.start()..=extent.last()).next().is_some()
    }

    /// The leaves that map an extent, which must be mapped without a gap.
    pub(crate) fn leaves_of(&self, extent: Extent) -> Result<Vec<(u64, Leaf)>, BackendError> {
        let mut found = Vec::new();
        let mut address = extent.start();
        loop {
            let (start, leaf) = self.find(address).ok_or(BackendError::NotMapped { address })?;
            found.push((start, leaf));
            let last = start + (leaf.size.bytes() - 1);
            if last >= extent.last() {
                return Ok(found);
            }
            address = last + 1;
        }
    }

    /// Maps an extent of whole leaves to frames in a row.
    pub(crate) fn insert(&mut self, extent: Extent, frames_per_leaf: u64, leaf: Leaf) {
        let count = extent.len() / leaf.size.bytes();
        for index in 0..count {
            let frame = leaf.frame + index * frames_per_leaf;
            self.leaves.insert(extent.start() + index * leaf.size.bytes(), Leaf { frame, ..leaf });
        }
    }

    /// Removes a leaf.
    pub(crate) fn remove(&mut self, start: u64) {
        self.leaves.remove(&start);
    }

    /// Changes the rights of whole pages, splitting leaves that lie only partly in the extent.
    pub(crate) fn protect(
        &mut self,
        machine: &Machine,
        extent: Extent,
        protection: Protection,
    ) -> Result<Changed, BackendError> {
        let page = machine.page();
        if !extent.is_aligned(page.bytes()) {
            return Err(BackendError::NotPages { extent, page });
        }
        self.leaves_of(extent)?;
        let splits = self.split_to(machine, extent);
        let mut changed = Changed { splits, leaves: 0 };
        for (start, leaf) in self.leaves_of(extent)? {
            if leaf.protection != protection {
                changed.leaves += 1;
                self.leaves.insert(start, Leaf { protection, ..leaf });
            }
        }
        Ok(changed)
    }

    /// Splits leaves until none crosses an end of the extent. Returns how often.
    fn split_to(&mut self, machine: &Machine, extent: Extent) -> u64 {
        let mut splits = 0;
        for end in [extent.start(), extent.last()] {
            while let Some((start, leaf)) = self.find(end) {
                let covers = Extent::new(start, leaf.size.bytes()).is_some_and(|whole| extent.covers(whole));
                let smaller = machine.leaves().filter(|size| *size < leaf.size).last();
                let (false, Some(smaller)) = (covers, smaller) else { break };
                let frames_per_leaf = smaller.bytes() / machine.page().bytes();
                if let Some(whole) = Extent::new(start, leaf.size.bytes()) {
                    self.insert(whole, frames_per_leaf, Leaf { size: smaller, ..leaf });
                }
                splits += 1;
            }
        }
        splits
    }

    /// Number of leaves by size.
    pub(crate) fn count(&self) -> BTreeMap<PageSize, u64> {
        let mut counts = BTreeMap::new();
        for leaf in self.leaves.values().filter(|leaf| leaf.owner == Owner::Engine) {
            *counts.entry(leaf.size).or_insert(0) += 1;
        }
        counts
    }

    /// All leaves.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Leaf)> {
        self.leaves.iter().map(|(&start, leaf)| (start, leaf))
    }
}
