//! Two processors: what one asks of the other by an interrupt, and work for both.

use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use execmem_types::Extent;

use super::arch;
use super::frames::SMALL;
use super::locks::Guarded;

/// Bytes of the stack of each processor.
const STACK_BYTES: usize = 1 << 16;

/// A stack.
#[derive(Debug)]
#[repr(C, align(4096))]
pub(crate) struct Stack(AtomicPtr<()>, [u8; STACK_BYTES - 8]);

/// The stacks, which the code that starts processors knows by name.
#[unsafe(no_mangle)]
static STACKS: [Stack; 2] = [const { Stack(AtomicPtr::new(core::ptr::null_mut()), [0; STACK_BYTES - 8]) }; 2];

/// The number of the processor that calls: which stack it is on.
pub(crate) fn own_number() -> usize {
    let here = 0_u8;
    usize::from(&raw const here as usize >= &raw const STACKS[1] as usize)
}

/// The stack of the processor that calls.
pub(crate) fn own_stack() -> Extent {
    Extent::new(&raw const STACKS[own_number()] as u64, STACK_BYTES as u64).expect("addresses")
}

/// What a processor is asked to do.
const NOTHING: u32 = 0;
const FLUSH: u32 = 1;
const SERIALIZE: u32 = 2;
const WAIT: u32 = 3;
const WAITING: u32 = 4;

/// What a processor is doing: something; nothing, so that it need not be interrupted; nothing, and it forgets translations and
/// instructions before it does something; nothing, until it is let go.
const BUSY: u32 = 0;
const IDLE: u32 = 1;
const OUTDATED: u32 = 2;
const HELD: u32 = 3;

static STATES: [AtomicU32; 2] = [const { AtomicU32::new(BUSY) }; 2];

/// What each processor is asked for now, and of which addresses.
static ASKED: [AtomicU32; 2] = [const { AtomicU32::new(NOTHING) }; 2];
static START: AtomicU64 = AtomicU64::new(0);
static LEN: AtomicU64 = AtomicU64::new(0);
static ASKING: Guarded<()> = Guarded::new(());
static HAS_SECOND: AtomicBool = AtomicBool::new(false);
static LOSES_FLUSHES: AtomicBool = AtomicBool::new(false);

/// With so many pages, all translations are forgotten.
const MANY_PAGES: u64 = 32;

fn flush_here(extent: Extent) {
    if extent.len() / SMALL.bytes() > MANY_PAGES {
        return arch::flush_all();
    }
    (extent.start()..=extent.last()).step_by(SMALL.bytes() as usize).for_each(arch::flush_page);
}

/// Makes every processor forget its translations of an extent. When it returns, none is left, and every stretch of code
/// that ran [without interrupts](without_interrupts) on another processor has ended or began later.
pub(crate) fn flush(extent: Extent) {
    arch::publish_entries();
    flush_here(extent);
    if !LOSES_FLUSHES.load(Ordering::Relaxed) {
        START.store(extent.start(), Ordering::Relaxed);
        LEN.store(extent.len(), Ordering::Relaxed);
        ask(FLUSH, || ());
    }
}

/// The same for all addresses.
pub(crate) fn flush_everything() {
    flush(Extent::new(0, u64::MAX).expect("addresses"));
}

/// Makes every processor forget instructions that it fetched ahead.
pub(crate) fn serialize() {
    arch::serialize();
    ask(SERIALIZE, || ());
}

/// Runs `body` while the other processor waits.
pub(crate) fn alone<T>(body: impl FnOnce() -> T) -> T {
    let mut result = None;
    without_interrupts(|| ask(WAIT, || result = Some(body())));
    result.expect("the body ran")
}

/// Loses what [`flush`] asks of the other processor, so that a test can see it missing.
pub(crate) fn lose_flushes(loses: bool) {
    LOSES_FLUSHES.store(loses, Ordering::Relaxed);
}

