//! arm64 with addresses of 48 bits on QEMU's `virt`, started at exception level 1.

mod processor;
mod traps;

use core::arch::{asm, global_asm};

use alloc::vec::Vec;

use execmem_arch_arm64::MACHINE_ARM64_4K;
use execmem_clients::Error;
use execmem_clients::kprobe::word;
use execmem_types::{Extent, Machine, Protection, Trap};

pub(crate) use processor::{
    exit, interrupt_other, interrupts_are_on, pause, put, set_interrupts, sleep, stack_pointer, start_second,
    start_this,
};
pub(crate) use traps::Frame;

global_asm!(include_str!("boot.s"));
global_asm!(include_str!("trap.s"));
global_asm!(include_str!("code.s"));

/// What this machine is to execmem.
pub(crate) const MACHINE: &Machine = &MACHINE_ARM64_4K;

/// An instruction that returns.
pub(crate) const RETURN: Trap = Trap::word([0xc0, 0x03, 0x5f, 0xd6]);

/// Memory.
pub(crate) const RAM: Extent = Extent::new(0x4000_0000, 256 << 20).unwrap();

/// Where all of memory is mapped, from physical address 0 on.
pub(crate) const DIRECT: u64 = 0xffff_0000_0000_0000;

/// Address of the image less its physical address.
pub(crate) const IMAGE_OFFSET: u64 = 0xffff_8000_4000_0000;

/// The image: what it may grow to.
pub(crate) const IMAGE: Extent = Extent::between(0xffff_8000_8020_0000, 0xffff_8000_8180_0000).unwrap();

/// Addresses for memory of the engine: before the image, within reach of a direct call.
pub(crate) const MANAGED: &[Extent] = &[Extent::between(0xffff_8000_7a00_0000, 0xffff_8000_8000_0000).unwrap()];

/// Whether other processors are told of fresh code. Caches are kept by broadcast; what was fetched ahead each forgets itself.
pub(crate) const FRESH_CODE_IS_TOLD: bool = true;

/// The serial port and the interrupt controller, which `tables.rs` maps.
pub(crate) const DEVICES: &[u64] = &[0x0900_0000, 0x0800_0000];

/// Bytes of the first instruction of `code_probed`.
pub(crate) const PROBED_BYTES: u64 = 4;

/// Copies the first instruction of code that stands at `source`, for a slot.
pub(crate) fn copy_probed(source: u64, code: &[u8], _slot: u64) -> Result<Vec<u8>, Error> {
    word::copy(MACHINE.instructions, source, code)
}

/// Levels of page tables.
pub(crate) const LEVELS: usize = 4;

const VALID: u64 = 1;
/// What an entry is: a table, or a leaf of the smallest pages.
const IS_TABLE: u64 = 1 << 1;
const DEVICE: u64 = 1 << 2;
const READ_ONLY: u64 = 1 << 7;
const SHARED: u64 = 3 << 8;
const USED: u64 = 1 << 10;
/// Neither the kernel nor programs execute what is there.
const NO_EXECUTE: u64 = 3 << 53;
/// Programs do not.
const NO_PROGRAM: u64 = 1 << 54;
/// For software: an entry that is not valid and not empty has it.
const KEPT: u64 = 1 << 55;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// An entry that leads to a table.
pub(crate) const fn table(physical: u64) -> u64 {
    physical | VALID | IS_TABLE
}

/// A leaf at a level: 0 is that of the smallest pages.
pub(crate) const fn leaf(physical: u64, level: usize, protection: Protection) -> u64 {
    let rights = match protection {
        Protection::NoAccess => NO_EXECUTE,
        Protection::ReadOnly => VALID | READ_ONLY | NO_EXECUTE,
        Protection::ReadWrite => VALID | NO_EXECUTE,
        Protection::ReadExecute => VALID | READ_ONLY | NO_PROGRAM,
    };
    let size = if level > 0 { 0 } else { IS_TABLE };
    physical | rights | size | SHARED | USED | KEPT
}

