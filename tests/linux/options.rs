//! Options that make memory harder to attack, or easier to debug, and what the kernel says about each.

use std::io::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use execmem::{Describe as _, Extent, Kind, kinds::Text};
use execmem_linux::{Linux, Options, Publish, proc};

use super::code::{constant, engine_of, install, run, run_at, ways};
use super::confine::can_unmap;
use super::process::{Rights, change_rights, in_a_process};

skip::tests! {
    hidden_views_have_no_rights_between_writes
    sealed_mappings_cannot_be_changed_by_anybody
    guarded_kinds_have_unmapped_memory_between_them
    a_debugger_sets_breakpoints_in_debuggable_code
    a_debugger_is_refused_breakpoints_in_other_code
    debuggable_code_is_code_of_this_process_alone
}

fn writable_views() -> usize {
    let areas = proc::mappings().expect("proc");
    areas.iter().filter(|area| area.is_writable && area.name.starts_with("/memfd:")).count()
}

fn hidden_views_have_no_rights_between_writes() {
    in_a_process("options::hidden_views_have_no_rights_between_writes", || {
        let options = Options::default().publish(Publish::Poke).without_reserved_pages();
        let open = engine_of(&options);
        let function = install(&open, 1, 64);
        assert_eq!(writable_views(), 1, "one unit, one view");
        open.free(function).expect("ours");
        drop(open);
        let engine = engine_of(&options.hidden_views());
        let functions: Vec<_> = (0..200).map(|value| install(&engine, value, 3000)).collect();
        assert_eq!(writable_views(), 0);
        engine.patch_unexecuted(&functions[0], 0, &constant(1000, 0)).expect("published");
        assert_eq!((run(&functions[0]), writable_views()), (1000, 0));
        assert!(functions[1..].iter().zip(1..).all(|(function, value)| run(function) == value));
        std::thread::scope(|scope| {
            for thread in 0..4_u32 {
                let engine = &engine;
                scope.spawn(move || {
                    for round in 0..200 {
                        let own = install(engine, thread << 16 | round, 100 + round as usize * 10);
                        assert_eq!(run(&own), thread << 16 | round);
                        engine.free(own).expect("ours");
                    }
                });
            }
        });
        functions.into_iter().for_each(|function| engine.free(function).expect("ours"));
        engine.audit_unused().expect("freed text traps");
        assert_eq!(writable_views(), 0);
    });
}

fn sealed_mappings_cannot_be_changed_by_anybody() {
    let test = "options::sealed_mappings_cannot_be_changed_by_anybody";
    in_a_process(test, || ways().filter(|way| *way != Publish::Flip).for_each(check_sealed));
}

fn check_sealed(publish: Publish) {
    let options = Options::default().publish(publish).guarded().prepare(2 << 20).window(64 << 20);
    assert!(!Linux::reserve(&options).expect("memory").facts().is_sealed(), "nothing was asked for");
    let engine = engine_of(&options.sealed());
    if !engine.facts().is_sealed() {
        return; // A kernel before 6.10.
    }
    let function = install(&engine, 42, 64);
    let window = engine.facts().window();
    let page = engine.facts().machine().page();
    for rights in [Rights::Write, Rights::Execute] {
        let refused = change_rights(page.round_down(function.address()), rights).expect_err("sealed");
        assert!([libc::EPERM, libc::EACCES].contains(&refused), "{refused}");
        assert_eq!(change_rights(window.start(), rights), Err(libc::EPERM), "the first unit is a gap");
    }
    assert!(!can_unmap(function.extent()) && !can_unmap(window.part(0, 4096).expect("a page")));
    assert_eq!(run(&function), 42);
    // It works like any other, and what is not sealed goes back at the end.
    let more: Vec<_> = (0..8).map(|value| install(&engine, value, 1 << 20)).collect();
    assert!(more.iter().zip(0..).all(|(function, value)| run(function) == value));
    more.into_iter().for_each(|function| engine.free(function).expect("ours"));
    let address = function.address();
    drop(engine);
    let areas = proc::mappings().expect("proc");
    let left: u64 = areas.iter().filter(|area| area.extent.overlaps(window)).map(|area| area.extent.len()).sum();
    assert_eq!(left, 6 << 20, "two ends and one unit of code");
    assert_eq!(run_at(address), 42);
}

