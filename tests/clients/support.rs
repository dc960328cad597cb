//! Engines for the callers, and what must hold when they are done.

use execmem::Engine;
use execmem_arch_x86::{TABLE, TABLES};
use execmem_sim::Sim;

/// An engine at kernel addresses.
pub(crate) fn engine() -> Engine<Sim> {
    Engine::new(TABLE, Sim::new(TABLE.machine())).expect("memory")
}

/// Bytes that live allocations have.
pub(crate) fn granted(engine: &Engine<Sim>) -> u64 {
    engine.stats().kinds.iter().map(|kind| kind.bytes_granted).sum()
}

/// Checks that nothing is left of anybody.
pub(crate) fn check_empty(engine: &Engine<Sim>) {
    assert_eq!(granted(engine), 0);
    engine.audit_unused().expect("freed code traps");
    engine.shrink();
    engine.audit().expect("audit");
    assert_eq!((engine.stats().bytes_mapped(), engine.backend().leaves().len()), (0, 0));
}

/// Runs a life on every table of x86-64, whose instructions the clients know, with every backend call refused in turn, and checks after each that nothing is left.
/// `life` says whether it went to its end.
pub(crate) fn refuse_every_call(life: impl Fn(&Engine<Sim>) -> bool) {
    for named in TABLES.iter().filter(|named| named.table.machine().name == TABLE.machine().name) {
        for nth in 0.. {
            let engine = Engine::new(named.table, Sim::new(named.table.machine())).expect("memory");
            engine.backend().refuse_once(nth);
            let is_complete = life(&engine);
            let all_made = engine.backend().calls() <= nth;
            engine.backend().refuse_nothing();
            assert_eq!(granted(&engine), 0, "{}: call {nth} refused", named.name);
            engine.audit().expect("audit");
            if all_made {
                // What cannot be done on this table fails without any refusal.
                assert!(is_complete || !named.table.can_poke(execmem::Kind::Text), "{}", named.name);
                break;
            }
        }
    }
}
