//! Physical memory: which frame is used for what, and frames to take.
//!
//! Frames of 2 MiB, of which parts can be taken as frames of 4 KiB. A byte of state each, as many kernels have it.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use execmem_types::{PageSize, Protection, Rights};

use super::arch::{DIRECT, RAM};
use super::locks::Guarded;
use super::processors;

/// Bytes of the two sizes.
pub(crate) const SMALL: PageSize = PageSize::kib(4);
pub(crate) const LARGE: PageSize = PageSize::mib(2);

const COUNT: usize = (RAM.len() / SMALL.bytes()) as usize;
const PER_LARGE: usize = (LARGE.bytes() / SMALL.bytes()) as usize;

/// What a frame is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Nothing: it can be taken.
    Free,
    /// No memory is there.
    Device,
    /// The image, its data, its heap.
    Kernel,
    /// A page table.
    Table,
    /// The image, and the engine may write to it.
    Adopted,
    /// Memory of the engine, which may have these rights.
    Memory(Rights),
}

static STATES: [AtomicU8; COUNT] = [const { AtomicU8::new(0) }; COUNT];
static TAKING: Guarded<()> = Guarded::new(());
static IN_USE: AtomicU64 = AtomicU64::new(0);

/// Frames that are taken before one is refused.
static LEFT: AtomicU64 = AtomicU64::new(u64::MAX);
/// Whether more are refused after it.
static STAYS_OUT: AtomicBool = AtomicBool::new(false);
static HOLDS: AtomicBool = AtomicBool::new(false);
static IS_HELD: AtomicBool = AtomicBool::new(false);

/// How often a frame that is held back is asked for.
const PATIENCE: u32 = 200_000_000;

const RIGHTS: [Protection; 3] = [Protection::ReadOnly, Protection::ReadWrite, Protection::ReadExecute];

impl Use {
    fn encode(self) -> u8 {
        match self {
            Use::Free => 0,
            Use::Kernel => 1,
            Use::Device => 4,
            Use::Table => 2,
            Use::Adopted => 3,
            Use::Memory(rights) => {
                (0..).zip(RIGHTS).fold(8, |bits, (bit, right)| bits | u8::from(rights.contain(right)) << bit)
            }
        }
    }

    fn decode(byte: u8) -> Self {
        match byte {
            0 => Use::Free,
            1 => Use::Kernel,
            2 => Use::Table,
            3 => Use::Adopted,
            4 => Use::Device,
            bits => {
                let named = (0..).zip(RIGHTS).filter(|(bit, _)| bits & 1 << bit != 0);
                Use::Memory(named.fold(Rights::only(Protection::NoAccess), |rights, (_, right)| rights.and(right)))
            }
        }
    }
}

fn index(physical: u64) -> usize {
    ((physical - RAM.start()) / SMALL.bytes()) as usize
}

/// What the frame at a physical address is used for.
pub(crate) fn used_for(physical: u64) -> Use {
    let state = || STATES[index(physical)].load(Ordering::Acquire);
    if RAM.contains(physical) { Use::decode(state()) } else { Use::Device }
}

/// Says what frames are used for.
pub(crate) fn set_use(physical: u64, size: PageSize, used_for: Use) {
    let first = index(physical);
    STATES[first..first + (size.bytes() / SMALL.bytes()) as usize]
        .iter()
        .for_each(|state| state.store(used_for.encode(), Ordering::Release));
}

/// Takes a frame of either size, aligned to it. Its bytes are what they are.
pub(crate) fn take(size: PageSize, used_for: Use) -> Option<u64> {
    if is_refused() {
        return None;
    }
    TAKING.with(|()| {
        let first = if size == SMALL { find_small() } else { find_large() }?;
        let physical = RAM.start() + first as u64 * SMALL.bytes();
        set_use(physical, size, used_for);
        if used_for != Use::Table {
            IN_USE.fetch_add(size.bytes() / SMALL.bytes(), Ordering::Relaxed);
        }
        Some(physical)
    })
}

/// Gives a frame back. No processor may have a translation of it any more.
pub(crate) fn give(physical: u64, size: PageSize) {
    if used_for(physical) != Use::Table {
        IN_USE.fetch_sub(size.bytes() / SMALL.bytes(), Ordering::Relaxed);
    }
    set_use(physical, size, Use::Free);
}

fn is_free(index: usize) -> bool {
    STATES[index].load(Ordering::Acquire) == Use::Free.encode()
}

/// The first free frame of a large one that others use already, or else of a free one.
fn find_small() -> Option<usize> {
    let larges = || (0..COUNT).step_by(PER_LARGE);
    let free = |large: usize| (large..large + PER_LARGE).find(|index| is_free(*index));
    let is_broken = |large: &usize| !(*large..large + PER_LARGE).all(is_free);
    larges().filter(is_broken).find_map(free).or_else(|| larges().find_map(free))
}

fn find_large() -> Option<usize> {
    (0..COUNT).step_by(PER_LARGE).find(|large| (*large..large + PER_LARGE).all(is_free))
}

/// Frames of memory that were taken and not given back. Tables stay, and do not count.
pub(crate) fn in_use() -> u64 {
    IN_USE.load(Ordering::Relaxed)
}

/// A frame as memory that the kernel can use.
pub(crate) fn bytes_of(physical: u64) -> *mut u8 {
    (DIRECT + physical) as *mut u8
}

/// Refuses the frame after the next `after`, once; nothing with `None`.
pub(crate) fn refuse(after: Option<u64>) {
    LEFT.store(after.unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// Refuses every frame after the next `after`; none any more with `None`.
pub(crate) fn run_out(after: Option<u64>) {
    STAYS_OUT.store(after.is_some(), Ordering::Relaxed);
    refuse(after);
}

/// Makes calls that take frames wait, or lets them go on.
pub(crate) fn hold(holds: bool) {
    HOLDS.store(holds, Ordering::Release);
}

/// Whether a call is waiting.
pub(crate) fn is_held() -> bool {
    IS_HELD.load(Ordering::Acquire)
}

fn is_refused() -> bool {
    let mut patience = PATIENCE;
    while HOLDS.load(Ordering::Acquire) && patience > 0 {
        IS_HELD.store(true, Ordering::Release);
        patience -= 1;
        processors::relax();
    }
    IS_HELD.store(false, Ordering::Release);
    match LEFT.load(Ordering::Relaxed) {
        u64::MAX => false,
        left => {
            let then = if STAYS_OUT.load(Ordering::Relaxed) { 0 } else { u64::MAX };
            LEFT.store(left.checked_sub(1).unwrap_or(then), Ordering::Relaxed);
            left == 0
        }
    }
}
