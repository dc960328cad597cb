//! The life of code, what faults, and what the page tables say.

use alloc::vec::Vec;

use execmem::kinds::{Data, RoAfterInit, RoData, Text};
use execmem::{Error, PageSize};

use crate::kernel::arch::MANAGED;
use crate::kernel::code::ANSWER;
use crate::kernel::console::say;
use crate::kernel::engine::{KernelEngine, install};
use crate::kernel::frames::{LARGE, SMALL};
use crate::kernel::{frames, tables, traps};

/// Calls a function of `code.s` that was copied to an address.
pub(super) fn call(address: u64, argument: u64) -> Option<u64> {
    // SAFETY: the functions take and return a number, and unused memory traps.
    unsafe { traps::call(address, argument) }
}

/// Allocates, writes, publishes, calls, frees.
pub(super) fn life(engine: &KernelEngine) {
    let code = install(engine, ANSWER.bytes());
    let answer = call(code.address(), 0).expect("it can be called");
    assert!(engine.find(code.extent().last()).is_some(), "it is found by its addresses");
    engine.free(code).expect("it is ours");
    say!("life: allocated, written, published, called, freed: {answer}");
}

/// Does what must not be done.
pub(super) fn faults(engine: &KernelEngine) {
    let code = install(engine, ANSWER.bytes());
    assert_eq!(traps::store(code.address(), 0), None);
    assert_eq!(call(code.address(), 0), Some(42));
    say!("fault: a store to text");

    let mut data = engine.alloc::<Data>(ANSWER.bytes().len() as u64).expect("room");
    engine.write(&mut data, 0, ANSWER.bytes()).expect("a draft can be written");
    let data = engine.publish(data).expect("a draft can be published");
    assert_eq!(call(data.address(), 0), None);
    assert_eq!(traps::store(data.address(), 1), Some(()));
    engine.free(data).expect("it is ours");
    say!("fault: a call of data");

    let address = code.address();
    let other = install(engine, ANSWER.bytes());
    engine.free(code).expect("it is ours");
    assert_eq!(call(address, 0), None);
    assert_eq!(call(other.address(), 0), Some(42), "the block is still there");
    engine.free(other).expect("it is ours");
    say!("fault: a call of freed text");

    let data = engine.publish(engine.alloc::<RoAfterInit>(64).expect("room")).expect("a draft can be published");
    assert_eq!(traps::store(data.address(), 7), Some(()));
    let data = engine.seal(data).expect("it can be sealed");
    assert_eq!(traps::store(data.address(), 8), None);
    let mut byte = [0];
    traps::load(data.address(), &mut byte).expect("it can be read");
    assert_eq!(byte, [7]);
    engine.free(data).expect("it is ours");
    say!("fault: a store to sealed data");
}

/// Compares the leaves in the page tables with the statistics.
pub(super) fn entries(engine: &KernelEngine) {
    let code: Result<Vec<_>, Error> = (0..4000).map(|_| engine.alloc::<Text>(1000)).collect();
    let mut code = code.expect("room");
    let data = engine.alloc::<Data>(5 << 20).expect("room");
    // The frame of a large page is refused, so small ones take its place.
    frames::refuse(Some(0));
    let constants = engine.alloc::<RoData>(100).expect("room");
    let found = [LARGE, SMALL].map(|page| (page, count(page)));
    let stats = engine.stats();
    let counted = [LARGE, SMALL].map(|page| (page, stats.leaves_of(page)));
    assert_eq!(counted, found, "what the statistics say is what the tables hold");
    let [(_, large), (_, small)] = found;
    say!(
        "entries: {large} of 2M and {small} of 4K for 4000 functions, 5 MiB of data and, with a frame refused, constants"
    );
    engine.free(constants).expect("they are ours");
    engine.free(data).expect("it is ours");
    engine.free_group(&mut code).expect("they are ours");
}

/// Leaves of a size in the managed addresses.
fn count(page: PageSize) -> u64 {
    let mut next = MANAGED[0].start();
    let leaves = core::iter::from_fn(|| {
        while MANAGED[0].contains(next) {
            let leaf = tables::find(next);
            next = leaf.map_or(next + SMALL.bytes(), |leaf| leaf.extent.last() + 1);
            if leaf.is_some() {
                return leaf;
            }
        }
        None
    });
    leaves.filter(|leaf| leaf.page() == page).count() as u64
}
