//! The simulated machine: what tests and policies do with it besides what an engine does.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use execmem_types::{BackendError, Extent, Machine, Mapping, PageSize, Protection, Trap};
use parking_lot::Mutex;

use crate::counts::Counts;
use crate::options::Options;
use crate::paging::{Leaf, Owner};
use crate::state::{Relocate, State, large_page};

/// A simulated machine: the memory that an engine, or a policy, commands.
///
/// Each operation checks the rights of every page it touches. What does not command memory is done with the machine's
/// [`Control`], which stays with the test when the machine goes into an engine.
#[derive(Debug)]
pub struct Sim {
    control: Control,
}

/// Everything around the memory of a [`Sim`]: what is mapped and counted, what will be refused, the processors that execute
/// and access it, and other users of physical memory.
///
/// Memory can be executed through [`fetch`](Self::fetch), which also finds bytes that were written and not made known to
/// instruction fetch. A control does to mapped memory what a program could do: it stores where stores are allowed.
/// [`corrupt`](Self::corrupt) alone does more, to show that damage is found.
#[derive(Debug, Clone)]
pub struct Control {
    pub(crate) state: Arc<Mutex<State>>,
}

impl Deref for Sim {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.control
    }
}

/// Where an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Translated {
    /// First address of the leaf.
    pub start: u64,
    /// Size of the leaf.
    pub size: PageSize,
    /// Physical address of the byte.
    pub physical: u64,
    /// Rights of the leaf.
    pub protection: Protection,
}

#[expect(clippy::must_use_candidate, reason = "called for what it does to the machine")]
impl Sim {
    /// A machine with as much memory as wanted, and without a direct map.
    #[must_use]
    pub fn new(machine: &Machine) -> Self {
        Sim::with_options(machine, &Options::default())
    }

    /// The same with `bytes` of memory.
    #[must_use]
    pub fn with_memory(machine: &Machine, bytes: u64) -> Self {
        Sim::with_options(machine, &Options { bytes_per_node: bytes, ..Options::default() })
    }

    /// A machine with everything around it.
    #[must_use]
    pub fn with_options(machine: &Machine, options: &Options) -> Self {
        Sim { control: Control { state: Arc::new(Mutex::new(State::new(machine, options))) } }
    }

    /// What stays with the test when this goes into an engine.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Maps memory as the kernel would map its own image; [`Backend::adopt`](execmem_types::Backend::adopt) can take it
    /// over.
    ///
    /// # Errors
    ///
    /// As [`Backend::map`](execmem_types::Backend::map).
    pub fn map_kernel(&self, extent: Extent, page: PageSize, protection: Protection) -> Result<(), BackendError> {
        let mapping = Mapping::new(extent, page, protection, Trap::ZERO);
        self.state.lock().map(&mapping, Owner::Kernel, 0)
    }

    /// Maps memory of a node, or of the next one if that has none.
    ///
    /// # Errors
    ///
    /// As [`Backend::map`](execmem_types::Backend::map).
    pub fn map_on(&self, mapping: &Mapping, node: usize) -> Result<(), BackendError> {
        let mut state = self.state.lock();
        state.faults.check()?;
        state.map(mapping, Owner::Engine, node)
    }

    /// Makes small leaves one larger leaf where their frames lie in a row and all agree, as Linux does after it made
    /// text read-only again. Returns how many it made.
    pub fn merge_in_place(&self, extent: Extent, page: PageSize) -> u64 {
        let mut state = self.state.lock();
        let mut merged = 0;
        let mut start = page.round_down(extent.start());
        while start <= extent.last() {
            let unit = Extent::new(start, page.bytes());
            let leaf = state.paging.find(start);
            let is_small = leaf.is_some_and(|(_, Leaf { size, .. })| size < page);
            let made = unit.filter(|_| is_small).map(|unit| state.collapse(unit, page, Relocate::Never));
            merged += u64::from(matches!(made, Some(Ok(()))));
            let Some(next) = start.checked_add(page.bytes()) else { break };
            start = next;
        }
        merged
    }
}

