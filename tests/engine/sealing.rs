//! Data that is read-only after initialisation.

use execmem::kinds::RoAfterInit;
use execmem::{Engine, Error, Handle as _, Kind, Live, Operation};
use execmem_arch_x86::{TABLE, X86_STRICT};
use execmem_sim::Sim;

fn live(engine: &Engine<Sim>) -> Live<RoAfterInit> {
    let draft = engine.alloc::<RoAfterInit>(200).expect("room");
    engine.publish(draft).expect("memory")
}

fn can_store(engine: &Engine<Sim>, address: u64) -> bool {
    engine.backend().store(address, &[0]).is_ok()
}

#[test]
fn a_block_is_writable_while_anything_in_it_is_initialised() {
    let engine = Engine::new(TABLE, Sim::new(TABLE.machine())).expect("memory");
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
    assert_eq!(engine.backend().counts().splits, 0, "the large page stayed whole");
    engine.free(one).expect("ours");
    engine.free(other).expect("ours");
    engine.audit_unused().expect("freed memory is zero");
}

#[test]
fn sealing_by_pages_concerns_its_own_pages_only() {
    let engine = Engine::new(X86_STRICT, Sim::new(X86_STRICT.machine())).expect("memory");
    let (one, other) = (live(&engine), live(&engine));
    let (at, beside) = (one.address(), other.address());
    let one = engine.seal(one).expect("memory");
    assert!(!can_store(&engine, at) && can_store(&engine, beside));
    engine.free(one).expect("ours");
    engine.free(other).expect("ours");
}

#[test]
fn what_has_no_seal_cannot_be_sealed() {
    let engine = Engine::new(TABLE, Sim::new(TABLE.machine())).expect("memory");
    let draft = engine.alloc_kind(Kind::Data, 100).expect("room");
    let live = engine.publish(draft).expect("memory");
    let failed = engine.seal(live).expect_err("data");
    assert_eq!(failed.error, Error::WrongKind { kind: Kind::Data, operation: Operation::Seal });
    engine.free(failed.handle).expect("ours");
}
