//! A process as it is: its code where the JIT put it, in the pages of the mappings it made.

use std::collections::{BTreeMap, BTreeSet};

use execmem::{Extent, Kind};
use execmem_sim::policy::{Load, Placed, Policy, PolicyRow, Store};
use execmem_sim::{Control, Refusal, Sim};
use execmem_types::{Backend as _, Mapping, PageSize, Protection, Trap};

use crate::survey::facts::ProcessFacts;

/// The name of this policy.
pub(crate) const NOW: &str = "now";
pub(crate) const ABOUT_NOW: &str = "the process as it is: every page of its executable mappings is an entry, as far as the \
                                    kernel did not give it large ones unasked";
/// What a JIT does that maps or protects each function by itself.
pub(crate) const OWN_PAGES: PolicyRow = PolicyRow {
    key: "own-pages",
    name: "own-pages",
    about: "each function in pages of its own, as with an mmap or mprotect for each",
    text: Store::Pages,
    data: Store::Pages,
    bpf: Store::Pages,
    kprobe: Store::Pages,
    ftrace: Store::Pages,
    large_blocks: 0,
};

/// Code at addresses that are given.
#[derive(Debug)]
pub(crate) struct InPlace {
    sim: Sim,
    page: PageSize,
    /// Where each load lies, by its name in the script; its address and whether its memory is writable.
    places: Vec<(u64, bool)>,
    /// Mappings that are there whatever is in them.
    regions: Vec<(Extent, bool)>,
    mapped: BTreeSet<u64>,
    live: BTreeMap<u64, (Extent, u64)>,
}

impl InPlace {
    /// The functions and mappings of a process. Without functions, each mapping is a load.
    pub(crate) fn new(process: &ProcessFacts, sim: Sim) -> Self {
        let region = |region: &crate::survey::facts::Region| {
            Extent::new(region.start.0, region.bytes).map(|extent| (extent, region.is_writable))
        };
        let regions: Vec<_> = process.regions.iter().filter_map(region).collect();
        let is_writable =
            |address| regions.iter().any(|(extent, is_writable)| *is_writable && extent.contains(address));
        let places = if process.functions.is_empty() {
            process.regions.iter().map(|region| (region.start.0, region.is_writable)).collect()
        } else {
            let address = |address: u64| (address, is_writable(address));
            process.functions.iter().map(|piece| address(piece.address.map_or(0, |address| address.0))).collect()
        };
        let page = sim.machine().page();
        InPlace { sim, page, places, regions, mapped: BTreeSet::new(), live: BTreeMap::new() }
    }

    /// Maps the pages of an extent that are not mapped yet.
    fn map(&mut self, extent: Extent, is_writable: bool) -> Result<(), Refusal> {
        let mut start = self.page.round_down(extent.start());
        while start <= extent.last() {
            let no_room = Refusal::NoRoom { bytes: extent.len() };
            if self.mapped.insert(start) {
                let page = Extent::new(start, self.page.bytes()).ok_or(no_room)?;
                let mapping = Mapping::new(page, self.page, Protection::ReadExecute, Trap::ZERO);
                self.sim.map(&Mapping { is_writable_and_executable: is_writable, ..mapping })?;
            }
            start = start.checked_add(self.page.bytes()).ok_or(no_room)?;
        }
        Ok(())
    }
}

impl Policy for InPlace {
    fn sim(&self) -> &Control {
        &self.sim
    }

    fn load(&mut self, id: u64, load: &Load) -> Result<(), Refusal> {
        let bytes = load.parts.iter().map(|part| part.1).sum();
        let no_room = Refusal::NoRoom { bytes };
        let place = usize::try_from(id).ok().and_then(|index| self.places.get(index));
        let &(address, is_writable) = place.ok_or(no_room)?;
        let extent = Extent::new(address, bytes).ok_or(no_room)?;
        if self.live.is_empty() {
            for (region, is_writable) in self.regions.clone() {
                self.map(region, is_writable)?;
            }
        }
        self.map(extent, is_writable)?;
        self.live.insert(id, (extent, bytes));
        Ok(())
    }

    fn finish(&mut self, _id: u64) -> Result<(), Refusal> {
        Ok(())
    }

    /// A JIT's mappings go when its last function does.
    fn unload(&mut self, id: u64) -> Result<(), Refusal> {
        self.live.remove(&id);
        if self.live.is_empty() {
            let pages = std::mem::take(&mut self.mapped).into_iter();
            for page in pages.filter_map(|start| Extent::new(start, self.page.bytes())) {
                self.sim.unmap(page)?;
            }
        }
        Ok(())
    }

    fn settle(&mut self) {}

    fn placed(&self) -> Vec<Placed> {
        let placed = |(&id, &(extent, bytes)): (&u64, &(Extent, u64))| Placed { id, kind: Kind::Text, extent, bytes };
        self.live.iter().map(placed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch;
    use crate::compare::load::single;
    use crate::survey::facts::{Address, Piece, Region};

    #[test]
    fn functions_share_the_pages_they_lie_in_and_mappings_count_whole() {
        let machine = *arch::table("x86").expect("a table").table.machine();
        let function = |start, bytes| Piece { name: "f".to_owned(), bytes, address: Some(Address(start)) };
        let mut process = ProcessFacts {
            functions: vec![function(0x1000_0f00, 0x200), function(0x1000_1200, 0x100)],
            ..ProcessFacts::default()
        };
        let run = |process: &ProcessFacts| {
            let mut policy = InPlace::new(process, Sim::new(&machine));
            for (id, piece) in (0..).zip(&process.functions) {
                policy.load(id, &single("f".to_owned(), Kind::Text, piece.bytes)).expect("room");
            }
            let counts = (policy.sim().leaves().values().sum::<u64>(), policy.sim().wx_bytes());
            for id in 0..process.functions.len() as u64 {
                policy.unload(id).expect("mapped");
            }
            assert!(policy.sim().leaves().is_empty());
            counts
        };
        assert_eq!(run(&process), (2, 0));
        let region = Region { start: Address(0x1000_0000), bytes: 0x8000, is_writable: true, name: String::new() };
        process.regions.push(region);
        assert_eq!(run(&process), (8, 0x8000), "writable and executable, and said so");
    }
}
