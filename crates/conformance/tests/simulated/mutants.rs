//! Broken backends, at least three for each law.

mod bytes;
mod calls;
mod failures;
mod methods;
mod rights;
mod stale;

use execmem_conformance::Law;
use execmem_types::{Access, Backend as _, Extent, Mapping, Protection, Rights};

use crate::broken::Methods;
use crate::machine::{Answer, TwoProcessors};

/// A broken backend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mutant {
    /// What is wrong with it.
    pub(crate) what: &'static str,
    /// The check that finds it.
    pub(crate) caught_by: &'static str,
    /// What it does.
    pub(crate) methods: Methods,
}

/// All of them, by the law they break.
pub(crate) const MUTANTS: [(Law, &[Mutant]); 10] = [
    (Law::Methods, methods::MUTANTS),
    (Law::FailedCallsChangeNothing, failures::MUTANTS),
    (Law::NeverWritableAndExecutable, rights::MUTANTS),
    (Law::FreshMemoryHoldsThePattern, bytes::FRESH),
    (Law::NothingStale, stale::MUTANTS),
    (Law::PokesReachExecution, bytes::POKES),
    (Law::AccessesWaitForNothingSlow, calls::WAITING),
    (Law::SlowCallsRunBesideEachOther, calls::SLOW),
    (Law::RightsAreNamed, rights::NAMED),
    (Law::TheCallerIsAsked, calls::CALLERS),
];

const fn mutant(what: &'static str, caught_by: &'static str, methods: Methods) -> Mutant {
    Mutant { what, caught_by, methods }
}

/// Pieces of an extent.
fn pieces(extent: Extent, len: u64) -> impl Iterator<Item = Extent> {
    (0..extent.len().div_ceil(len)).filter_map(move |index| {
        let offset = index * len;
        extent.part(offset, len.min(extent.len() - offset))
    })
}

/// The leaf at an address.
fn leaf(machine: &TwoProcessors, address: u64) -> Option<Extent> {
    let leaf = machine.control.translate(address)?;
    Extent::new(leaf.start, leaf.size.bytes())
}

/// The leaves of an extent up to the first gap.
fn leaves(machine: &TwoProcessors, extent: Extent) -> Vec<Extent> {
    let mut leaves = Vec::new();
    let mut at = extent.start();
    while let Some(leaf) = leaf(machine, at).filter(|_| extent.contains(at)) {
        leaves.push(leaf);
        at = leaf.last() + 1;
    }
    leaves
}

/// A mapping that may have every right.
fn map_with_all(machine: &TwoProcessors, mapping: &Mapping) -> Answer {
    machine.map(&Mapping { rights: Rights::ALL, ..*mapping })
}

/// Mapped bytes, whatever their rights.
fn bytes_of(machine: &TwoProcessors, extent: Extent) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(extent.len()).unwrap()];
    let _ = machine.control.read(extent.start(), &mut bytes);
    bytes
}

/// Maps anew what is mapped, with the bytes it has.
fn remap(machine: &TwoProcessors, extent: Extent, protection: Protection, is_both: bool) -> Answer {
    for leaf in leaves(machine, extent) {
        let bytes = bytes_of(machine, leaf);
        let page = machine.control.translate(leaf.start()).map_or(machine.control.machine().page(), |leaf| leaf.size);
        machine.sim.unmap(leaf)?;
        let mapping = Mapping::new(leaf, page, protection, machine.control.machine().trap());
        machine.sim.map(&Mapping { rights: Rights::ALL, is_writable_and_executable: is_both, ..mapping })?;
        let _ = machine.control.corrupt(leaf.start(), &bytes);
    }
    machine.flush(extent, true);
    Ok(())
}

/// Overwrites an extent behind everything's back.
fn corrupt(machine: &TwoProcessors, extent: Extent, byte: u8) {
    for page in pieces(extent, 4096) {
        let _ = machine.control.corrupt(page.start(), &vec![byte; usize::try_from(page.len()).unwrap()]);
    }
}

/// Writes up to the end of the leaf.
fn write_in_one_leaf(machine: &TwoProcessors, access: Access, address: u64, bytes: &[u8]) -> Answer {
    let room = leaf(machine, address).map_or(bytes.len() as u64, |leaf| leaf.last() - address + 1);
    let len = bytes.len().min(usize::try_from(room).unwrap());
    machine.write(access, address, &bytes[..len])
}
