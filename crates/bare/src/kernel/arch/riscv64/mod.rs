//! riscv64 with Sv39 on QEMU's `virt`, started by OpenSBI.

mod processor;
mod traps;

use core::arch::{asm, global_asm};

use alloc::vec::Vec;

use execmem_arch_riscv::MACHINE_RISCV64;
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
pub(crate) const MACHINE: &Machine = &MACHINE_RISCV64;

/// An instruction that returns.
pub(crate) const RETURN: Trap = Trap::half([0x82, 0x80]);

/// Memory.
pub(crate) const RAM: Extent = Extent::new(0x8000_0000, 256 << 20).unwrap();

/// Where all of memory is mapped, from physical address 0 on.
pub(crate) const DIRECT: u64 = 0xffff_ffd0_0000_0000;

/// Address of the image less its physical address.
pub(crate) const IMAGE_OFFSET: u64 = 0xffff_ffff_0000_0000;

/// The image: what it may grow to.
pub(crate) const IMAGE: Extent = Extent::between(0xffff_ffff_8020_0000, 0xffff_ffff_8200_0000).unwrap();

/// Addresses for memory of the engine: before the image, as Linux has its modules.
pub(crate) const MANAGED: &[Extent] = &[Extent::between(0xffff_ffff_4000_0000, 0xffff_ffff_8000_0000).unwrap()];

/// Whether other processors are told of fresh code. Their instruction fetch does not see what was stored.
pub(crate) const FRESH_CODE_IS_TOLD: bool = true;

/// The serial port, and what ends the machine, which `tables.rs` maps.
pub(crate) const DEVICES: &[u64] = &[0x1000_0000, 0x10_0000];

/// Bytes of the first instruction of `code_probed`.
pub(crate) const PROBED_BYTES: u64 = 4;

/// Copies the first instruction of code that stands at `source`, for a slot.
pub(crate) fn copy_probed(source: u64, code: &[u8], _slot: u64) -> Result<Vec<u8>, Error> {
    word::copy(MACHINE.instructions, source, code)
}

/// Levels of page tables.
pub(crate) const LEVELS: usize = 3;

const VALID: u64 = 1;
const READABLE: u64 = 1 << 1;
const WRITABLE: u64 = 1 << 2;
const EXECUTABLE: u64 = 1 << 3;
const USED: u64 = 3 << 6;
/// For software: an entry that is not valid and not empty has it.
const KEPT: u64 = 1 << 8;

/// An entry that leads to a table.
pub(crate) const fn table(physical: u64) -> u64 {
    physical >> 2 | VALID
}

/// A leaf, at whatever level.
pub(crate) const fn leaf(physical: u64, _level: usize, protection: Protection) -> u64 {
    let rights = match protection {
        Protection::NoAccess => 0,
        Protection::ReadOnly => VALID | READABLE,
        Protection::ReadWrite => VALID | READABLE | WRITABLE,
        Protection::ReadExecute => VALID | READABLE | EXECUTABLE,
    };
    physical >> 2 | rights | USED | KEPT
}

/// A leaf of memory that is a device. What its addresses are like, the machine knows.
pub(crate) const fn device(physical: u64, level: usize) -> u64 {
    leaf(physical, level, Protection::ReadWrite)
}

/// Whether an entry leads to a table.
pub(crate) const fn is_table(entry: u64, level: usize) -> bool {
    level > 0 && entry & (VALID | READABLE | WRITABLE | EXECUTABLE) == VALID
}

/// The physical address in an entry.
pub(crate) const fn address(entry: u64) -> u64 {
    entry >> 10 << 12
}

/// The rights of a leaf.
pub(crate) const fn protection(entry: u64) -> Protection {
    match (entry & VALID != 0, entry & WRITABLE != 0, entry & EXECUTABLE != 0) {
        (false, ..) => Protection::NoAccess,
        (true, true, _) => Protection::ReadWrite,
        (true, false, true) => Protection::ReadExecute,
        (true, false, false) => Protection::ReadOnly,
    }
}

/// Uses page tables from now on.
pub(crate) fn set_root(physical: u64) {
    // SAFETY: the tables map the image, the stack and all of memory where the tables of before did.
    unsafe { asm!("sfence.vma", "csrw satp, {}", "sfence.vma", in(reg) 8 << 60 | physical >> 12, options(nostack)) };
}

/// Forgets the translation of a page, of whatever size, on this processor.
pub(crate) fn flush_page(address: u64) {
    // SAFETY: forgetting a translation changes no memory.
    unsafe { asm!("sfence.vma {}, zero", in(reg) address, options(nostack)) };
}

/// Forgets all translations on this processor.
pub(crate) fn flush_all() {
    // SAFETY: forgetting translations changes no memory.
    unsafe { asm!("sfence.vma", options(nostack)) };
}

/// Makes entries that were written what processors see that are told of them. The fence of translations does the rest.
pub(crate) fn publish_entries() {
    // SAFETY: orders accesses.
    unsafe { asm!("fence rw, rw", options(nostack)) };
}

/// Makes bytes that were written what instruction fetch sees after [`serialize`](self::serialize).
pub(crate) fn sync_instructions(_: u64, _: Extent) {
    publish_entries();
}

/// Forgets instructions that were fetched ahead, on this processor.
pub(crate) fn serialize() {
    // SAFETY: what is fetched anew is what stands in memory.
    unsafe { asm!(".option push", ".option arch, +zifencei", "fence.i", ".option pop", options(nostack)) };
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

access!(load_1(_a: u64) -> u64, "lbu a0, 0(a0)");
access!(load_2(_a: u64) -> u64, "lhu a0, 0(a0)");
access!(load_4(_a: u64) -> u64, "lwu a0, 0(a0)");
access!(load_8(_a: u64) -> u64, "ld a0, 0(a0)");
access!(store_1(_a: u64, _b: u8), "sb a1, 0(a0)");