fn guarded_kinds_have_unmapped_memory_between_them() {
    for publish in ways() {
        let engine = engine_of(&Options::default().window(64 << 20).publish(publish).guarded());
        let mut held = Vec::new();
        for kind in [Kind::Text, Kind::Data, Kind::RoData, Kind::RoAfterInit] {
            while let Ok(draft) = engine.alloc_kind(kind, 512 << 10) {
                held.push(engine.publish(draft).expect("memory"));
            }
        }
        let mut used: Vec<(u64, u64, Kind)> =
            held.iter().map(|live| (live.address(), live.extent().last(), live.kind())).collect();
        used.sort_unstable_by_key(|(start, _, _)| *start);
        let borders: Vec<_> = used.windows(2).filter(|pair| pair[0].2 != pair[1].2).collect();
        assert_eq!(borders.len(), 3, "each kind is in one piece");
        let areas = proc::mappings().expect("proc");
        for pair in borders {
            let gap = Extent::between(pair[0].1 + 1, pair[1].0.into()).expect("a gap");
            assert!(gap.len() >= 2 << 20, "{publish:?}: {gap}");
            let middle = gap.part(gap.len() - (1 << 20), 4096).expect("a page");
            assert!(areas.iter().filter(|area| area.extent.overlaps(middle)).all(|area| !area.is_readable));
        }
        held.into_iter().for_each(|live| engine.free(live).expect("ours"));
    }
}

/// Where the debugger finds the function.
#[unsafe(no_mangle)]
pub(crate) static EXECMEM_TEST_FUNCTION: AtomicU64 = AtomicU64::new(0);

/// The process that is debugged: it stops when its function is there, and calls it afterwards.
fn be_debugged(options: &Options) {
    let engine = engine_of(options);
    let function = install(&engine, 42, 64);
    EXECMEM_TEST_FUNCTION.store(function.address(), Ordering::Relaxed);
    // SAFETY: a signal that a debugger expects; without one the process ends.
    unsafe { libc::raise(libc::SIGTRAP) };
    assert_eq!(run(&function), 42, "whether or not there is a breakpoint");
    writeln!(std::io::stdout(), "called").expect("a pipe");
}

/// What gdb prints when it sets a breakpoint there and goes on.
fn debug(test: &str) -> Option<String> {
    let program = std::env::current_exe().expect("a test program");
    let mut gdb = Command::new("gdb");
    gdb.args(["-batch", "-nx", "-ex", "set debuginfod enabled off", "-ex", "set breakpoint pending off", "-ex", "run"]);
    gdb.args(["-ex", "break *(*(unsigned long *)&EXECMEM_TEST_FUNCTION)", "-ex", "continue"]);
    gdb.args(["-ex", "printf \"at %d\\n\", $pc == *(unsigned long *)&EXECMEM_TEST_FUNCTION", "-ex", "continue"]);
    gdb.arg("--args").arg(program).args(["--exact", test, "--nocapture", "--test-threads=1"]);
    let output = gdb.env("EXECMEM_TEST_CHILD", test).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    // A container may forbid to debug.
    (!text.contains("ptrace: Operation not permitted")).then_some(text)
}

fn a_debugger_sets_breakpoints_in_debuggable_code() {
    let test = "linux::options::a_debugger_sets_breakpoints_in_debuggable_code";
    if std::env::var("EXECMEM_TEST_CHILD").is_ok_and(|child| child == test) {
        return be_debugged(&Options::default().debuggable());
    }
    let Some(text) = debug(test) else { return };
    assert!(text.contains("at 1\n") && text.contains("called"), "{text}");
}

fn a_debugger_is_refused_breakpoints_in_other_code() {
    let test = "linux::options::a_debugger_is_refused_breakpoints_in_other_code";
    if std::env::var("EXECMEM_TEST_CHILD").is_ok_and(|child| child == test) {
        return be_debugged(&Options::default());
    }
    let Some(text) = debug(test) else { return };
    assert!(text.contains("Cannot access memory") && !text.contains("at 1\n"), "{text}");
}

fn debuggable_code_is_code_of_this_process_alone() {
    let engine = engine_of(&Options::default().debuggable());
    let is_kernel = ways().any(|way| way == Publish::ProcMem);
    let expected = if is_kernel { Publish::ProcMem } else { Publish::Flip };
    assert_eq!((engine.facts().publish(), engine.facts().refusal()), (expected, None));
    let mut draft = engine.alloc::<Text>(64).expect("room");
    engine.write(&mut draft, 0, &constant(7, 64)).expect("a draft");
    let function = engine.publish(draft).expect("memory");
    assert_eq!(run(&function), 7);
    engine.free(function).expect("ours");
}
