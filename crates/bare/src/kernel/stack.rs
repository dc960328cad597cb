//! How much stack something takes: what is below is painted, and looked at afterwards.

use core::hint::black_box;

use super::arch;
use super::processors::{own_stack, without_interrupts};

/// What unused stack holds.
const PAINT: u64 = 0x5a5a_5a5a_5a5a_5a5a;

/// Bytes of stack that `body` takes, and what it returns. It runs without interrupts, which use the same stack.
pub(crate) fn taken_by<T>(body: impl FnOnce() -> T) -> (u64, T) {
    let mut body = Some(body);
    let mut result = None;
    let (nothing, with_body) = without_interrupts(|| {
        let nothing = deepest(&mut || ());
        (nothing, deepest(&mut || result = body.take().map(|body| body())))
    });
    (with_body.saturating_sub(nothing), result.expect("the body ran"))
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