/// Asks the other processor for something and waits until it is done, or, for [`WAIT`], runs `body` meanwhile.
fn ask(what: u32, body: impl FnOnce()) {
    ASKING.with(|()| {
        let other = &ASKED[1 - own_number()];
        if !HAS_SECOND.load(Ordering::Acquire) {
            return body();
        }
        let state = &STATES[1 - own_number()];
        let is_idle = |old| (old != BUSY).then_some(if what == WAIT { HELD } else { OUTDATED });
        if state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, is_idle).is_ok() {
            body();
            // It cannot be busy if it was held, and if it became so meanwhile it has forgotten.
            let _ = state.compare_exchange(HELD, OUTDATED, Ordering::SeqCst, Ordering::SeqCst);
            return;
        }
        other.store(what, Ordering::Release);
        arch::interrupt_other(1 - own_number());
        if what == WAIT {
            while other.load(Ordering::Acquire) != WAITING {
                arch::pause();
            }
            body();
            other.store(NOTHING, Ordering::Release);
        }
        while other.load(Ordering::Acquire) != NOTHING {
            arch::pause();
        }
    });
}

/// Does what this processor is asked for, then lets the other go on, which an emulator that runs them in turns would not do
/// for a tenth of a second. Called by the interrupt, and by whatever waits.
pub(crate) fn answer() {
    let asked = &ASKED[own_number()];
    match asked.load(Ordering::Acquire) {
        FLUSH => {
            let extent = Extent::new(START.load(Ordering::Relaxed), LEN.load(Ordering::Relaxed));
            extent.into_iter().for_each(flush_here);
        }
        SERIALIZE => arch::serialize(),
        WAIT => {
            asked.store(WAITING, Ordering::Release);
            while asked.load(Ordering::Acquire) == WAITING {
                arch::pause();
            }
            arch::flush_all();
            return;
        }
        _ => return,
    }
    asked.store(NOTHING, Ordering::Release);
    arch::pause();
}

/// Waits a moment.
pub(crate) fn relax() {
    answer();
    arch::pause();
}

/// Runs `body` without interrupts on this processor.
pub(crate) fn without_interrupts<T>(body: impl FnOnce() -> T) -> T {
    let were_on = arch::interrupts_are_on();
    arch::set_interrupts(false);
    let result = body();
    arch::set_interrupts(were_on);
    result
}

type Work<'w> = &'w mut (dyn FnMut() + Send);

/// Work for the second processor.
static WORK: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Starts the second processor, if there is one.
pub(crate) fn start_second() {
    if arch::start_second() {
        while !HAS_SECOND.load(Ordering::Acquire) {
            arch::pause();
        }
    }
}

/// Whether there is a second processor.
pub(crate) fn has_second() -> bool {
    HAS_SECOND.load(Ordering::Acquire)
}

/// Says that this processor does something from now on.
fn wake() {
    let own = &STATES[own_number()];
    let may_go = |state| (state != HELD).then_some(BUSY);
    let before = loop {
        match own.fetch_update(Ordering::SeqCst, Ordering::SeqCst, may_go) {
            Ok(before) => break before,
            Err(_) => arch::pause(),
        }
    };
    if before == OUTDATED {
        arch::flush_all();
        arch::serialize();
    }
}

/// Sleeps until an interrupt, unless `is_over` or an interrupt is pending.
fn sleep_unless(is_over: impl FnOnce() -> bool) {
    STATES[own_number()].store(IDLE, Ordering::SeqCst);
    arch::set_interrupts(false);
    if !is_over() {
        arch::sleep();
    }
    wake();
    arch::set_interrupts(true);
}

/// Runs `here` on this processor and `there` on the second at the same time. False, and runs none, if there is no second.
pub(crate) fn together(here: &mut dyn FnMut(), mut there: Work<'_>) -> bool {
    if !has_second() {
        return false;
    }
    WORK.store((&raw mut there).cast(), Ordering::Release);
    arch::interrupt_other(1 - own_number());
    here();
    let is_over = || WORK.load(Ordering::Acquire).is_null();
    while !is_over() {
        sleep_unless(is_over);
    }
    true
}

/// What the second processor does: work, as it comes.
#[unsafe(no_mangle)]
extern "C" fn second_main() -> ! {
    super::tables::use_on_this_processor();
    arch::start_this();
    HAS_SECOND.store(true, Ordering::Release);
    loop {
        let work = WORK.load(Ordering::Acquire);
        if !work.is_null() {
            // SAFETY: the pointer is that of `together`, which waits until it is taken back, and calls nothing itself.
            let work = unsafe { &mut *work.cast::<Work<'_>>() };
            work();
            WORK.store(core::ptr::null_mut(), Ordering::Release);
            arch::interrupt_other(1 - own_number());
        }
        sleep_unless(|| !WORK.load(Ordering::Acquire).is_null());
    }
}
