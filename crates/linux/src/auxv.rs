//! What the kernel told this process when it began (getauxval(3)). The C library keeps it, so asking makes no system call and
//! cannot fail, also where a filter refuses calls and `/proc` is not mounted. And what the processor says of itself, which
//! needs no kernel.
#![expect(unsafe_code, reason = "calls the C library, and asks the processor")]

/// Bytes of a page of this process.
pub(crate) fn page_bytes() -> usize {
    match value_of(libc::AT_PAGESZ) {
        0 => 4096,
        bytes => bytes,
    }
}

/// Second word of the features of the processor, as `asm/hwcap.h` has them. 0 on machines without.
pub(crate) fn features() -> usize {
    value_of(libc::AT_HWCAP2)
}

/// Address of the name of the program, at the top of the stack of the main thread.
pub(crate) fn program_name() -> usize {
    value_of(libc::AT_EXECFN)
}

/// The maker of an x86 processor; empty elsewhere.
pub(crate) fn processor_maker() -> String {
    #[cfg(target_arch = "x86_64")]
    {
        // It is no unsafe function in newer versions of Rust than the oldest that this crate takes.
        let cpuid: unsafe fn(u32) -> std::arch::x86_64::CpuidResult = std::arch::x86_64::__cpuid;
        // SAFETY: every processor of this architecture has the instruction, and leaf 0.
        let leaf = unsafe { cpuid(0) };
        let bytes = [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes).concat();
        String::from_utf8_lossy(&bytes).into_owned()
    }
    #[cfg(not(target_arch = "x86_64"))]
    String::new()
}

/// 0 if the kernel said nothing.
fn value_of(entry: libc::c_ulong) -> usize {
    // SAFETY: getauxval(3) takes no pointer, and answers 0 to what it does not know.
    usize::try_from(unsafe { libc::getauxval(entry) }).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_told_the_size_of_a_page_and_where_the_name_of_the_program_is() {
        assert_eq!(page_bytes(), rustix::param::page_size());
        assert_eq!(program_name(), rustix::param::linux_execfn().as_ptr().addr());
        assert_eq!(features(), rustix::param::linux_hwcap().1);
    }
}
