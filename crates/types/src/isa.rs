//! Names of instruction sets, by which a client asks whether it has code for a machine. Nothing else asks.

/// Instruction sets that callers may have code of their own for: decoders, trampolines, relocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// x86-64.
    X86,
    /// x86 with 32 bits.
    X86_32,
    /// arm64.
    Arm64,
    /// riscv64.
    Riscv64,
    /// powerpc with 32 bits.
    Powerpc32,
    /// LoongArch with 64 bits.
    Loongarch64,
    /// Any other.
    Other,
}
