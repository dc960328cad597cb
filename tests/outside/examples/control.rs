//! What a caller does, and what it is refused: compiles and runs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};

use execmem::{Engine, Error, Extent, Hooked, Hooks, Kind, kinds::Text};
use execmem_arch_x86::TABLE;
use execmem_linux::{Linux, Options};
use execmem_sim::Sim;

/// `mov eax, 42; ret`
const CODE: [u8; 6] = [0xb8, 42, 0, 0, 0, 0xc3];

fn main() {
    on_memory_of_this_process();
    on_a_simulated_machine();
    a_handle_fits_no_other_engine();
    what_is_executed_changes_by_whole_stores();
    an_engine_prints_nothing_of_its_memory();
    a_panic_of_the_caller_frees_nothing_twice();
    println!("control: ok");
}

fn engine() -> Engine<Linux> {
    let linux = Linux::reserve(&Options::default()).expect("memory");
    Engine::new(linux.table().expect("a table"), linux).expect("memory")
}

fn on_memory_of_this_process() {
    let engine = engine();
    let mut draft = engine.alloc::<Text>(CODE.len() as u64).expect("room");
    engine.write(&mut draft, 0, &CODE).expect("a draft");
    let live = engine.publish(draft).expect("memory");
    let mut found = [0; CODE.len()];
    engine.read_at(live.address(), &mut found).expect("live");
    assert_eq!(found, CODE);
    assert!(engine.facts().window().covers(live.extent()));
    engine.free(live).expect("ours");
    engine.audit_unused().expect("freed code traps");
}

fn on_a_simulated_machine() {
    let sim = Sim::new(TABLE.machine());
    let control = sim.control();
    let engine = Engine::new(TABLE, sim).expect("memory");
    let live = engine.publish(engine.alloc::<Text>(64).expect("room")).expect("memory");
    assert!(control.store(live.address(), &[0]).is_err(), "no program writes to text");
    assert_eq!(control.wx_bytes(), 0);
    engine.free(live).expect("ours");
    engine.shrink();
    assert!(control.leaves().is_empty());
}

fn a_handle_fits_no_other_engine() {
    let (first, second) = (engine(), engine());
    let draft = first.alloc::<Text>(64).expect("room");
    let refused = second.free(draft).expect_err("it is the other's");
    assert!(matches!(refused.error, Error::ForeignHandle { .. }));
    let draft = refused.handle;
    drop(first);
    let third = engine();
    let refused = third.free(draft).expect_err("its engine is gone, and no other takes its number");
    assert!(matches!(refused.error, Error::ForeignHandle { .. }));
}

fn what_is_executed_changes_by_whole_stores() {
    let engine = engine();
    let live = engine.publish(engine.alloc::<Text>(64).expect("room")).expect("memory");
    assert!(matches!(engine.patch(&live, 0, &[0x90; 20]), Err(Error::NotWhole { len: 20, .. })));
    assert!(matches!(engine.patch_literal(&live, 4, &[0x90; 8]), Err(Error::NotWhole { len: 8, .. })));
    assert!(matches!(engine.patch_unexecuted(&live, 60, &[0x90; 20]), Err(Error::OutOfBounds { .. })));
    engine.free(live).expect("ours");
}

fn an_engine_prints_nothing_of_its_memory() {
    let engine = engine();
    let _live = engine.publish(engine.alloc::<Text>(64).expect("room")).expect("memory");
    assert!(!format!("{engine:?}").contains("0x"), "{engine:?}");
    let printed = format!("{:?}", engine.facts());
    let areas = execmem_linux::proc::mappings().expect("proc");
    for area in areas.iter().filter(|area| area.is_writable) {
        let start = format!("{:x}", area.extent.start());
        assert!(!printed.contains(&start), "{printed} names the writable {start}");
    }
}

/// Frees until one panics.
struct Defect(AtomicU32);

impl Hooks<Kind> for Defect {
    fn freed(&self, _: Kind, _: Extent) {
        assert_ne!(self.0.fetch_sub(1, Ordering::Relaxed), 0, "a defect of the caller");
    }
}

fn a_panic_of_the_caller_frees_nothing_twice() {
    let defect = Defect(AtomicU32::new(u32::MAX));
    let engine = Engine::new(TABLE, Hooked { memory: Sim::new(TABLE.machine()), hooks: &defect }).expect("memory");
    let publish = |_| engine.publish(engine.alloc::<Text>(64).expect("room")).expect("memory");
    let mut group: Vec<_> = (0..20).map(publish).collect();
    defect.0.store(10, Ordering::Relaxed);
    std::panic::set_hook(Box::new(|_| ()));
    assert!(catch_unwind(AssertUnwindSafe(|| engine.free_group(&mut group))).is_err());
    let _ = std::panic::take_hook();
    defect.0.store(u32::MAX, Ordering::Relaxed);
    let lost = engine.kind_stats(Kind::Text).live - group.len() as u64;
    engine.free_group(&mut group).expect("ours");
    engine.audit().expect("every handle was freed once or not at all");
    assert!((1..=8).contains(&lost) && engine.kind_stats(Kind::Text).live == lost, "what went with the panic");
}
