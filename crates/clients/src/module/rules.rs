//! What a relocation is, as data: a machine's relocations are rows of a table.

/// One type of relocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelocationRule {
    /// Number of the type in the ELF ABI of the machine.
    pub number: u32,
    /// Name of the type in that document.
    pub name: &'static str,
    /// What is computed.
    pub value: Value,
    /// Where it goes, and what must fit there.
    pub target: Target,
}

/// What a relocation computes, from the symbol S, the addend A and the place P.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Nothing,
    /// S + A
    Absolute,
    /// S + A − P
    Relative,
}

/// What of the value must be representable in the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// No field.
    Nothing,
    /// All 64 bits of the address space: nothing can be lost.
    Word64,
    /// 32 bits that are extended with zeros.
    Unsigned32,
    /// 32 bits that are extended with the sign.
    Signed32,
}

impl Target {
    pub(super) const fn bytes(self) -> usize {
        match self {
            Target::Nothing => 0,
            Target::Word64 => 8,
            Target::Unsigned32 | Target::Signed32 => 4,
        }
    }

    pub(super) const fn holds(self, value: i128) -> bool {
        match self {
            Target::Nothing | Target::Word64 => true,
            Target::Unsigned32 => value >= 0 && value <= u32::MAX as i128,
            Target::Signed32 => value >= i32::MIN as i128 && value <= i32::MAX as i128,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_hold_exactly_what_they_can() {
        assert!(Target::Unsigned32.holds(0xffff_ffff) && !Target::Unsigned32.holds(0x1_0000_0000));
        assert!(!Target::Unsigned32.holds(-1));
        assert!(Target::Signed32.holds(0x7fff_ffff) && !Target::Signed32.holds(0x8000_0000));
        assert!(Target::Signed32.holds(-0x8000_0000) && !Target::Signed32.holds(-0x8000_0001));
    }
}
