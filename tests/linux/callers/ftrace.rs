//! Tracers that are called from sites which change while others execute them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use execmem_clients::ftrace::Ftrace;

use super::support::{HITS, Traps, check_empty, engine, install, pin, run, stress_time};

skip::tests! {
    tracers_learn_site_caller_and_data_and_disturb_nothing
    stress_sites_change_while_another_thread_executes_them
}

/// A site, then `lea eax, [rdi + 7]; ret`, and the same site again at an odd address across a cache line.
fn traced(nop: &[u8]) -> Vec<u8> {
    let mut code = nop.to_vec();
    code.extend([0x8d, 0x47, 7, 0xc3]);
    code.resize(61, 0xcc);
    code.extend(nop);
    code.extend([0x8d, 0x47, 7, 0xc3]);
    code
}

const CROSSING_SITE: u64 = 61;

/// A tracer: `lock inc qword [rdx]`, clobbers every register that a call may, `ret`.
const TRACER: &[u8] = &[
    0xf0, 0x48, 0xff, 0x02, 0x31, 0xc0, 0x31, 0xc9, 0x31, 0xd2, 0x31, 0xf6, 0x31, 0xff, 0x45, 0x31, 0xc0, 0x45, 0x31,
    0xc9, 0x45, 0x31, 0xd2, 0x45, 0x31, 0xdb, 0xc3,
];

/// A tracer that keeps what it is told: `mov [rdx], rdi; mov [rdx + 8], rsi; ret`.
const KEEPER: &[u8] = &[0x48, 0x89, 0x3a, 0x48, 0x89, 0x72, 8, 0xc3];

fn tracers_learn_site_caller_and_data_and_disturb_nothing() {
    let engine = engine();
    let ftrace = Ftrace::new(&engine, Traps::new(), u64::MAX).expect("rows");
    let code = install(&engine, &traced(ftrace.nop().bytes()));
    let (tracer, keeper) = (install(&engine, TRACER), install(&engine, KEEPER));
    let (count, kept) = (AtomicU64::new(0), [const { AtomicU64::new(0) }; 2]);
    let counter = ftrace.register(tracer.address(), count.as_ptr().addr() as u64).expect("room");
    let other = ftrace.register(keeper.address(), kept[0].as_ptr().addr() as u64).expect("room");
    let call = |site: u64, argument: u64| run(code.address() + site, [argument, 0, 0, 0]) & 0xffff_ffff;
    assert_eq!((call(0, 5), count.load(Ordering::SeqCst)), (12, 0));
    ftrace.enable(counter, &code, 0).expect("a site");
    ftrace.enable(other, &code, CROSSING_SITE).expect("a site");
    for argument in 0..100 {
        assert_eq!((call(0, argument), call(CROSSING_SITE, argument)), (argument + 7, argument + 7));
    }
    assert_eq!(count.load(Ordering::SeqCst), 100);
    assert_eq!(kept[0].load(Ordering::SeqCst), code.address() + CROSSING_SITE + 5);
    assert_ne!(kept[1].load(Ordering::SeqCst), 0, "the caller");
    ftrace.disable(counter, &code, 0).expect("enabled");
    ftrace.disable(other, &code, CROSSING_SITE).expect("enabled");
    assert_eq!((call(0, 5), count.load(Ordering::SeqCst)), (12, 100));
    for ops in [counter, other] {
        ftrace.unregister(ops, || ()).expect("no sites");
    }
    for live in [code, tracer, keeper] {
        engine.free(live).expect("ours");
    }
    check_empty(&engine);
}

/// One thread calls a site that crosses a cache line, the other enables and disables it all the time.
fn stress_sites_change_while_another_thread_executes_them() {
    let engine = engine();
    let ftrace = Ftrace::new(&engine, Traps::new(), u64::MAX).expect("rows");
    let code = install(&engine, &traced(ftrace.nop().bytes()));
    let tracer = install(&engine, TRACER);
    let count = AtomicU64::new(0);
    let ops = ftrace.register(tracer.address(), count.as_ptr().addr() as u64).expect("room");
    let (ends, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    let end = Instant::now() + stress_time();
    let changes = std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(0);
            while !ends.load(Ordering::Relaxed) {
                let argument = rounds.fetch_add(1, Ordering::SeqCst) & 0xffff;
                let result = run(code.address() + CROSSING_SITE, [argument, 0, 0, 0]);
                assert_eq!(result & 0xffff_ffff, argument + 7);
            }
        });
        pin(1);
        let mut changes = 0_u64;
        while Instant::now() < end {
            ftrace.enable(ops, &code, CROSSING_SITE).expect("a site");
            // A call that begins now is traced.
            let (traced, round) = (count.load(Ordering::SeqCst), rounds.load(Ordering::SeqCst));
            if changes.is_multiple_of(64) {
                while rounds.load(Ordering::SeqCst) < round + 3 {
                    std::thread::yield_now();
                }
                assert!(count.load(Ordering::SeqCst) > traced, "enabled sites are traced");
            }
            ftrace.disable(ops, &code, CROSSING_SITE).expect("enabled");
            changes += 2;
        }
        ends.store(true, Ordering::Relaxed);
        changes
    });
    assert!(changes > 0 && count.load(Ordering::SeqCst) > 0 && rounds.load(Ordering::SeqCst) > 0);
    println!("{changes} changes, {} calls, {} breakpoints", rounds.into_inner(), HITS.load(Ordering::SeqCst));
    ftrace.unregister(ops, || ()).expect("no sites");
    for live in [code, tracer] {
        engine.free(live).expect("ours");
    }
    check_empty(&engine);
}
