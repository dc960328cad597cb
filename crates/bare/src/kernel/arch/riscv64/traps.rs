//! Exceptions and interrupts.

use core::arch::asm;

use super::processor::end_of_interrupt;
use crate::kernel::{processors, traps};

/// What happened: an interrupt by software, or an exception.
const FROM_OTHER: u64 = 1 << 63 | 1;
const BREAKPOINT: u64 = 3;

/// Where the processor was. The first register kept is that of the return address.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Frame {
    kept: [u64; 16],
    instruction: u64,
    cause: u64,
    address: u64,
}

impl Frame {
    /// Where the breakpoint stands that was hit, if that is what happened.
    pub(crate) fn breakpoint(&self) -> Option<u64> {
        (self.cause == BREAKPOINT).then_some(self.instruction)
    }

    /// Goes on elsewhere.
    pub(crate) fn go_on(&mut self, address: u64) {
        self.instruction = address;
    }

    /// Goes on as if the function that was called had returned before its first instruction.
    pub(crate) fn return_from_function(&mut self) {
        self.instruction = self.kept[0];
    }
}

unsafe extern "C" {
    static trap_entry: u8;
}

/// Tells the processor that calls where exceptions and interrupts lead.
pub(super) fn start() {
    // SAFETY: the code there keeps all registers.
    unsafe { asm!("csrw stvec, {}", in(reg) &raw const trap_entry, options(nostack)) };
}

#[unsafe(no_mangle)]
extern "C" fn trap(frame: &mut Frame) {
    if frame.cause == FROM_OTHER {
        end_of_interrupt();
        processors::answer();
        return;
    }
    if !traps::survive(frame) {
        panic!("exception {} at {:#x}, address {:#x}", frame.cause, frame.instruction, frame.address);
    }
}
