//! Which machines execute the same instructions: clients have a row for each instruction set, and none for each machine.

/// The instruction sets that clients write code of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InstructionSet {
    X86,
    Arm64,
    Riscv64,
    Powerpc32,
}

/// A row of each, in the order of their declaration.
pub(crate) type Rows<T> = [T; 4];

/// Names of machines in tables: of Linux, with variants, and of Rust.
const NAMES: [(&str, InstructionSet); 12] = [
    ("x86", InstructionSet::X86),
    ("x86_64", InstructionSet::X86),
    ("arm64", InstructionSet::Arm64),
    ("arm64-4k", InstructionSet::Arm64),
    ("arm64-16k", InstructionSet::Arm64),
    ("arm64-64k", InstructionSet::Arm64),
    ("aarch64", InstructionSet::Arm64),
    ("riscv64", InstructionSet::Riscv64),
    ("powerpc", InstructionSet::Powerpc32),
    ("powerpc-8xx", InstructionSet::Powerpc32),
    ("powerpc-8xx-16k", InstructionSet::Powerpc32),
    ("powerpc-book3s32", InstructionSet::Powerpc32),
];

impl InstructionSet {
    /// The instruction set of a machine of that name, `None` if clients know nothing of it.
    pub(crate) fn of_machine(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|&(_, set)| set)
    }

    /// The row of a machine of that name.
    pub(crate) fn row<'r, T>(rows: &'r Rows<T>, machine: &str) -> Option<&'r T> {
        Self::of_machine(machine).and_then(|set| rows.get(set as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_sets() {
        let rows = ["x86", "arm64", "riscv64", "powerpc"];
        for name in rows {
            assert_eq!(InstructionSet::row(&rows, name), Some(&name));
        }
        assert_eq!(InstructionSet::row(&rows, "arm64-16k"), Some(&"arm64"));
        assert_eq!(InstructionSet::of_machine("x86-32"), None, "other trampolines, other relocations");
    }
}
