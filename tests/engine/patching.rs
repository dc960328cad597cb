//! What published code may become while it is executed, and what is refused.

use execmem::kinds::{Data, Text};
use execmem::{Error, Live, Table};
use execmem_arch_x86::{TABLE, X86_FLIP};
use execmem_tests::rig::Rig;
use execmem_types::Features;

/// An engine, and published code of 64 bytes at a multiple of 64.
fn code(table: Table) -> (Rig, Live<Text>) {
    let engine = Rig::new(table);
    let live = engine.publish(engine.alloc::<Text>(64).expect("room")).expect("memory");
    (engine, live)
}

fn not_whole(live: &Live<Text>, offset: u64, len: usize, whole: u64) -> Result<(), Error> {
    Err(Error::NotWhole { address: live.address() + offset, len: len as u64, whole })
}

#[test]
fn patching_takes_what_the_machine_fetches_whole_and_refuses_the_rest() {
    let whole_of = |named: &execmem_types::NamedTable| (named.table, named.table.machine().whole_bytes());
    let fetches_8 = TABLE.adjusted(|plan| plan.machine.features = Features::FETCH_8).expect("every rule");
    let machines = [
        (TABLE, 1),
        (fetches_8, 8),
        whole_of(&execmem_arch_arm64::TABLES[0]),
        whole_of(&execmem_arch_riscv::TABLES[0]),
        whole_of(&execmem_arch_powerpc_8xx::TABLES[0]),
    ];
    assert_eq!(machines.map(|(_, whole)| whole), [1, 8, 4, 4, 4]);
    for (table, whole) in machines {
        let (engine, live) = code(table);
        for len in 1..=16_usize {
            for offset in 0..24_u64 {
                let bytes = [0x5a; 16];
                let is_whole = len.is_power_of_two() && len as u64 <= whole && offset % len as u64 == 0;
                let want = if is_whole { Ok(()) } else { not_whole(&live, offset, len, whole) };
                assert_eq!(engine.patch(&live, offset, &bytes[..len]), want, "{len} at {offset}");
                let is_word = len.is_power_of_two() && len <= 8 && offset % len as u64 == 0;
                let want = if is_word { Ok(()) } else { not_whole(&live, offset, len, 8) };
                assert_eq!(engine.patch_literal(&live, offset, &bytes[..len]), want, "{len} at {offset}");
            }
        }
        let mut bytes = [0; 32];
        engine.sim.fetch(live.address(), &mut bytes).expect("synchronised");
        assert_eq!(bytes[..24], [0x5a; 24], "every byte was changed by one of them");
        engine.free(live).expect("ours");
    }
}

#[test]
fn memory_whose_rights_flip_changes_only_where_no_processor_executes_it() {
    let (engine, live) = code(X86_FLIP);
    assert_eq!(engine.patch(&live, 0, &[0xc3]), not_whole(&live, 0, 1, 0));
    assert_eq!(engine.patch_literal(&live, 0, &[0; 8]), not_whole(&live, 0, 8, 0));
    engine.patch_unexecuted(&live, 3, &[0xc3; 20]).expect("the caller vouches for it");
    let mut bytes = [0; 20];
    engine.sim.fetch(live.address() + 3, &mut bytes).expect("executable again");
    assert_eq!(bytes, [0xc3; 20]);
    engine.free(live).expect("ours");
}

#[test]
fn a_patch_that_is_refused_leaves_the_old_bytes() {
    let (engine, live) = code(TABLE);
    engine.patch_unexecuted(&live, 0, &[0x90; 64]).expect("not executed");
    let calls = engine.sim.calls();
    engine.patch(&live, 7, &[0x90]).expect("a byte");
    for nth in 0..engine.sim.calls() - calls {
        engine.sim.refuse_once(nth);
        assert!(matches!(engine.patch(&live, 7, &[0xcc]), Err(Error::Backend { .. })), "call {nth} is refused");
        engine.sim.refuse_once(nth);
        assert!(matches!(engine.patch_unexecuted(&live, 0, &[0xcc; 64]), Err(Error::Backend { .. })));
        let mut bytes = [0; 64];
        engine.sim.fetch(live.address(), &mut bytes).expect("synchronised");
        assert_eq!(bytes, [0x90; 64]);
    }
    engine.free(live).expect("ours");
}

#[test]
fn only_bytes_of_live_code_of_this_engine_are_patched() {
    let (engine, live) = code(TABLE);
    let (other, _) = code(TABLE);
    let foreign = Err(Error::ForeignHandle { address: live.address() });
    let outside = Err(Error::OutOfBounds { offset: 64, len: 1, granted: 64 });
    type Patch = fn(&Rig, &Live<Text>, u64, &[u8]) -> Result<(), Error>;
    let verbs: [Patch; 3] = [
        |engine, live, offset, bytes| engine.patch(live, offset, bytes),
        |engine, live, offset, bytes| engine.patch_literal(live, offset, bytes),
        |engine, live, offset, bytes| engine.patch_unexecuted(live, offset, bytes),
    ];
    for patch in verbs {
        assert_eq!(patch(&other, &live, 0, &[1]), foreign);
        assert_eq!(patch(&engine, &live, 64, &[1]), outside);
        assert_eq!(patch(&engine, &live, 64, &[]), Ok(()), "nothing changes nothing");
    }
    let data = engine.publish(engine.alloc::<Data>(64).expect("room")).expect("memory").erase();
    assert!(matches!(engine.patch_literal(&data, 0, &[1]), Err(Error::WrongKind { .. })));
}
