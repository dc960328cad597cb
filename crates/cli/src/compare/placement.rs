//! Where a policy has placed everything: blocks for the map, and the entries that code and data take.

use std::collections::{BTreeMap, BTreeSet};

use execmem::{Extent, Kind, Protection};
use execmem_sim::policy::{Load, Placed, Policy};

use super::outcome::Block;

/// Leaves that hold code, and leaves that hold anything else.
pub(crate) fn entries(policy: &dyn Policy) -> (u64, u64) {
    let page = policy.sim().machine().page().bytes();
    let leaves_of = |is_code: bool| {
        let mut leaves = BTreeSet::new();
        for part in policy.placed().iter().filter(|part| part.kind.is_code() == is_code) {
            let mut address = part.extent.start();
            while let Some(leaf) = policy.sim().translate(address).filter(|_| address <= part.extent.last()) {
                leaves.insert(leaf.start);
                address = leaf.start.saturating_add(leaf.size.bytes().max(page));
            }
        }
        leaves.len() as u64
    };
    (leaves_of(true), leaves_of(false))
}

/// Every block, in order of address, with what lies in it.
pub(crate) fn blocks(policy: &dyn Policy, live: &BTreeMap<u64, &Load>) -> Vec<Block> {
    let page = policy.sim().machine().page().bytes();
    let mut placed = policy.placed();
    placed.sort_by_key(|part| part.extent.start());
    let mut runs: Vec<(Extent, u64, Protection)> = Vec::new();
    for (leaf, protection) in policy.sim().leaf_extents() {
        // Small leaves in a row are one block, whatever their rights: a module of old is one.
        match runs.last_mut().filter(|(run, size, _)| *size == page && leaf.len() == page && touches(*run, leaf)) {
            Some((run, ..)) => *run = Extent::new(run.start(), run.len() + leaf.len()).unwrap_or(*run),
            None => runs.push((leaf, leaf.len(), protection)),
        }
    }
    runs.into_iter().map(|(extent, page, protection)| block(extent, page, protection, &placed, live)).collect()
}

fn touches(run: Extent, leaf: Extent) -> bool {
    run.end() == u128::from(leaf.start())
}

fn block(extent: Extent, page: u64, protection: Protection, placed: &[Placed], live: &BTreeMap<u64, &Load>) -> Block {
    let first = placed.partition_point(|part| part.extent.last() < extent.start());
    let inside = placed[first..].iter().take_while(|part| part.extent.start() <= extent.last());
    let allocation = |part: &Placed| {
        let here = part.extent.intersection(extent)?;
        let name = live.get(&part.id).map_or("?", |load| load.name.as_str());
        Some((here.start() - extent.start(), here.len(), Kind::name(part.kind), name.to_owned()))
    };
    Block {
        start: format!("{:#x}", extent.start()),
        len: extent.len(),
        page,
        rights: protection.to_string(),
        allocations: inside.filter_map(allocation).collect(),
    }
}
