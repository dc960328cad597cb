//! The processors: the second one, interrupts between them, the serial port, and the end.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use super::{DEVICES, DIRECT, IMAGE_OFFSET, traps};

/// Calls of the firmware: extension and function.
const SEND_INTERRUPT: [u64; 2] = [0x73_5049, 0];
const START_PROCESSOR: [u64; 2] = [0x48_534d, 0];

/// The interrupt by software, in `sie` and `sip`.
const BY_SOFTWARE: u64 = 1 << 1;
/// Interrupts at all, in `sstatus`.
const INTERRUPTS: u64 = 1 << 1;

unsafe extern "C" {
    /// The firmware's number of the first processor.
    static boot_hart: AtomicU64;
    /// Where the second one starts.
    static second: u8;
}

/// The firmware's number of a processor of this kernel.
fn hart(number: usize) -> u64 {
    // SAFETY: the number was written before this kernel used memory.
    let first = unsafe { &boot_hart }.load(Ordering::Relaxed);
    if number == 0 { first } else { 1 - first }
}

/// Calls the firmware.
fn call([extension, function]: [u64; 2], arguments: [u64; 3]) -> u64 {
    let error;
    // SAFETY: the calls of this file start a processor or interrupt one. Two registers hold what comes back.
    unsafe {
        asm!("ecall", in("a7") extension, in("a6") function, inlateout("a0") arguments[0] => error,
            inlateout("a1") arguments[1] => _, in("a2") arguments[2], options(nostack));
    }
    error
}

/// Prepares the processor that calls for exceptions and interrupts: those of other processors, and none of devices.
pub(crate) fn start_this() {
    traps::start();
    // SAFETY: where interrupts lead is set.
    unsafe { asm!("csrw sie, {}", in(reg) BY_SOFTWARE, options(nostack)) };
    set_interrupts(true);
}

/// Starts the second processor, which goes on in `second_main`. False if this machine has none.
pub(crate) fn start_second() -> bool {
    call(START_PROCESSOR, [hart(1), &raw const second as u64 - IMAGE_OFFSET, 0]) == 0
}

/// Interrupts the other processor.
pub(crate) fn interrupt_other(number: usize) {
    call(SEND_INTERRUPT, [1, hart(number), 0]);
}

pub(super) fn end_of_interrupt() {
    // SAFETY: the interrupt is being answered.
    unsafe { asm!("csrc sip, {}", in(reg) BY_SOFTWARE, options(nostack)) };
}

/// Lets interrupts in, or not.
pub(crate) fn set_interrupts(on: bool) {
    if on {
        // SAFETY: handlers are in place from `start_this` on.
        unsafe { asm!("csrs sstatus, {}", in(reg) INTERRUPTS, options(nostack)) };
    } else {
        // SAFETY: without interrupts the processor goes on as before.
        unsafe { asm!("csrc sstatus, {}", in(reg) INTERRUPTS, options(nostack)) };
    }
}

/// Whether they are let in.
pub(crate) fn interrupts_are_on() -> bool {
    let status: u64;
    // SAFETY: reads a register.
    unsafe { asm!("csrr {}, sstatus", out(reg) status, options(nomem, nostack)) };
    status & INTERRUPTS != 0
}

/// Waits for an interrupt, of which one may be pending.
pub(crate) fn sleep() {
    // SAFETY: what is pending ends it, let in or not.
    unsafe { asm!("wfi", options(nostack)) };
}

/// Where the stack ends now, in whatever function this is called.
#[inline(always)]
pub(crate) fn stack_pointer() -> u64 {
    let here;
    // SAFETY: reads a register.
    unsafe { asm!("mv {}, sp", out(reg) here, options(nomem, nostack)) };
    here
}

/// Waits a moment in a loop.
pub(crate) fn pause() {
    core::hint::spin_loop();
}

/// Writes a byte to the serial port.
pub(crate) fn put(byte: u8) {
    let port = (DIRECT + DEVICES[0]) as *mut u8;
    // SAFETY: the status of the serial port is mapped there.
    while unsafe { port.wrapping_add(5).read_volatile() } & 0x20 == 0 {
        pause();
    }
    // SAFETY: what is written is sent.
    unsafe { port.write_volatile(byte) };
}

/// Ends the machine. QEMU's exit status is 0 if all is well.
pub(crate) fn exit(is_ok: bool) -> ! {
    let end = (DIRECT + DEVICES[1]) as *mut u32;
    loop {
        // SAFETY: the device that ends the machine is mapped there.
        unsafe { end.write_volatile(if is_ok { 0x5555 } else { 1 << 16 | 0x3333 }) };
    }
}
