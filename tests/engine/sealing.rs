//! Data that is read-only after initialisation.

use execmem::kinds::RoAfterInit;
use execmem::{Error, Kind, Live, Operation};
use execmem_arch_x86::{TABLE, X86_STRICT};
use execmem_tests::rig::Rig;

fn live(engine: &Rig) -> Live<RoAfterInit> {
    let draft = engine.alloc::<RoAfterInit>(200).expect("room");
    engine.publish(draft).expect("memory")
}

fn can_store(engine: &Rig, address: u64) -> bool {
    engine.sim.store(address, &[0]).is_ok()
}

#[test]
fn a_block_is_writable_while_anything_in_it_is_initialised() {
    let engine = Rig::new(TABLE);
    let (one, other) = (live(&engine), live(&engine));
    let address = one.address();
    let one = engine.seal(one).expect("memory");
    assert!(can_store(&engine, address), "the other is still initialised");
    let other = engine.seal(other).expect("memory");
    assert!(!can_store(&engine, address));
    let third = live(&engine);
    assert!(can_store(&engine, address), "open again for the third");
    engine.free(third).expect("ours");
    assert!(!can_store(&engine, address), "and closed when it goes");
    assert_eq!(engine.sim.counts().splits, 0, "the large page stayed whole");
    engine.free(one).expect("ours");
    engine.free(other).expect("ours");
    engine.audit_unused().expect("freed memory is zero");
}

#[test]
fn sealing_by_pages_concerns_its_own_pages_only() {
    let engine = Rig::new(X86_STRICT);
    let (one, other) = (live(&engine), live(&engine));
    let (at, beside) = (one.address(), other.address());
    let one = engine.seal(one).expect("memory");
    assert!(!can_store(&engine, at) && can_store(&engine, beside));
    engine.free(one).expect("ours");
    engine.free(other).expect("ours");
}

#[test]
fn what_has_no_seal_cannot_be_sealed() {
    let engine = Rig::new(TABLE);
    let draft = engine.alloc_kind(Kind::Data, 100).expect("room");
    let live = engine.publish(draft).expect("memory");
    let failed = engine.seal(live).expect_err("data");
    assert_eq!(failed.error, Error::WrongKind { kind: Kind::Data.into(), operation: Operation::Seal });
    engine.free(failed.handle).expect("ours");
}
