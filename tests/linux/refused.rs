//! Every system call that memory needs is refused in turn, once and from then on: an error or another way, and what was
//! there works on. The calls are refused from outside, by tracing a child.

use std::collections::BTreeMap;

use execmem::{Engine, Error, Handle, Kind, KindTag, Live, Stage, kinds::Data, kinds::Text};
use execmem_linux::{Linux, Options, Publish, proc};

use super::code::{constant, run, ways};
use super::process::{in_a_process, start_child};

skip::tests! {
    every_system_call_that_is_refused_once_is_an_error_or_another_way
    every_system_call_that_is_refused_for_good_is_an_error_or_another_way
}

/// Calls that fail in processes, with what they fail with. Heap comes by `brk`, which is left alone; what asks for limits, in
/// rustix, takes it that `prlimit64` cannot fail.
const REFUSED: &[(&str, libc::c_long, i32)] = &[
    ("mmap", libc::SYS_mmap, libc::ENOMEM),
    ("munmap", libc::SYS_munmap, libc::ENOMEM),
    ("mprotect", libc::SYS_mprotect, libc::EACCES),
    ("mremap", libc::SYS_mremap, libc::ENOMEM),
    ("madvise", libc::SYS_madvise, libc::EINVAL),
    ("memfd_create", libc::SYS_memfd_create, libc::EMFILE),
    ("ftruncate", libc::SYS_ftruncate, libc::EFBIG),
    ("fallocate", libc::SYS_fallocate, libc::ENOSPC),
    ("openat", libc::SYS_openat, libc::EMFILE),
    ("pwrite64", libc::SYS_pwrite64, libc::EIO),
    ("pread64", libc::SYS_pread64, libc::EIO),
    ("read", libc::SYS_read, libc::EIO),
    ("membarrier", libc::SYS_membarrier, libc::EPERM),
    ("mlock2", libc::SYS_mlock2, libc::ENOMEM),
    ("mbind", libc::SYS_mbind, libc::EPERM),
    ("fcntl", libc::SYS_fcntl, libc::EPERM),
    ("getrandom", libc::SYS_getrandom, libc::ENOSYS),
    ("prctl", libc::SYS_prctl, libc::EINVAL),
];

/// Which calls are refused: the n-th, or all from the n-th on.
#[derive(Debug, Clone, Copy)]
enum Refuse {
    Once(u64),
    From(u64),
}

impl Refuse {
    const fn is_refused(self, number: u64) -> bool {
        match self {
            Refuse::Once(nth) => number == nth,
            Refuse::From(nth) => number >= nth,
        }
    }
}

/// Set, every call is refused in turn, which takes minutes; else about as many as [`SAMPLE`] of each name in each life.
const EVERY: &str = "EXECMEM_EVERY_CALL";
const SAMPLE: usize = 4;

/// What came of a life under refusals.
struct Outcome {
    /// The calls it made that can be refused.
    calls: Vec<&'static str>,
    /// Exit status. `None`: a signal ended it.
    status: Option<i32>,
    /// The first call that was refused. `None`: it made fewer.
    refused: Option<&'static str>,
}

fn every_system_call_that_is_refused_once_is_an_error_or_another_way() {
    refuse_each("refused::every_system_call_that_is_refused_once_is_an_error_or_another_way", Refuse::Once);
}

fn every_system_call_that_is_refused_for_good_is_an_error_or_another_way() {
    refuse_each("refused::every_system_call_that_is_refused_for_good_is_an_error_or_another_way", Refuse::From);
}

fn refuse_each(name: &str, plan: fn(u64) -> Refuse) {
    in_a_process(name, || {
        for publish in ways() {
            let calls = under(Refuse::From(u64::MAX), || life(publish, true)).calls;
            let chosen = chosen(&calls);
            println!("{publish:?}: {} of {} calls are refused", chosen.len(), calls.len());
            let mut refused: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
            for nth in chosen {
                let outcome = under(plan(nth), || life(publish, matches!(plan(0), Refuse::Once(_))));
                let Some(call) = outcome.refused else { break };
                let (failed, went_on) = refused.entry(call).or_default();
                match outcome.status {
                    Some(WENT_ON) => *went_on += 1,
                    Some(FAILED) => *failed += 1,
                    status => panic!("{publish:?}: {:?}, {call}: {status:?}", plan(nth)),
                }
            }
            assert!(refused.len() > 3, "{publish:?}: {refused:?} is no life");
            for (call, (failed, went_on)) in refused {
                println!("{publish:?} {call:14} refused: {failed:3} times an error, {went_on:3} times another way");
            }
        }
    });
}

