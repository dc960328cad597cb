//! How much stack something takes: what is below is painted, and looked at afterwards.

use core::hint::black_box;
use core::mem::MaybeUninit;

use super::arch;
use super::processors::{own_stack, without_interrupts};

/// What unused stack holds.
const PAINT: u64 = 0x5a5a_5a5a_5a5a_5a5a;

/// Bytes of stack that `body` takes besides what it returns, which it writes to the caller's frame. It runs without
/// interrupts, which use the same stack.
pub(crate) fn taken_by<T>(body: impl FnOnce() -> T) -> (u64, T) {
    let mut body = Some(body);
    let mut result = MaybeUninit::uninit();
    let (nothing, with_body) = without_interrupts(|| {
        let nothing = deepest(&mut || ());
        let mut run = || {
            let body = body.take().expect("it runs once");
            result.write(body());
        };
        (nothing, deepest(&mut run))
    });
    // SAFETY: `deepest` called `run`, which wrote it.
    (with_body.saturating_sub(nothing), unsafe { result.assume_init() })
}

/// Bytes from here to the lowest that `body` wrote to.
#[inline(never)]
fn deepest(body: &mut dyn FnMut()) -> u64 {
    let (bottom, here) = (own_stack().start(), arch::stack_pointer());
    let unused = || (bottom..here).step_by(8).map(|address| address as *mut u64);
    // SAFETY: nothing is below the frame of this function while it calls nothing, and what it does here is compiled into it.
    unused().for_each(|word| unsafe { word.write_volatile(PAINT) });
    black_box(body)();
    // SAFETY: the same words, which were written before.
    let lowest = unused().find(|word| unsafe { word.read_volatile() } != PAINT);
    here - lowest.map_or(here, |word| word as u64)
}
