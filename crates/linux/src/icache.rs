//! Making written bytes what processors execute.
#![expect(unsafe_code, reason = "cache instructions take addresses and fault on bad ones")]

use execmem_types::SyncScope;
use rustix::io::Errno;
#[cfg(not(target_arch = "riscv64"))]
use rustix::thread::{MembarrierCommand, membarrier};

/// Whether cache instructions access the addresses that are executed, and fault where nothing is mapped.
pub(crate) const TOUCHES_HOME: bool = cfg!(any(target_arch = "aarch64", target_arch = "powerpc"));

/// Whether there is anything to do for a scope. x86-64: caches are coherent, and no processor executes code that is not known
/// yet or not any more.
#[inline]
pub(crate) const fn acts(scope: SyncScope) -> bool {
    !cfg!(target_arch = "x86_64") || matches!(scope, SyncScope::Live)
}

/// Makes the bytes at `home`, written through `alias`, what every processor of this process executes.
///
/// x86-64: caches are coherent, and code that no caller knows yet needs nothing (Intel SDM 3A, 9.1.3, "cross-modifying
/// code": other processors must execute a serialising instruction before they execute *modified* code, which the
/// barrier makes them do).
///
/// # Safety
///
/// On every machine: `len` bytes at `alias` are mapped and readable, and those at `home` where [`TOUCHES_HOME`] says so.
#[cfg(target_arch = "x86_64")]
pub(crate) unsafe fn sync(_home: usize, _alias: usize, _len: usize, scope: SyncScope) -> Result<(), Errno> {
    match scope {
        SyncScope::Fresh | SyncScope::Retired => Ok(()),
        SyncScope::Live => serialise(),
    }
}

/// Makes every other processor that runs this process execute a context-synchronising instruction.
#[cfg(not(target_arch = "riscv64"))]
pub(crate) fn serialise() -> Result<(), Errno> {
    match membarrier(MembarrierCommand::PrivateExpeditedSyncCore) {
        // The first time: the process has to say that it will want that, which takes a while if it has many threads.
        Err(Errno::PERM) => {
            membarrier(MembarrierCommand::RegisterPrivateExpeditedSyncCore)?;
            membarrier(MembarrierCommand::PrivateExpeditedSyncCore)
        }
        done => done,
    }
}

/// aarch64: clean the data cache to the point of unification by the address written, invalidate the instruction cache
/// by the address executed (Arm ARM B2.4.4), then a context synchronisation here and, for live code, elsewhere.
#[cfg(target_arch = "aarch64")]
pub(crate) unsafe fn sync(home: usize, alias: usize, len: usize, scope: SyncScope) -> Result<(), Errno> {
    let ctr: u64;
    // SAFETY: reading CTR_EL0 has no effect; Linux allows or emulates it for user space.
    unsafe { core::arch::asm!("mrs {}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags)) };
    let data_line = 4_usize << (ctr >> 16 & 0xf);
    let code_line = 4_usize << (ctr & 0xf);
    for line in lines(alias, len, data_line) {
        // SAFETY: the line holds at least one byte of the alias view, which is mapped readable and writable.
        unsafe { core::arch::asm!("dc cvau, {}", in(reg) line, options(nostack, preserves_flags)) };
    }
    // SAFETY: a barrier.
    unsafe { core::arch::asm!("dsb ish", options(nostack, preserves_flags)) };
    for line in lines(home, len, code_line) {
        // SAFETY: the line holds at least one byte of the home view, which is mapped readable.
        unsafe { core::arch::asm!("ic ivau, {}", in(reg) line, options(nostack, preserves_flags)) };
    }
    // SAFETY: barriers.
    unsafe { core::arch::asm!("dsb ish", "isb", options(nostack, preserves_flags)) };
    if scope == SyncScope::Live { serialise() } else { Ok(()) }
}

/// riscv64: instruction caches are not coherent and `fence.i` is local, so the kernel does it on every hart.
#[cfg(target_arch = "riscv64")]
pub(crate) unsafe fn sync(home: usize, _alias: usize, len: usize, _scope: SyncScope) -> Result<(), Errno> {
    const RISCV_FLUSH_ICACHE: libc::c_long = 259;
    // SAFETY: the system call reads no memory of the process; flags of 0 mean all harts of this process.
    let outcome = unsafe { libc::syscall(RISCV_FLUSH_ICACHE, home, home + len, 0) };
    if outcome == 0 { Ok(()) } else { Err(crate::view::last_error()) }
}

/// powerpc: write back the data cache by the address written, invalidate the instruction cache by the address executed
/// (Power ISA book II, 1.8).
#[cfg(target_arch = "powerpc")]
pub(crate) unsafe fn sync(home: usize, alias: usize, len: usize, scope: SyncScope) -> Result<(), Errno> {
    /// The smallest line of any 32-bit processor; a larger one is only visited more often.
    const LINE: usize = 16;
    for line in lines(alias, len, LINE) {
        // SAFETY: the line holds at least one byte of the alias view, which is mapped readable and writable.
        unsafe { core::arch::asm!("dcbst 0, {}", in(reg) line, options(nostack, preserves_flags)) };
    }
    // SAFETY: a barrier.
    unsafe { core::arch::asm!("sync", options(nostack, preserves_flags)) };
    for line in lines(home, len, LINE) {
        // SAFETY: the line holds at least one byte of the home view, which is mapped readable.
        unsafe { core::arch::asm!("icbi 0, {}", in(reg) line, options(nostack, preserves_flags)) };
    }
    // SAFETY: barriers.
    unsafe { core::arch::asm!("sync", "isync", options(nostack, preserves_flags)) };
    if scope == SyncScope::Live { serialise() } else { Ok(()) }
}

/// The starts of the lines that `len` bytes at `start` touch.
#[cfg(any(target_arch = "aarch64", target_arch = "powerpc"))]
fn lines(start: usize, len: usize, line: usize) -> impl Iterator<Item = usize> {
    (start & !(line - 1)..start + len).step_by(line)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64", target_arch = "powerpc")))]
compile_error!("this architecture's rules for instruction caches are not known here");
