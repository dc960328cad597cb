//! A module that a compiler made, traced, probed and replaced while two threads call its functions, then unloaded; one that
//! patches another.

use std::cell::Cell;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use execmem::Engine;
use execmem_clients::bpf::{Bpf, Options, Trampoline, TrampolineSite};
use execmem_clients::ftrace::Ftrace;
use execmem_clients::kprobe::{Kprobes, SlotFormat, x86};
use execmem_clients::module::{Lease, Modules, prepare_sites};
use execmem_clients::patch::{Change, Sites, replace_at};
use execmem_clients::site::CodeSite as _;
use execmem_linux::Linux;
use execmem_tests::livepatch::{LateList, patching};
use object::elf::R_X86_64_PLT32;
use object::write::{Object, StandardSection, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SymbolFlags, SymbolKind, SymbolScope};

use super::support::{HITS, Traps, check_empty, engine, install, pin, run, stress_time};

skip::tests! {
    stress_functions_of_a_module_are_traced_probed_and_replaced_while_others_call_them
        a_module_that_patches_another_calls_what_is_loaded
}

/// Functions with room for a tracer. What is probed is their first instruction behind it.
const SOURCE: &str = r#"
#define PLAIN __attribute__((noinline, noipa))
static volatile unsigned calls;
PLAIN unsigned twice(unsigned x) { return x * 2 + 1; }
PLAIN unsigned thrice(unsigned x) { return x * 3 + 1; }
PLAIN unsigned other_twice(unsigned x) { return x + x + 1; }
PLAIN unsigned square(unsigned x) { return x * x + 1; }
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
fn probe(lease: &Lease<'_, &Engine<Linux>>, kprobes: &Kprobes<&Engine<Linux>>, place: u64) {
    let mut code = [0; 15];
    lease.read(place, &mut code).expect("a module's");
    let traps = Traps::new();
    let mut probe =
        kprobes.place(lease, &traps, place, |slot| Ok(x86::copy(place, &code, slot)?.code)).expect("an instruction");
    for _ in 0..50 {
        std::hint::spin_loop();
    }
    kprobes.remove(lease, &traps, &mut probe).expect("it stands");
}

/// A program at the start of a function: `push rax; mov rax, counter; lock inc qword [rax]; pop rax; ret`.
fn counting(counter: &AtomicU64) -> Vec<u8> {
    let address = (counter.as_ptr().addr() as u64).to_le_bytes();
    [&[0x50, 0x48, 0xb8][..], &address, &[0xf0, 0x48, 0xff, 0x00, 0x58, 0xc3]].concat()
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
    assert_eq!(listed.into_inner().len(), 5);
}

/// Calls three functions until it ends, and counts the rounds.
fn call(processor: usize, [twice, thrice, square]: [u64; 3], rounds: &AtomicU64, ends: &AtomicBool) {
    pin(processor);
    while !ends.load(Ordering::Relaxed) {
        let x = rounds.fetch_add(1, Ordering::SeqCst) & 0xffff;
        assert_eq!(run(twice, [x, 0, 0, 0]) & 0xffff_ffff, x * 2 + 1);
        assert_eq!(run(thrice, [x, 0, 0, 0]) & 0xffff_ffff, x * 3 + 1);
        assert_eq!(run(square, [x, 0, 0, 0]) & 0xffff_ffff, (x * x + 1) & 0xffff_ffff);
    }
}

