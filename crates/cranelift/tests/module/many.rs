//! Many functions: freed together, and one after the other for long.
#![expect(clippy::print_stdout, reason = "tells what was measured, with `--nocapture`")]

use std::process::Command;
use std::time::{Duration, Instant};

use cranelift_codegen::binemit::Reloc;
use cranelift_module::{FuncId, Module as _, ModuleReloc, ModuleRelocTarget};
use execmem::Kind;
use execmem_cranelift::{CodeModule, Error};

use crate::generator::signature;
use crate::life::{adds, module, run};

skip::tests! {
    many_functions_that_call_each_other_are_freed_in_linear_time
    what_is_named_twice_does_not_count_twice
    functions_that_come_and_go_leave_the_process_as_it_was
}

/// Functions of which each calls the one before.
fn chain(module: &mut CodeModule, len: usize) -> Vec<FuncId> {
    let signature = signature(module);
    let mut ids: Vec<FuncId> = Vec::with_capacity(len);
    for _ in 0..len {
        let id = module.declare_anonymous_function(&signature).expect("declared");
        let relocs = ids.last().map(|before| {
            let name = ModuleRelocTarget::user(0, before.as_u32());
            ModuleReloc { offset: 8, kind: Reloc::Abs8, name, addend: 0 }
        });
        // A function that does nothing, and an address behind it.
        let bytes = [0xc3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        module.define_function_bytes(id, 16, &bytes, relocs.as_slice()).expect("defined");
        ids.push(id);
    }
    ids
}

fn many_functions_that_call_each_other_are_freed_in_linear_time() {
    let mut module = module();
    let ids = chain(&mut module, 20_000);
    let start = Instant::now();
    module.finalize_definitions().expect("defined");
    let finalized = start.elapsed();
    assert!(ids.iter().all(|id| module.address(*id).is_some()));
    let start = Instant::now();
    module.free_functions(&ids).expect("all of them");
    let freed = start.elapsed();
    println!("20,000 functions: finalized in {finalized:?}, freed in {freed:?}");
    // Tenths of a second where nothing else runs; a search of all of them for each took minutes.
    assert!(finalized + freed < Duration::from_secs(20), "{finalized:?}, {freed:?}");
    assert_eq!(module.engine().kind_stats(Kind::Text).live, 0);
}

fn what_is_named_twice_does_not_count_twice() {
    let mut module = module();
    let ids = chain(&mut module, 3);
    let refused = module.free_functions(&[ids[0], ids[1], ids[1]]);
    assert!(matches!(refused, Err(Error::StillReferenced { count: 1, .. })), "{refused:?}");
    module.free_functions(&[ids[2], ids[1], ids[1], ids[0]]).expect("all of them");
    assert_eq!(module.engine().kind_stats(Kind::Text).live, 0);
}

/// Functions that come and go: by default as many as take a second.
fn functions_that_come_and_go_leave_the_process_as_it_was() {
    alone("many::functions_that_come_and_go_leave_the_process_as_it_was", come_and_go);
}

fn come_and_go() {
    let count = std::env::var("EXECMEM_FUNCTIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(2000);
    let mut module = module();
    let keep = adds(&mut module, "keep", 0);
    let round = |module: &mut CodeModule, number: u32| {
        let id = adds(module, "comes and goes", number.into());
        module.finalize_definitions().expect("defined");
        // SAFETY: a function of two integers, which is not freed meanwhile.
        let add = unsafe { module.as_fn::<extern "C" fn(u64, u64) -> u64>(id) }.expect("finalized");
        assert_eq!(add(1, 0), u64::from(number) + 1);
        module.free_function(id).expect("nothing refers to it");
    };
    // What Cranelift, the allocator and the engine keep from their first functions on.
    (0..500).for_each(|number| round(&mut module, number));
    module.engine().shrink();
    let before = (footprint(), module.engine().stats().bytes_mapped());
    (0..count).for_each(|number| round(&mut module, number));
    module.engine().shrink();
    let after = (footprint(), module.engine().stats().bytes_mapped());
    println!("{count} functions: {before:?} mappings and KiB before, {after:?} after");
    assert_eq!((after.1, module.engine().kind_stats(Kind::Text).live), (before.1, 1));
    assert!(after.0.0 <= before.0.0 + 2, "mappings: {before:?}, {after:?}");
    assert!(after.0.1 <= before.0.1 + 1024, "memory: {before:?}, {after:?}");
    assert_eq!(run(&module, keep, 42, 0), 42);
}

/// Mappings of this process, and its resident memory in KiB.
fn footprint() -> (usize, u64) {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("/proc");
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("resident memory");
    (maps.lines().count(), resident.trim().trim_end_matches(" kB").parse().expect("a number"))
}

/// Runs a test in a process of its own, in which no other test maps memory.
fn alone(test: &str, body: fn()) {
    const ALONE: &str = "EXECMEM_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let mut command = Command::new(std::env::current_exe().expect("a test program"));
    let output = command.args(["--exact", test, "--nocapture"]).env(ALONE, "1").output().expect("a process");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().filter(|line| line.contains("before")).for_each(|line| println!("{line}"));
}
