//! The machine this process runs on.

use execmem_types::{Features, InstructionSet, Machine, PageSize};

#[cfg(target_arch = "aarch64")]
use execmem_arch_arm64::INSTRUCTIONS_ARM64 as INSTRUCTIONS;
#[cfg(target_arch = "loongarch64")]
use execmem_arch_others::loongarch::INSTRUCTIONS_LOONGARCH as INSTRUCTIONS;
#[cfg(target_arch = "s390x")]
use execmem_arch_others::s390::INSTRUCTIONS_S390 as INSTRUCTIONS;
#[cfg(target_arch = "powerpc")]
use execmem_arch_powerpc_8xx::INSTRUCTIONS_POWERPC_BOOK3S32 as INSTRUCTIONS;
#[cfg(target_arch = "riscv64")]
use execmem_arch_riscv::INSTRUCTIONS_RISCV64 as INSTRUCTIONS;
#[cfg(target_arch = "x86_64")]
use execmem_arch_x86::INSTRUCTIONS_X86 as INSTRUCTIONS;

use crate::auxv;

/// The instructions of a processor that no table describes.
#[cfg(not(any(
    target_arch = "aarch64",
    target_arch = "loongarch64",
    target_arch = "powerpc",
    target_arch = "riscv64",
    target_arch = "s390x",
    target_arch = "x86_64"
)))]
const INSTRUCTIONS: InstructionSet = InstructionSet::unknown(usize::BITS);

/// Size of the pages that text should be mapped with.
pub(crate) const LARGE: PageSize = PageSize::mib(2);

/// What this processor promises beyond its architecture. Linux's distributions for RISC-V ask for the profile RVA20, of
/// which Ziccif is part; of x86, AMD's processors say what they promise about fetch, Intel's do not.
fn features() -> Features {
    if cfg!(target_arch = "riscv64") {
        return Features::ZICCIF;
    }
    let is_amd = ["AuthenticAMD", "HygonGenuine"].contains(&auxv::processor_maker().as_str());
    if is_amd { Features::FETCH_8 } else { Features::NONE }
}

/// The machine this process runs on.
pub(crate) fn machine() -> Machine {
    static HERE: InstructionSet = INSTRUCTIONS;
    let page = PageSize::from_bytes(auxv::page_bytes() as u64).unwrap_or(PageSize::kib(4));
    let leaves = [page, LARGE.max(page)];
    let leaves = if leaves[0] == leaves[1] { &leaves[..1] } else { &leaves };
    Machine { features: features(), ..Machine::new(std::env::consts::ARCH, &HERE, leaves) }
}
