//! Exceptions and interrupts.

use core::arch::asm;

use super::processor::end_of_interrupt;
use crate::kernel::{processors, traps};

/// The class of an exception, in its syndrome.
const CLASS: u32 = 26;
const BREAKPOINT: u64 = 0x3c;

/// Where the processor was. The last register kept is that of the return address.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Frame {
    kept: [u64; 20],
    instruction: u64,
    syndrome: u64,
    address: u64,
    is_interrupt: u64,
}

impl Frame {
    /// Where the breakpoint stands that was hit, if that is what happened.
    pub(crate) fn breakpoint(&self) -> Option<u64> {
        (self.syndrome >> CLASS == BREAKPOINT).then_some(self.instruction)
    }

    /// Goes on elsewhere.
    pub(crate) fn go_on(&mut self, address: u64) {
        self.instruction = address;
    }

    /// Goes on as if the function that was called had returned before its first instruction.
    pub(crate) fn return_from_function(&mut self) {
        self.instruction = self.kept[19];
    }
}

unsafe extern "C" {
    static vectors: u8;
}

/// Tells the processor that calls where exceptions and interrupts lead.
pub(super) fn start() {
    // SAFETY: the code there keeps all registers.
    unsafe { asm!("msr vbar_el1, {}", "isb", in(reg) &raw const vectors, options(nostack)) };
}

#[unsafe(no_mangle)]
extern "C" fn trap(frame: &mut Frame) {
    if frame.is_interrupt != 0 {
        end_of_interrupt();
        processors::answer();
        return;
    }
    if !traps::survive(frame) {
        panic!("exception {:#x} at {:#x}, address {:#x}", frame.syndrome, frame.instruction, frame.address);
    }
}