/// A leaf of memory that is a device.
pub(crate) const fn device(physical: u64, level: usize) -> u64 {
    leaf(physical, level, Protection::ReadWrite) | DEVICE
}

/// Whether an entry leads to a table.
pub(crate) const fn is_table(entry: u64, level: usize) -> bool {
    level > 0 && entry & (VALID | IS_TABLE) == VALID | IS_TABLE
}

/// The physical address in an entry.
pub(crate) const fn address(entry: u64) -> u64 {
    entry & ADDRESS
}

/// The rights of a leaf.
pub(crate) const fn protection(entry: u64) -> Protection {
    match (entry & VALID != 0, entry & READ_ONLY == 0, entry & NO_EXECUTE == NO_PROGRAM) {
        (false, ..) => Protection::NoAccess,
        (true, true, _) => Protection::ReadWrite,
        (true, false, true) => Protection::ReadExecute,
        (true, false, false) => Protection::ReadOnly,
    }
}

/// Uses page tables from now on, and those of low addresses no more.
pub(crate) fn set_root(physical: u64) {
    // SAFETY: the tables map the image, the stack and all of memory where the tables of before did.
    unsafe {
        asm!("dsb ish", "msr ttbr1_el1, {root}", "mrs {control}, tcr_el1", "orr {control}, {control}, #0x80",
            "msr tcr_el1, {control}", "isb", root = in(reg) physical, control = out(reg) _, options(nostack));
    }
    flush_all();
}

/// Forgets the translation of a page, of whatever size, on this processor.
pub(crate) fn flush_page(address: u64) {
    // SAFETY: forgetting a translation changes no memory.
    unsafe {
        asm!("dsb nshst", "tlbi vaae1, {}", "dsb nsh", "isb", in(reg) address >> 12 & ((1 << 44) - 1), options(nostack));
    }
}

/// Forgets all translations on this processor.
pub(crate) fn flush_all() {
    // SAFETY: forgetting translations changes no memory.
    unsafe { asm!("dsb nshst", "tlbi vmalle1", "dsb nsh", "isb", options(nostack)) };
}

/// Makes entries that were written what all processors walk.
pub(crate) fn publish_entries() {
    // SAFETY: waits for stores.
    unsafe { asm!("dsb ishst", "isb", options(nostack)) };
}

/// Makes bytes that were written, of which `written` is an address, what instruction fetch sees after
/// [`serialize`](self::serialize).
pub(crate) fn sync_instructions(written: u64, part: Extent) {
    let types: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) types, options(nomem, nostack)) };
    let line = 4 << (types >> 16 & 15);
    for address in (written / line * line..written + part.len()).step_by(line as usize) {
        // SAFETY: cleaning a cache changes no memory.
        unsafe { asm!("dc cvau, {}", in(reg) address, options(nostack)) };
    }
    // Caches of instructions may know the bytes by other addresses than this, so all of them go.
    // SAFETY: what is fetched anew is what stands in memory.
    unsafe { asm!("dsb ish", "ic ialluis", "dsb ish", "isb", options(nostack)) };
}

/// Forgets instructions that were fetched ahead, on this processor.
pub(crate) fn serialize() {
    // SAFETY: what is fetched anew is what stands in memory.
    unsafe { asm!("isb", options(nostack)) };
}

/// An access as a function without a frame: the address is the first argument.
macro_rules! access {
    ($name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?, $instruction:literal) => {
        /// # Safety
        ///
        /// Nothing that Rust knows of stands at the address, or the access is a load.
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn $name($($argument: $type),*) $(-> $result)? {
            core::arch::naked_asm!($instruction, "ret")
        }
    };
}

access!(load_1(_a: u64) -> u64, "ldrb w0, [x0]");
access!(load_2(_a: u64) -> u64, "ldrh w0, [x0]");
access!(load_4(_a: u64) -> u64, "ldr w0, [x0]");
access!(load_8(_a: u64) -> u64, "ldr x0, [x0]");
access!(store_1(_a: u64, _b: u8), "strb w1, [x0]");
