//! A module that a compiler made, traced, probed and replaced while two threads call its functions, then unloaded.

use std::cell::Cell;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use execmem::Engine;
use execmem_clients::ftrace::Ftrace;
use execmem_clients::kprobe::{Kprobes, SlotFormat, x86};
use execmem_clients::module::{Lease, Modules, prepare_sites};
use execmem_clients::patch::{Breakpoints as _, Change, Sites, replace_at};
use execmem_clients::site::{CodeSite as _, Probe};
use execmem_linux::Linux;

use super::support::{HITS, Traps, check_empty, engine, install, pin, run, stress_time};

skip::tests! {
    stress_functions_of_a_module_are_traced_probed_and_replaced_while_others_call_them
}

/// Functions with room for a tracer. What is probed is their first instruction behind it.
const SOURCE: &str = r#"
#define PLAIN __attribute__((noinline, noipa))
static volatile unsigned calls;
PLAIN unsigned twice(unsigned x) { return x * 2 + 1; }
PLAIN unsigned thrice(unsigned x) { return x * 3 + 1; }
PLAIN unsigned other_twice(unsigned x) { return x + x + 1; }
unsigned count(void) { return calls; }
"#;

fn compile() -> Vec<u8> {
    skip::unless(skip::tool("gcc"));
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let [source, object] = ["c", "o"].map(|end| folder.join(format!("traced-{}.{end}", std::process::id())));
    std::fs::write(&source, SOURCE).expect("the source");
    let flags = ["-c", "-O2", "-ffreestanding", "-fno-pie", "-mcmodel=large", "-fcf-protection=none"];
    let more = ["-fpatchable-function-entry=5", "-fno-asynchronous-unwind-tables", "-o"];
    let output = Command::new("gcc").args(flags).args(more).args([&object, &source]).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(&object).expect("the object")
}

/// A tracer: `lock inc qword [rdx]; ret`.
const TRACER: &[u8] = &[0xf0, 0x48, 0xff, 0x02, 0xc3];

type Set<'e> = Modules<&'e Engine<Linux>>;

/// Puts a breakpoint over the first instruction behind a site, with a slot that does its work, and takes it away.
fn probe(lease: &Lease<'_, &Engine<Linux>>, kprobes: &Kprobes<&Engine<Linux>>, place: u64, engine: &Engine<Linux>) {
    let mut code = [0; 15];
    lease.read(place, &mut code).expect("a module's");
    let slot = kprobes.insert(|slot| Ok(x86::copy(place, &code, slot)?.code)).expect("room");
    let traps = Traps::new();
    traps.arm(place, kprobes.address(slot).expect("used"));
    let mut probe = Probe::place(lease, engine.table().machine(), place).expect("an instruction");
    for _ in 0..50 {
        std::hint::spin_loop();
    }
    probe.remove(lease).expect("it stands");
    traps.disarm(place);
    kprobes.release(slot).expect("used");
}

/// Loads the module with its sites.
fn load(modules: &Set<'_>, data: &[u8]) {
    let listed = Cell::new(Vec::new());
    let loaded = modules.load_finalized(
        "traced",
        data,
        &|_: &str| None,
        |image| {
            listed.set(prepare_sites(image, 0)?);
            Ok(())
        },
        |_| Ok(()),
    );
    loaded.expect("a module");
    assert_eq!(listed.into_inner().len(), 4);
}

/// Calls two functions until it ends, and counts the rounds.
fn call(processor: usize, [twice, thrice]: [u64; 2], rounds: &AtomicU64, ends: &AtomicBool) {
    pin(processor);
    while !ends.load(Ordering::Relaxed) {
        let x = rounds.fetch_add(1, Ordering::SeqCst) & 0xffff;
        assert_eq!(run(twice, [x, 0, 0, 0]) & 0xffff_ffff, x * 2 + 1);
        assert_eq!(run(thrice, [x, 0, 0, 0]) & 0xffff_ffff, x * 3 + 1);
    }
}

fn stress_functions_of_a_module_are_traced_probed_and_replaced_while_others_call_them() {
    let data = compile();
    let engine = engine();
    let modules: Set<'_> = Modules::new(&engine).expect("rules");
    load(&modules, &data);
    let lease = modules.lease("traced").expect("loaded");
    let symbol = |name: &str| lease.with(|module| module.names().symbol(name)).expect("held").expect(name);
    let (twice, thrice, other) = (symbol("twice"), symbol("thrice"), symbol("other_twice"));
    let ftrace = Ftrace::new(&engine, Traps::new(), u64::MAX).expect("rows");
    let kprobes =
        Kprobes::new(&engine, SlotFormat::of(engine.table().machine().instructions.isa).expect("a row"), u64::MAX);
    let rules = Sites::of(engine.table().machine()).expect("a row");
    let (tracer, count) = (install(&engine, TRACER), AtomicU64::new(0));
    let ops = ftrace.register(tracer.address(), count.as_ptr().addr() as u64).expect("room");
    let (ends, rounds) = (AtomicBool::new(false), [AtomicU64::new(0), AtomicU64::new(0)]);
    let end = Instant::now() + stress_time();
    // Each thread is between two calls when it has begun another: then it is in no slot and no trampoline.
    let grace = || {
        for rounds in &rounds {
            let begun = rounds.load(Ordering::SeqCst);
            while rounds.load(Ordering::SeqCst) < begun + 2 && !ends.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        }
    };
    let changes = std::thread::scope(|scope| {
        for (number, rounds) in rounds.iter().enumerate() {
            let ends = &ends;
            scope.spawn(move || call(number, [twice, thrice], rounds, ends));
        }
        let mut changes = 0_u64;
        while Instant::now() < end {
            ftrace.enable_at(ops, &lease, thrice).expect("a site");
            let jump = rules.jump(twice, other).expect("near");
            let change = |old, new| Change { address: twice, old, new, resume: twice + rules.len() };
            replace_at(&lease, &rules, &Traps::new(), &change(rules.nop(), jump)).expect("a site");
            probe(&lease, &kprobes, thrice + rules.len(), &engine);
            replace_at(&lease, &rules, &Traps::new(), &change(jump, rules.nop())).expect("a jump");
            ftrace.disable_at(ops, &lease, thrice).expect("enabled");
            kprobes.collect(grace);
            changes += 6;
        }
        assert!(modules.unload("traced").is_err(), "it is leased");
        ends.store(true, Ordering::SeqCst);
        changes
    });
    let calls = rounds.iter().map(|rounds| rounds.load(Ordering::SeqCst)).sum::<u64>();
    println!(
        "{changes} changes, {calls} calls, {} traced, {} breakpoints",
        count.load(Ordering::SeqCst),
        HITS.load(Ordering::SeqCst)
    );
    assert!(changes > 0 && calls > 0);
    ftrace.unregister(ops, || ()).expect("no sites");
    kprobes.close(|| ());
    let mut lease = Some(lease);
    modules.unload_waiting("traced", || lease = None).expect("nothing holds it");
    engine.free(tracer).expect("ours");
    check_empty(&engine);
}
