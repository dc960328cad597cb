//! x86-64 on QEMU's `q35`, started as a PVH guest.

mod processor;
mod traps;

use core::arch::{asm, global_asm};

use alloc::vec::Vec;

use execmem_arch_x86::MACHINE_X86;
use execmem_clients::Error;
use execmem_clients::kprobe::x86;
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
pub(crate) const MACHINE: &Machine = &MACHINE_X86;

/// An instruction that returns.
pub(crate) const RETURN: Trap = Trap::byte(0xc3);

/// Memory.
pub(crate) const RAM: Extent = Extent::new(0, 256 << 20).unwrap();

/// Where all of memory is mapped, from physical address 0 on.
pub(crate) const DIRECT: u64 = 0xffff_8880_0000_0000;

/// Address of the image less its physical address.
pub(crate) const IMAGE_OFFSET: u64 = 0xffff_ffff_8000_0000;

/// The image: what it may grow to.
pub(crate) const IMAGE: Extent = Extent::between(0xffff_ffff_8020_0000, 0xffff_ffff_8200_0000).unwrap();

/// Addresses for memory of the engine: behind the image, as Linux has its modules.
pub(crate) const MANAGED: &[Extent] = &[Extent::between(0xffff_ffff_c000_0000, 0xffff_ffff_ff00_0000).unwrap()];

/// Whether other processors are told of fresh code. Here they see what was stored.
pub(crate) const FRESH_CODE_IS_TOLD: bool = false;

/// The page of the interrupt controller of the processor, which `tables.rs` maps.
pub(crate) const DEVICES: &[u64] = &[0xfee0_0000];

/// Bytes of the first instruction of `code_probed`.
pub(crate) const PROBED_BYTES: u64 = 6;

/// Copies the first instruction of code that stands at `source`, for a slot.
pub(crate) fn copy_probed(source: u64, code: &[u8], slot: u64) -> Result<Vec<u8>, Error> {
    x86::copy(source, code, slot).map(|copied| copied.code)
}

/// Levels of page tables.
pub(crate) const LEVELS: usize = 4;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const UNCACHED: u64 = 1 << 4;
const USED: u64 = 3 << 5;
const LARGE: u64 = 1 << 7;
/// Ignored by the processor: an entry that is not present and not empty has it.
const KEPT: u64 = 1 << 9;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// An entry that leads to a table.
pub(crate) const fn table(physical: u64) -> u64 {
    physical | PRESENT | WRITABLE
}

/// A leaf at a level: 0 is that of the smallest pages.
pub(crate) const fn leaf(physical: u64, level: usize, protection: Protection) -> u64 {
    let rights = match protection {
        Protection::NoAccess => NO_EXECUTE,
        Protection::ReadOnly => PRESENT | NO_EXECUTE,
        Protection::ReadWrite => PRESENT | WRITABLE | NO_EXECUTE,
        Protection::ReadExecute => PRESENT,
    };
    let size = if level > 0 { LARGE } else { 0 };
    physical | rights | size | USED | KEPT
}

/// A leaf of memory that is a device.
pub(crate) const fn device(physical: u64, level: usize) -> u64 {
    leaf(physical, level, Protection::ReadWrite) | UNCACHED
}

/// Whether an entry leads to a table.
pub(crate) const fn is_table(entry: u64, level: usize) -> bool {
    level > 0 && entry & PRESENT != 0 && entry & LARGE == 0
}

/// The physical address in an entry.
pub(crate) const fn address(entry: u64) -> u64 {
    entry & ADDRESS
}

/// The rights of a leaf.
pub(crate) const fn protection(entry: u64) -> Protection {
    match (entry & PRESENT != 0, entry & WRITABLE != 0, entry & NO_EXECUTE == 0) {
        (false, ..) => Protection::NoAccess,
        (true, true, _) => Protection::ReadWrite,
        (true, false, true) => Protection::ReadExecute,
        (true, false, false) => Protection::ReadOnly,
    }
}

/// Uses page tables from now on.
pub(crate) fn set_root(physical: u64) {
    // SAFETY: the tables map the image, the stack and all of memory where the tables of before did.
    unsafe { asm!("mov cr3, {}", in(reg) physical, options(nostack, preserves_flags)) };
}

/// Forgets the translation of a page, of whatever size, on this processor.
pub(crate) fn flush_page(address: u64) {
    // SAFETY: forgetting a translation changes no memory.
    unsafe { asm!("invlpg [{}]", in(reg) address, options(nostack, preserves_flags)) };
}

/// Forgets all translations on this processor.
pub(crate) fn flush_all() {
    // SAFETY: writes back what is there, which forgets translations and changes no memory.
    unsafe { asm!("mov {0}, cr3", "mov cr3, {0}", out(reg) _, options(nostack, preserves_flags)) };
}

/// Makes entries that were written what the processor walks. Stores are in order here.
pub(crate) fn publish_entries() {}

/// Makes bytes that were written what instruction fetch of this processor sees. Other processors need
/// [`serialize`](self::serialize) if they may have fetched there.
pub(crate) fn sync_instructions(_: u64, _: Extent) {}

/// Forgets instructions that were fetched ahead, on this processor.
pub(crate) fn serialize() {
    // SAFETY: `cpuid` changes registers only; `rbx` is kept by hand, because the compiler uses it.
    unsafe {
        asm!("mov {0}, rbx", "cpuid", "mov rbx, {0}", out(reg) _, inout("eax") 0 => _, out("ecx") _, out("edx") _,
            options(nostack));
    }
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

access!(load_1(_a: u64) -> u64, "movzx eax, byte ptr [rdi]");
access!(load_2(_a: u64) -> u64, "movzx eax, word ptr [rdi]");
access!(load_4(_a: u64) -> u64, "mov eax, dword ptr [rdi]");
access!(load_8(_a: u64) -> u64, "mov rax, qword ptr [rdi]");
access!(store_1(_a: u64, _b: u8), "mov byte ptr [rdi], sil");
