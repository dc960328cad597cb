//! Real memory, code in it, and a `SIGTRAP` handler that sends processors on past a site that is patched.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use execmem::kinds::Text;
use execmem::{Engine, Live};
use execmem_clients::patch::Breakpoints;
use execmem_linux::{Linux, Options, call};
use rustix::thread::{CpuSet, sched_setaffinity};

/// An engine over memory of this process.
pub(crate) fn engine() -> Engine<Linux> {
    let linux = Linux::reserve(&Options::default()).expect("executable memory");
    let table = linux.table().expect("a table");
    Engine::new(table, linux).expect("memory")
}

/// Publishes code.
pub(crate) fn install(engine: &Engine<Linux>, code: &[u8]) -> Live<Text> {
    let mut draft = engine.alloc::<Text>(code.len() as u64).expect("room");
    engine.write(&mut draft, 0, code).expect("a draft");
    engine.publish(draft).expect("memory")
}

/// Calls a function that a test of this folder generated.
pub(crate) fn run(address: u64, arguments: [u64; 4]) -> u64 {
    // SAFETY: the tests pass addresses of complete functions of the C ABI that they wrote or compiled, and published,
    // whose only effects are on registers and on memory that the tests own, and which are not freed before they return.
    // A compiled program was interpreted before with the same input, and no access of it was out of bounds.
    unsafe { call(address, arguments) }
}

/// Checks that nothing is left.
pub(crate) fn check_empty(engine: &Engine<Linux>) {
    engine.audit_unused().expect("freed code traps");
    engine.shrink();
    engine.audit().expect("audit");
    assert_eq!(engine.stats().bytes_mapped(), 0);
}

/// How long a test changes code while others execute it: `EXECMEM_STRESS_SECONDS`, or a moment.
pub(crate) fn stress_time() -> Duration {
    let seconds = std::env::var("EXECMEM_STRESS_SECONDS").ok().and_then(|text| text.parse().ok());
    seconds.map_or(Duration::from_millis(300), Duration::from_secs)
}

/// Keeps this thread on one processor, so that two threads of a stress test run at the same time. Best effort.
pub(crate) fn pin(processor: usize) {
    let mut own = CpuSet::new();
    own.set(processor % 64);
    let _ = sched_setaffinity(None, &own);
}

const SITES: usize = 8;
/// Sites with a breakpoint, and where each goes on. Zero is free.
static ARMED: [(AtomicU64, AtomicU64); SITES] = [const { (AtomicU64::new(0), AtomicU64::new(0)) }; SITES];
/// Breakpoints that were hit.
pub(crate) static HITS: AtomicU64 = AtomicU64::new(0);

/// Breakpoints of this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traps(());

impl Traps {
    pub(crate) fn new() -> Self {
        static INSTALL: Once = Once::new();
        INSTALL.call_once(|| {
            let handler = handle as extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);
            // SAFETY: all zero is a valid `sigaction`: no flags, an empty mask, the default action.
            let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
            action.sa_sigaction = handler as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            // SAFETY: the handler has the type that SA_SIGINFO asks for and does only what is allowed in a signal
            // handler: atomic accesses and a write to the context it was given.
            let outcome = unsafe { libc::sigaction(libc::SIGTRAP, &raw const action, std::ptr::null_mut()) };
            assert_eq!(outcome, 0);
        });
        Traps(())
    }
}

impl Breakpoints for Traps {
    fn arm(&self, site: u64, resume: u64) {
        let free = ARMED
            .iter()
            .find(|(armed, _)| armed.compare_exchange(0, u64::MAX, Ordering::SeqCst, Ordering::SeqCst).is_ok());
        let (armed, goes_on) = free.expect("a free site");
        goes_on.store(resume, Ordering::SeqCst);
        armed.store(site, Ordering::SeqCst);
    }

    fn disarm(&self, site: u64) {
        // A thread that hit the breakpoint before it was replaced may not have been handled yet. Its handler finds the site
        // free, and the instruction replaced, and executes it again.
        ARMED.iter().filter(|(armed, _)| armed.load(Ordering::SeqCst) == site).for_each(|(armed, _)| {
            armed.store(0, Ordering::SeqCst);
        });
    }
}

/// Sends the thread on that hit a breakpoint of ours.
extern "C" fn handle(_signal: i32, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the third argument points to the `ucontext_t` of the interrupted thread (sigaction(2)),
    // which no other code accesses while the handler runs.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let counter = &mut context.uc_mcontext.gregs[libc::REG_RIP as usize];
    let site = counter.cast_unsigned() - 1;
    // A slot may be disarmed and armed for another site meanwhile, so what it says counts only if it is still of this one.
    let resume_of = |(armed, goes_on): &(AtomicU64, AtomicU64)| {
        let is_armed = || armed.load(Ordering::SeqCst) == site;
        is_armed().then(|| goes_on.load(Ordering::SeqCst)).filter(|_| is_armed())
    };
    let resume = ARMED.iter().find_map(resume_of).unwrap_or(site);
    HITS.fetch_add(1, Ordering::SeqCst);
    *counter = resume.cast_signed();
}