fn stress_functions_of_a_module_are_traced_probed_and_replaced_while_others_call_them() {
    let data = compile();
    let engine = engine();
    let modules: Set<'_> = Modules::new(&engine).expect("rules");
    load(&modules, &data);
    let lease = modules.lease("traced").expect("loaded");
    let symbol = |name: &str| lease.with(|module| module.names().symbol(name)).expect("held").expect(name);
    let [twice, thrice, other, square] = ["twice", "thrice", "other_twice", "square"].map(symbol);
    let ftrace = Ftrace::new(&engine, Traps::new(), u64::MAX).expect("rows");
    let kprobes =
        Kprobes::new(&engine, SlotFormat::of(engine.table().machine().instructions.isa).expect("a row"), u64::MAX);
    let rules = Sites::of(engine.table().machine()).expect("a row");
    let bpf = Bpf::new(&engine, Options { limit: u64::MAX, seed: 7, flush_predictors: || () });
    let (tracer, count, programs) = (install(&engine, TRACER), AtomicU64::new(0), AtomicU64::new(0));
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
            scope.spawn(move || call(number, [twice, thrice, square], rounds, ends));
        }
        let mut changes = 0_u64;
        while Instant::now() < end {
            ftrace.enable_at(ops, &lease, thrice).expect("a site");
            let jump = rules.jump(twice, other).expect("near");
            let change = |old, new| Change { address: twice, old, new, resume: twice + rules.len() };
            replace_at(&lease, &rules, &Traps::new(), &change(rules.nop(), jump)).expect("a site");
            probe(&lease, &kprobes, thrice + rules.len());
            let site = TrampolineSite { code: &lease, breakpoints: &Traps::new(), address: square };
            let (mut trampoline, code) = (Trampoline::new(), counting(&programs));
            for _ in 0..2 {
                let attached =
                    bpf.attach_trampoline(&mut trampoline, &site, code.len() as u64, |_| Ok(code.clone()), grace);
                attached.expect("a site");
            }
            bpf.detach_trampoline(&mut trampoline, &site, grace).expect("attached");
            replace_at(&lease, &rules, &Traps::new(), &change(jump, rules.nop())).expect("a jump");
            ftrace.disable_at(ops, &lease, thrice).expect("enabled");
            kprobes.collect(grace);
            changes += 9;
        }
        assert!(modules.unload("traced").is_err(), "it is leased");
        ends.store(true, Ordering::SeqCst);
        changes
    });
    let calls = rounds.iter().map(|rounds| rounds.load(Ordering::SeqCst)).sum::<u64>();
    println!(
        "{changes} changes, {calls} calls, {} traced, {} programs, {} breakpoints",
        count.load(Ordering::SeqCst),
        programs.load(Ordering::SeqCst),
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

/// An object with one function, and symbols of others.
fn object(function: &str, code: &[u8], symbols: &[&str]) -> Object<'static> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let text = object.section_id(StandardSection::Text);
    let mut symbol = |name: &str| {
        object.add_symbol(Symbol {
            name: name.into(),
            value: 0,
            size: 0,
            kind: SymbolKind::Text,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Undefined,
            flags: SymbolFlags::None,
        })
    };
    symbols.iter().for_each(|name| {
        symbol(name);
    });
    let defined = symbol(function);
    object.add_symbol_data(defined, text, code, 16);
    object
}

/// The function that patches jumps to one of an object that comes and goes, twice in a row, with another one each time.
fn a_module_that_patches_another_calls_what_is_loaded() {
    let engine = engine();
    let modules: Set<'_> = Modules::new(&engine).expect("rules");
    let load = |name: &str, data: &[u8]| modules.load(name, data, &|_: &str| None, |_| Ok(())).expect(name);
    let relocations = &[(1, ".klp.sym.target.helper,1", -4, R_X86_64_PLT32)];
    let list = LateList { object: "target", section: ".text", relocations };
    // jmp helper
    load("fix", &patching(object("fixed", &[0xe9, 0, 0, 0, 0], &[".klp.sym.target.helper,1"]), &[list]));
    let fixed = modules.with("fix", |module| module.names().symbol("fixed")).expect("loaded").expect("a symbol");
    for (round, added) in [(1, 5_u8), (2, 7)] {
        // lea eax, [rdi + added]; ret
        load("target", &object("helper", &[0x8d, 0x47, added, 0xc3], &[]).write().expect("an object"));
        assert_eq!(run(fixed, [100, 0, 0, 0]) & 0xffff_ffff, 100 + u64::from(added), "round {round}");
        modules.unload("target").expect("nothing holds it");
        let mut code = [0; 5];
        engine.read_at(fixed, &mut code).expect("live");
        assert_eq!(code, [0xe9, 0, 0, 0, 0], "round {round}");
    }
    modules.unload_all();
    check_empty(&engine);
}