impl Control {
    /// Refuses the backend call after the next `after` ones, once.
    pub fn refuse_once(&self, after: u64) {
        self.state.lock().faults.refuse(after, false);
    }

    /// Refuses every backend call after the next `after` ones.
    pub fn refuse_from(&self, after: u64) {
        self.state.lock().faults.refuse(after, true);
    }

    /// Makes pages larger than `largest` unavailable.
    pub fn limit_pages(&self, largest: PageSize) {
        self.state.lock().faults.limit_pages(largest);
    }

    /// Leaves `left` pages of other than the smallest size available.
    pub fn limit_large_pages(&self, left: u64) {
        self.state.lock().faults.limit_large_pages(left);
    }

    /// Refuses nothing any more.
    pub fn refuse_nothing(&self) {
        self.state.lock().faults.stop();
    }

    /// Backend calls that can fail, so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state.lock().faults.calls()
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state.lock().counts
    }

    /// Facts of the machine.
    #[must_use]
    pub fn machine(&self) -> Machine {
        self.state.lock().machine
    }

    /// The leaf that memory is given out in where it is given out in bulk: the smallest of at least 1 MiB.
    #[must_use]
    pub fn large_page(&self) -> PageSize {
        large_page(&self.machine())
    }

    /// Leaf entries of the engine's memory by size.
    #[must_use]
    pub fn leaves(&self) -> BTreeMap<PageSize, u64> {
        self.state.lock().paging.count()
    }

    /// Leaf entries of the engine's memory by size and rights.
    #[must_use]
    pub fn leaves_by_rights(&self) -> Vec<(PageSize, Protection, u64)> {
        let state = self.state.lock();
        let mut counts: Vec<(PageSize, Protection, u64)> = Vec::new();
        for (_, leaf) in state.paging.iter().filter(|(_, leaf)| leaf.owner == Owner::Engine) {
            match counts.iter_mut().find(|(size, rights, _)| (*size, *rights) == (leaf.size, leaf.protection)) {
                Some((.., count)) => *count += 1,
                None => counts.push((leaf.size, leaf.protection, 1)),
            }
        }
        counts
    }

    /// Every leaf of the engine's memory, in order of address.
    #[must_use]
    pub fn leaf_extents(&self) -> Vec<(Extent, Protection)> {
        let state = self.state.lock();
        let own = state.paging.iter().filter(|(_, leaf)| leaf.owner == Owner::Engine);
        own.filter_map(|(start, leaf)| Some((Extent::new(start, leaf.size.bytes())?, leaf.protection))).collect()
    }

    /// Where an address leads, through a leaf of any size. `None` if it is not mapped.
    #[must_use]
    pub fn translate(&self, address: u64) -> Option<Translated> {
        let state = self.state.lock();
        let (start, leaf) = state.paging.find(address)?;
        let physical = leaf.frame * state.memory.frame_bytes() + (address - start);
        Some(Translated { start, size: leaf.size, physical, protection: leaf.protection })
    }

    /// The node whose memory an address leads to.
    #[must_use]
    pub fn node_of(&self, address: u64) -> Option<usize> {
        let state = self.state.lock();
        let (start, leaf) = state.paging.find(address)?;
        Some(state.memory.node_of(leaf.frame + (address - start) / state.memory.frame_bytes()))
    }

    /// Bytes of physical memory that hold content of mappings.
    #[must_use]
    pub fn bytes_in_use(&self) -> u64 {
        let state = self.state.lock();
        state.memory.in_use() * state.memory.frame_bytes()
    }

    /// Bytes that are writable and executable at once, at one address or by an alias in the direct map. Zero unless a
    /// legacy table asked for it.
    #[must_use]
    pub fn wx_bytes(&self) -> u64 {
        self.state.lock().wx_bytes()
    }
}
