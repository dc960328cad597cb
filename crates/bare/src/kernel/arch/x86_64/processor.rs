//! The processors: the second one, interrupts between them, the serial port, and the end.

use core::arch::asm;

use super::{DEVICES, DIRECT, traps};

const SERIAL: u16 = 0x3f8;
const EXIT: u16 = 0xf4;
/// Where the interrupts of devices are masked.
const OLD_CONTROLLERS: [u16; 2] = [0x21, 0xa1];

/// Registers of the interrupt controller of the processor. QEMU numbers processors as this kernel does.
const SPURIOUS: u64 = 0xf0;
const END_OF_INTERRUPT: u64 = 0xb0;
const COMMAND: u64 = 0x300;
const TARGET: u64 = 0x310;

const INIT: u32 = 0x4500;
const START: u32 = 0x4600;
const FIXED: u32 = 0x4000;

/// The interrupt of another processor.
pub(super) const FROM_OTHER: u64 = 64;

/// Where the second processor starts.
const START_PAGE: u64 = 0x8000;

unsafe extern "C" {
    static second_start: u8;
    static second_end: u8;
}

fn write(register: u64, value: u32) {
    let register = (DIRECT + DEVICES[0] + register) as *mut u32;
    // SAFETY: the page of the controller is mapped there. What is written starts a processor or interrupts one.
    unsafe { register.write_volatile(value) };
}

/// Prepares the processor that calls for exceptions and interrupts: those of other processors, and none of devices.
pub(crate) fn start_this() {
    traps::start();
    write(SPURIOUS, 0x1ff);
    OLD_CONTROLLERS.into_iter().for_each(|port| out(port, 0xff));
    set_interrupts(true);
}

/// Starts the second processor, which goes on in `second_main`. False if this machine has none.
pub(crate) fn start_second() -> bool {
    let (start, end) = (&raw const second_start, &raw const second_end);
    let len = end as usize - start as usize;
    // SAFETY: the page is memory that nothing else uses, and the code behind the two names lies in the image.
    unsafe { core::ptr::copy_nonoverlapping(start, (DIRECT + START_PAGE) as *mut u8, len) };
    write(TARGET, 1 << 24);
    write(COMMAND, INIT);
    for _ in 0..2 {
        (0..100_000).for_each(|_| pause());
        write(TARGET, 1 << 24);
        write(COMMAND, START | (START_PAGE >> 12) as u32);
    }
    true
}

/// Interrupts the other processor.
pub(crate) fn interrupt_other(number: usize) {
    write(TARGET, (number as u32) << 24);
    write(COMMAND, FIXED | FROM_OTHER as u32);
}

pub(super) fn end_of_interrupt() {
    write(END_OF_INTERRUPT, 0);
}

/// Lets interrupts in, or not.
pub(crate) fn set_interrupts(on: bool) {
    if on {
        // SAFETY: handlers are in place from `start_this` on.
        unsafe { asm!("sti", options(nostack)) };
    } else {
        // SAFETY: without interrupts the processor goes on as before.
        unsafe { asm!("cli", options(nostack)) };
    }
}

/// Whether they are let in.
pub(crate) fn interrupts_are_on() -> bool {
    let flags: u64;
    // SAFETY: reads the flags by way of the stack.
    unsafe { asm!("pushfq", "pop {}", out(reg) flags) };
    flags & 1 << 9 != 0
}

/// Waits for an interrupt, of which one may be pending.
pub(crate) fn sleep() {
    // SAFETY: interrupts come in between the two instructions at the earliest, and wake the second.
    unsafe { asm!("sti", "hlt", options(nostack)) };
}

/// Where the stack ends now, in whatever function this is called.
#[inline(always)]
pub(crate) fn stack_pointer() -> u64 {
    let here;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rsp", out(reg) here, options(nomem, nostack, preserves_flags)) };
    here
}

/// Waits a moment in a loop.
pub(crate) fn pause() {
    core::hint::spin_loop();
}

fn out(port: u16, byte: u8) {
    // SAFETY: the ports of this file print, mask interrupts, or end the machine.
    unsafe { asm!("out dx, al", in("dx") port, in("al") byte, options(nomem, nostack, preserves_flags)) };
}

fn input(port: u16) -> u8 {
    let byte;
    // SAFETY: reading the status of the serial port changes nothing.
    unsafe { asm!("in al, dx", in("dx") port, out("al") byte, options(nomem, nostack, preserves_flags)) };
    byte
}

/// Writes a byte to the serial port.
pub(crate) fn put(byte: u8) {
    while input(SERIAL + 5) & 0x20 == 0 {
        pause();
    }
    out(SERIAL, byte);
}

/// Ends the machine. QEMU's exit status is 33 if all is well.
pub(crate) fn exit(is_ok: bool) -> ! {
    loop {
        out(EXIT, if is_ok { 0x10 } else { 1 });
    }
}