/// The numbers of the calls that are refused.
fn chosen(calls: &[&'static str]) -> Vec<u64> {
    let most = if std::env::var_os(EVERY).is_some() { usize::MAX } else { SAMPLE };
    let mut chosen = Vec::new();
    for (name, ..) in REFUSED {
        let places: Vec<_> = (0..).zip(calls).filter_map(|(nth, call)| (call == name).then_some(nth)).collect();
        chosen.extend(places.iter().step_by(places.len().div_ceil(most).max(1)));
    }
    chosen.sort_unstable();
    chosen
}

/// Exit statuses of a life: all operations worked, or some were refused.
const WENT_ON: i32 = 0;
const FAILED: i32 = 3;

/// Makes an engine, and functions and data in it, changes and frees them. Whatever is refused, what was published works,
/// and if it was a single call, nothing stays.
fn life(publish: Publish, is_once: bool) -> i32 {
    let options = Options::default().publish(publish).window(32 << 20);
    let Ok(linux) = Linux::reserve(&options) else { return FAILED };
    let Ok(table) = linux.table() else { return FAILED };
    let Ok(engine) = Engine::new(table, linux) else { return FAILED };
    let mut failures = 0;
    let mut functions = Vec::new();
    for (value, len) in [(42, 64), (43, 9000), (44, 3 << 20), (45, 64)] {
        match install(&engine, value, len) {
            Ok(function) => functions.push((value, function)),
            Err(_) => failures += 1,
        }
        functions.iter().for_each(|(value, function)| assert_eq!(run(function), *value));
    }
    if let Some((value, function)) = functions.first_mut() {
        match engine.patch_unexecuted(function, 0, &constant(7, 0)) {
            Ok(()) => *value = 7,
            Err(_) => failures += 1,
        }
        // Where putting the old bytes back is refused too, they are not back.
        if is_once {
            assert_eq!(run(function), *value, "old or new");
        }
    }
    failures += i32::from(data(&engine).is_err());
    engine.audit().expect("audit");
    for (value, function) in functions {
        assert!(!is_once || run(&function) == value);
        free(&engine, function);
    }
    engine.maintain();
    engine.shrink();
    engine.maintain();
    engine.audit().expect("audit");
    let stats = engine.stats();
    let withheld: u64 = stats.pools().map(|(_, pool)| pool.bytes_withheld).sum();
    let lost: u64 = stats.pools().map(|(_, pool)| pool.counters.lost_bytes).sum();
    engine.shrink();
    assert!(!is_once || withheld == 0 && (engine.stats().bytes_mapped() == 0 || lost > 0), "{withheld}, {lost}");
    let window = engine.facts().window();
    drop(engine);
    if is_once && lost == 0 {
        // What was refused may have been this look itself.
        let left =
            proc::mappings().map_or(0, |mappings| mappings.iter().filter(|area| window.overlaps(area.extent)).count());
        failures += i32::from(left > 0);
    }
    if failures == 0 { WENT_ON } else { FAILED }
}

fn install(engine: &Engine<Linux>, value: u32, len: usize) -> Result<Live<Text>, Error> {
    let mut draft = engine.alloc::<Text>(len as u64)?;
    if let Err(error) = engine.write(&mut draft, 0, &constant(value, 0)) {
        free(engine, draft);
        return Err(error);
    }
    engine.publish(draft).map_err(|failed| {
        free(engine, failed.handle);
        failed.error
    })
}

fn data(engine: &Engine<Linux>) -> Result<(), Error> {
    let draft = engine.alloc::<Data>(5000)?;
    let published = engine.publish(draft).map_err(|failed| {
        free(engine, failed.handle);
        failed.error
    });
    published.map(|live| free(engine, live))
}

/// Frees a handle: memory that refuses is withheld, and no error.
fn free<T: Stage, K: KindTag<Set = Kind>>(engine: &Engine<Linux>, handle: Handle<T, K>) {
    engine.free(handle).map_err(|failed| failed.error).expect("a free that memory cannot refuse");
}

/// Runs a body in a child whose system calls are refused by a plan.
fn under(plan: Refuse, body: impl FnOnce() -> i32) -> Outcome {
    let child = start_child(|| {
        // SAFETY: takes no pointers; the parent traces from now on.
        unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
        // SAFETY: stops this process until the parent lets it go on.
        unsafe { libc::raise(libc::SIGSTOP) };
        body()
    });
    wait(child);
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
    // SAFETY: the child is stopped; options are no pointer.
    unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, child, 0, options) };
    let (mut calls, mut refused, mut is_inside) = (Vec::new(), None, false);
    let mut answer: Option<i32> = None;
    let mut signal = 0;
    loop {
        // SAFETY: the child is stopped; the signal is no pointer.
        unsafe { libc::ptrace(libc::PTRACE_SYSCALL, child, 0, signal) };
        let status = wait(child);
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            if libc::WIFSIGNALED(status) {
                println!("ended by signal {}", libc::WTERMSIG(status));
            }
            return Outcome { status: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)), refused, calls };
        }
        signal = if libc::WSTOPSIG(status) == libc::SIGTRAP | 0x80 { 0 } else { libc::WSTOPSIG(status) };
        if signal != 0 {
            continue;
        }
        is_inside = !is_inside;
        match answer.take() {
            Some(errno) if !is_inside => set(child, |registers| registers.rax = i64::from(-errno).cast_unsigned()),
            _ => {}
        }
        let call = registers(child).orig_rax.cast_signed();
        let Some((name, _, errno)) = REFUSED.iter().find(|(_, number, _)| is_inside && *number == call) else {
            continue;
        };
        if plan.is_refused(calls.len() as u64) {
            refused = refused.or(Some(*name));
            answer = Some(*errno);
            // No call has this number, so nothing happens.
            set(child, |registers| registers.orig_rax = u64::MAX);
        }
        calls.push(name);
    }
}

fn wait(child: libc::pid_t) -> libc::c_int {
    let mut status = 0;
    // SAFETY: waitpid(2) writes one int, which `status` is.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child);
    status
}

fn registers(child: libc::pid_t) -> libc::user_regs_struct {
    // SAFETY: all zeroes are registers.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    // SAFETY: the child is stopped, and the call fills the structure.
    let outcome = unsafe { libc::ptrace(libc::PTRACE_GETREGS, child, 0, &raw mut registers) };
    assert_eq!(outcome, 0);
    registers
}

fn set(child: libc::pid_t, change: impl FnOnce(&mut libc::user_regs_struct)) {
    let mut registers = registers(child);
    change(&mut registers);
    // SAFETY: the child is stopped, and the structure was filled by the kernel.
    let outcome = unsafe { libc::ptrace(libc::PTRACE_SETREGS, child, 0, &raw const registers) };
    assert_eq!(outcome, 0);
}
