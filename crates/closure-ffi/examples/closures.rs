//! What 100,000 closures cost in closure-ffi's default memory and in this crate's.
//!
//! `cargo run --release --example closures` makes and drops them, with one allocator and the other by turns, and prints medians
//! of the processor's time.
#![expect(unsafe_code, reason = "calls the closures it makes")]
#![allow(clippy::print_stdout, reason = "an example talks to a terminal")]

use std::process::Command;

use closure_ffi::jit_alloc::GlobalJitAlloc;
use closure_ffi::{BareFn, JitAlloc};
use execmem_closure_ffi::ThunkMemory;
use execmem_linux::proc;
use rustix::time::{ClockId, clock_gettime};

type Closure<J> = BareFn<'static, unsafe extern "C" fn(usize) -> usize, J>;
type AnyResult<T> = Result<T, Box<dyn std::error::Error>>;

const CLOSURES: usize = 100_000;
const ROUNDS: usize = 15;

/// In which order closures are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    FirstFirst,
    LastFirst,
}

/// Nanoseconds a closure.
#[derive(Debug, Clone, Copy)]
struct Times {
    make: f64,
    drop: f64,
}

impl Times {
    const fn both(self) -> f64 {
        self.make + self.drop
    }
}

/// Closures with a value each, in memory of an allocator.
fn make<J: JitAlloc + Copy>(jit: J, count: usize) -> AnyResult<Vec<Closure<J>>> {
    let mut closures = Vec::with_capacity(count);
    for value in 0..count {
        let closure = BareFn::try_with_cc_in(closure_ffi::cc::C, move |number: usize| number + value, jit);
        closures.push(closure.map_err(|_| "an allocator refused")?);
    }
    Ok(closures)
}

/// Whether each closure gives its own answer.
fn all_answer<J: JitAlloc>(closures: &[Closure<J>]) -> bool {
    // SAFETY: a function of one integer, which lives as long as its closure.
    closures.iter().enumerate().all(|(value, closure)| unsafe { closure.bare()(1) } == value + 1)
}

/// Processor time of this thread in nanoseconds: other processes do not count.
fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn measure<J: JitAlloc + Copy>(jit: J, count: usize, order: Order) -> AnyResult<Times> {
    let each = |start: f64| (cpu_ns() - start) / count as f64;
    let start = cpu_ns();
    let mut closures = make(jit, count)?;
    let make = each(start);
    assert!(all_answer(&closures), "a wrong answer");
    if order == Order::LastFirst {
        closures.reverse();
    }
    let start = cpu_ns();
    drop(closures);
    Ok(Times { make, drop: each(start) })
}

/// Mappings and bytes of memory of this process, the heap with them.
fn memory_now() -> AnyResult<[u64; 2]> {
    let areas = proc::areas()?;
    Ok([areas.len() as u64, areas.iter().map(|area| area.proportional_bytes).sum()])
}

/// What live closures add: mappings and bytes.
fn added<J: JitAlloc + Copy>(jit: J, count: usize) -> AnyResult<[u64; 2]> {
    let before = memory_now()?;
    let closures = make(jit, count)?;
    let after = memory_now()?;
    assert!(all_answer(&closures), "a wrong answer");
    Ok([after[0].saturating_sub(before[0]), after[1].saturating_sub(before[1])])
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn print(name: &str, times: &[Times]) {
    let by = |part: fn(&Times) -> f64| median(times.iter().map(part).collect());
    let (make, drop, both) = (by(|times| times.make), by(|times| times.drop), by(|times| times.both()));
    println!("  {name}: make {make:.0} ns, drop {drop:.0} ns, both {both:.0} ns");
}

/// Makes and drops by turns.
fn compare(memory: ThunkMemory, order: Order) -> AnyResult<()> {
    let (mut default, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        default.push(measure(GlobalJitAlloc, CLOSURES, order)?);
        ours.push(measure(memory, CLOSURES, order)?);
    }
    println!("dropped {order:?}");
    print("default", &default);
    print("execmem", &ours);
    let ratios = default.iter().zip(&ours).map(|(default, ours)| ours.both() / default.both());
    println!("  make and drop: {:.2} times the default's", median(ratios.collect()));
    Ok(())
}

/// Memory is measured in a process of its own for each allocator.
fn added_in_process(name: &str) -> AnyResult<[u64; 2]> {
    let output = Command::new(std::env::current_exe()?).arg(name).output()?;
    let text = String::from_utf8(output.stdout)?;
    let (mappings, bytes) = text.trim().split_once(' ').ok_or("no figures")?;
    Ok([mappings.parse()?, bytes.parse()?])
}

fn main() -> AnyResult<()> {
    let memory = ThunkMemory::shared()?;
    if let Some(name) = std::env::args().nth(1) {
        let [mappings, bytes] =
            if name == "default" { added(GlobalJitAlloc, CLOSURES)? } else { added(memory, CLOSURES)? };
        println!("{mappings} {bytes}");
        return Ok(());
    }
    compare(memory, Order::FirstFirst)?;
    compare(memory, Order::LastFirst)?;
    for name in ["default", "execmem"] {
        let [mappings, bytes] = added_in_process(name)?;
        println!("{name}: {mappings} mappings and {} KiB more while all are live", bytes >> 10);
    }
    Ok(())
}

#[test]
fn both_answer() {
    let memory = ThunkMemory::shared().expect("executable memory");
    for order in [Order::FirstFirst, Order::LastFirst] {
        measure(GlobalJitAlloc, 1000, order).expect("closures");
        measure(memory, 1000, order).expect("closures");
    }
    assert_eq!(memory.count(), 0);
}
