//! What a loader refuses because it does not understand it, in words.

use core::fmt;

use object::elf::{
    EM_386, EM_AARCH64, EM_ARM, EM_LOONGARCH, EM_MIPS, EM_PARISC, EM_PPC, EM_PPC64, EM_RISCV, EM_S390, EM_SPARCV9,
    EM_X86_64, SHT_CREL, SHT_REL, SHT_RELR,
};

use crate::Name;

/// A machine as the header of an object says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ElfMachine(pub u16);

impl fmt::Display for ElfMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: &[(u16, &str)] = &[
            (EM_X86_64, "x86-64"),
            (EM_386, "x86-32"),
            (EM_AARCH64, "arm64"),
            (EM_ARM, "arm"),
            (EM_RISCV, "riscv"),
            (EM_LOONGARCH, "LoongArch"),
            (EM_PPC, "powerpc"),
            (EM_PPC64, "powerpc64"),
            (EM_S390, "s390"),
            (EM_MIPS, "MIPS"),
            (EM_SPARCV9, "sparc64"),
            (EM_PARISC, "PA-RISC"),
        ];
        match NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "ELF machine {}", self.0),
        }
    }
}

/// The relocation that an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelocationSite {
    /// Index of the section that is patched.
    pub section: u32,
    /// Index of the relocation among those of the section.
    pub relocation: u32,
    /// Name of the section.
    pub section_name: Name,
    /// Name of the symbol that it refers to; of a section's own symbol, that of the section.
    pub symbol_name: Name,
}

impl fmt::Display for RelocationSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RelocationSite { section, relocation, section_name, symbol_name } = self;
        write!(f, "section {section} ({section_name}), relocation {relocation} to {symbol_name}")
    }
}

/// Why a section is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SectionRefusal {
    /// It is writable and executable.
    WritableCode,
    /// Each thread has its own.
    ThreadLocal,
    /// Its bytes are compressed.
    Compressed,
    /// A type without a meaning here.
    UnknownType(u32),
    /// Relocations of a format that its machine does not have: without addends, or packed.
    RelocationFormat(u32),
    /// Relocations wait for another object, and the section is gone by then or each processor has its own.
    NotThereLater,
}

impl fmt::Display for SectionRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            SectionRefusal::WritableCode => f.write_str("is writable and executable"),
            SectionRefusal::ThreadLocal => f.write_str("is thread-local, which modules cannot have"),
            SectionRefusal::Compressed => f.write_str("is compressed"),
            SectionRefusal::UnknownType(number) => write!(f, "is of type {number:#x}, which has no meaning here"),
            SectionRefusal::NotThereLater => {
                f.write_str("is to be relocated when another object is loaded, and is no ordinary memory then")
            }
            SectionRefusal::RelocationFormat(number) => match number {
                SHT_REL => f.write_str("holds relocations without addends (REL); this machine's have some (RELA)"),
                SHT_CREL => f.write_str("holds compact relocations (CREL), which are not read"),
                SHT_RELR => f.write_str("holds packed relative relocations (RELR), which no object has"),
                _ => write!(f, "holds relocations of type {number:#x}"),
            },
        }
    }
}

/// Why a symbol is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymbolRefusal {
    /// It is in common storage.
    Common,
    /// Each thread has its own.
    ThreadLocal,
    /// Its address is what a function of the module returns.
    IndirectFunction,
    /// A binding without a meaning here.
    UnknownBinding(u8),
    /// Its section has a number without a meaning here.
    ReservedSection,
    /// It is marked as one of another object, and its name is not `.klp.sym.OBJECT.SYMBOL,NUMBER`.
    NoObject,
    /// A relocation that waits for an object refers to it, and it is neither that object's nor in this one.
    OtherObject,
}

impl fmt::Display for SymbolRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            SymbolRefusal::Common => f.write_str("is in common storage: compile with -fno-common"),
            SymbolRefusal::ThreadLocal => f.write_str("is thread-local, which modules cannot have"),
            SymbolRefusal::IndirectFunction => {
                f.write_str("is an indirect function (IFUNC), which modules cannot have")
            }
            SymbolRefusal::UnknownBinding(number) => write!(f, "has binding {number}, which has no meaning here"),
            SymbolRefusal::NoObject => {
                f.write_str("is marked as one of another object, and its name does not say of which")
            }
            SymbolRefusal::OtherObject => f.write_str("is not of the object that a relocation to it waits for"),
            SymbolRefusal::ReservedSection => f.write_str("is in a section whose number has no meaning here"),
        }
    }
}
