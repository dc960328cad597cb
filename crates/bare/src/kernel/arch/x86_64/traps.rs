//! Exceptions and interrupts.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use super::processor::{FROM_OTHER, end_of_interrupt};
use crate::kernel::{processors, traps};

/// The exception of a breakpoint.
const BREAKPOINT: u64 = 3;

/// Where the processor was.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Frame {
    kept: [u64; 10],
    number: u64,
    code: u64,
    instruction: u64,
    code_segment: u64,
    flags: u64,
    stack: u64,
    stack_segment: u64,
}

impl Frame {
    /// Where the breakpoint stands that was hit, if that is what happened.
    pub(crate) fn breakpoint(&self) -> Option<u64> {
        (self.number == BREAKPOINT).then(|| self.instruction - 1)
    }

    /// Goes on elsewhere.
    pub(crate) fn go_on(&mut self, address: u64) {
        self.instruction = address;
    }

    /// Goes on as if the function that was called had returned before its first instruction.
    pub(crate) fn return_from_function(&mut self) {
        // SAFETY: that function has not executed anything, so its return address is on top of the stack.
        self.instruction = unsafe { *(self.stack as *const u64) };
        self.stack += 8;
    }
}

/// Numbers of the entries of `trap.s`, in order, which are 16 bytes apart.
const NUMBERS: [usize; 6] = [3, 6, 8, 13, 14, FROM_OTHER as usize];

static GATES: [[AtomicU64; 2]; 65] = [const { [AtomicU64::new(0), AtomicU64::new(0)] }; 65];

unsafe extern "C" {
    static trap_entries: u8;
}

/// Tells the processor that calls where exceptions and interrupts lead.
pub(super) fn start() {
    for (index, number) in NUMBERS.into_iter().enumerate() {
        let entry = &raw const trap_entries as u64 + 16 * index as u64;
        let low = (entry & 0xffff) | 8 << 16 | 0x8e00 << 32 | (entry >> 16 & 0xffff) << 48;
        GATES[number][0].store(low, Ordering::Relaxed);
        GATES[number][1].store(entry >> 32, Ordering::Relaxed);
    }
    let mut pointer = [0; 10];
    pointer[..2].copy_from_slice(&(size_of_val(&GATES) as u16 - 1).to_le_bytes());
    pointer[2..].copy_from_slice(&(&raw const GATES as u64).to_le_bytes());
    // SAFETY: the table stays, and its gates lead to code that keeps all registers.
    unsafe { asm!("lidt [{}]", in(reg) &pointer, options(nostack)) };
}

#[unsafe(no_mangle)]
extern "C" fn trap(frame: &mut Frame) {
    if frame.number == FROM_OTHER {
        processors::answer();
        end_of_interrupt();
        return;
    }
    if !traps::survive(frame) {
        let address: u64;
        // SAFETY: reads the address of the last page fault.
        unsafe { asm!("mov {}, cr2", out(reg) address, options(nomem, nostack)) };
        panic!("exception {} at {:#x}, address {address:#x}, code {:#x}", frame.number, frame.instruction, frame.code);
    }
}
