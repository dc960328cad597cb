//! The processors: the second one, interrupts between them, the serial port, and the end.

use core::arch::asm;

use super::{DEVICES, DIRECT, IMAGE_OFFSET, traps};

/// Registers of the interrupt controller (GICv2): those of all processors, and those of each.
const ALL_ON: u64 = 0;
const SEND: u64 = 0xf00;
const OWN_ON: u64 = 0x1_0000;
const OWN_LOWEST: u64 = 0x1_0004;
const OWN_ACCEPT: u64 = 0x1_000c;
const OWN_END: u64 = 0x1_0010;

/// The call of the firmware that starts a processor (PSCI).
const START_PROCESSOR: u64 = 0xc400_0003;

/// The semihosting call that ends the machine, and why.
const EXIT: u64 = 0x18;
const BY_APPLICATION: u64 = 0x2_0026;

/// Interrupts are off, in the flags of the processor.
const INTERRUPTS_OFF: u64 = 1 << 7;

unsafe extern "C" {
    /// Where the second processor starts.
    static second: u8;
}

fn controller(register: u64) -> *mut u32 {
    (DIRECT + DEVICES[1] + register) as *mut u32
}

fn write(register: u64, value: u32) {
    // SAFETY: the controller is mapped there. What is written lets interrupts of processors in, sends one or ends one.
    unsafe { controller(register).write_volatile(value) };
}

/// Prepares the processor that calls for exceptions and interrupts: those of other processors, and none of devices.
pub(crate) fn start_this() {
    traps::start();
    write(ALL_ON, 1);
    write(OWN_LOWEST, 0xff);
    write(OWN_ON, 1);
    set_interrupts(true);
}

/// Starts the second processor, which goes on in `second_main`. False if this machine has none.
pub(crate) fn start_second() -> bool {
    let entry = &raw const second as u64 - IMAGE_OFFSET;
    let error: u64;
    // SAFETY: the second processor has a stack of its own. The call changes the registers of arguments.
    unsafe {
        asm!("hvc #0", inlateout("x0") START_PROCESSOR => error, inlateout("x1") 1_u64 => _,
            inlateout("x2") entry => _, inlateout("x3") 0_u64 => _, options(nostack));
    }
    error == 0
}

/// Interrupts the other processor.
pub(crate) fn interrupt_other(number: usize) {
    super::publish_entries();
    write(SEND, 1 << (16 + number));
}

pub(super) fn end_of_interrupt() {
    // SAFETY: the interrupt is being answered.
    let number = unsafe { controller(OWN_ACCEPT).read_volatile() };
    write(OWN_END, number);
}

/// Lets interrupts in, or not.
pub(crate) fn set_interrupts(on: bool) {
    if on {
        // SAFETY: handlers are in place from `start_this` on.
        unsafe { asm!("msr daifclr, #2", options(nostack)) };
    } else {
        // SAFETY: without interrupts the processor goes on as before.
        unsafe { asm!("msr daifset, #2", options(nostack)) };
    }
}

/// Whether they are let in.
pub(crate) fn interrupts_are_on() -> bool {
    let flags: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, daif", out(reg) flags, options(nomem, nostack)) };
    flags & INTERRUPTS_OFF == 0
}

/// Waits for an interrupt, of which one may be pending.
pub(crate) fn sleep() {
    // SAFETY: what is pending ends it, let in or not.
    unsafe { asm!("dsb sy", "wfi", options(nostack)) };
}

/// Where the stack ends now, in whatever function this is called.
#[inline(always)]
pub(crate) fn stack_pointer() -> u64 {
    let here;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, sp", out(reg) here, options(nomem, nostack)) };
    here
}

/// Waits a moment in a loop.
pub(crate) fn pause() {
    // SAFETY: a hint, which changes nothing. The compiler's own is a barrier, and an emulator goes on waiting.
    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) };
}

/// Writes a byte to the serial port.
pub(crate) fn put(byte: u8) {
    let port = (DIRECT + DEVICES[0]) as *mut u32;
    // SAFETY: the flags of the serial port are mapped there.
    while unsafe { port.wrapping_add(6).read_volatile() } & 1 << 5 != 0 {
        pause();
    }
    // SAFETY: what is written is sent.
    unsafe { port.write_volatile(u32::from(byte)) };
}

/// Ends the machine. QEMU's exit status is 0 if all is well.
pub(crate) fn exit(is_ok: bool) -> ! {
    let why = [BY_APPLICATION, u64::from(!is_ok)];
    loop {
        // SAFETY: the emulator reads the two words, and does not return.
        unsafe { asm!("hlt #0xf000", in("x0") EXIT, in("x1") why.as_ptr(), options(nostack)) };
    }
}
