//! Engines for the callers, and what must hold when they are done.

use execmem_arch_x86::{TABLE, TABLES};
use execmem_tests::rig::Rig;
pub(crate) use execmem_tests::world::granted;

/// An engine at kernel addresses.
pub(crate) fn engine() -> Rig {
    Rig::new(TABLE)
}

/// Checks that nothing is left of anybody.
pub(crate) fn check_empty(engine: &Rig) {
    assert_eq!(granted(engine), 0);
    engine.audit_unused().expect("freed code traps");
    engine.shrink();
    engine.audit().expect("audit");
    assert_eq!((engine.stats().bytes_mapped(), engine.sim.leaves().len()), (0, 0));
}

/// Runs a life on every table of x86-64, whose instructions the clients know, with every backend call refused in turn, and checks after each that nothing is left.
/// `life` says whether it went to its end.
pub(crate) fn refuse_every_call(life: impl Fn(&Rig) -> bool) {
    for named in TABLES.iter().filter(|named| named.table.machine().name == TABLE.machine().name) {
        for nth in 0.. {
            let engine = Rig::new(named.table);
            engine.sim.refuse_once(nth);
            let is_complete = life(&engine);
            let all_made = engine.sim.calls() <= nth;
            engine.sim.refuse_nothing();
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
