//! Relocation: computing a value from a rule and putting it into a field, with every bound checked.
//!
//! A machine's relocations are rows of a table; nothing here knows a machine.

use object::elf::EM_X86_64;

use super::object_file::Relocation;
use super::rules::{RelocationRule, Value};
use super::x86;
use crate::Error;

/// The number in ELF, and the rules, of a machine of ours.
pub(super) fn rules_of(machine: &str) -> Option<(u16, &'static [RelocationRule])> {
    const MACHINES: [(&str, u16, &[RelocationRule]); 2] =
        [("x86", EM_X86_64, x86::RULES), ("x86_64", EM_X86_64, x86::RULES)];
    MACHINES.iter().find(|(name, ..)| *name == machine).map(|&(_, number, rules)| (number, rules))
}

/// Patching the copy of one section.
#[derive(Debug)]
pub(super) struct Patch {
    /// Index of the section.
    pub(super) section: usize,
    /// Where it will lie.
    pub(super) address: u64,
    pub(super) rules: &'static [RelocationRule],
    pub(super) is_big_endian: bool,
}

impl Patch {
    /// Applies the relocations of the section, in order, to its bytes.
    pub(super) fn apply(
        &self,
        relocations: &[Relocation],
        symbols: &[Option<u64>],
        bytes: &mut [u8],
    ) -> Result<(), Error> {
        relocations.iter().enumerate().try_for_each(|(index, relocation)| {
            let number = relocation.number;
            let rule = self.rules.iter().find(|rule| rule.number == number);
            let unknown = Error::UnknownRelocation { section: self.section, relocation: index, number };
            self.apply_one(rule.ok_or(unknown)?, index, relocation, symbols, bytes)
        })
    }

    fn apply_one(
        &self,
        rule: &RelocationRule,
        relocation: usize,
        entry: &Relocation,
        symbols: &[Option<u64>],
        bytes: &mut [u8],
    ) -> Result<(), Error> {
        let (section, name, offset, symbol) = (self.section, rule.name, entry.offset, entry.symbol);
        if rule.value == Value::Nothing {
            return Ok(());
        }
        let outside = Error::OutsideSection { section, relocation, name, offset };
        let start = usize::try_from(offset).map_err(|_| outside)?;
        let end = start.checked_add(rule.target.bytes()).ok_or(outside)?;
        let field = bytes.get_mut(start..end).ok_or(outside)?;
        let target = symbols.get(symbol).copied().flatten();
        let target = target.ok_or(Error::BadReference { section, relocation, symbol })?;
        if field.iter().any(|&byte| byte != 0) {
            return Err(Error::AlreadyPatched { section, relocation, name });
        }
        let value = compute(rule.value, target, entry.addend, self.address.wrapping_add(offset));
        if !rule.target.holds(value) {
            return Err(Error::OutOfReach { section, relocation, name, value });
        }
        put(field, value, self.is_big_endian);
        Ok(())
    }
}

/// The value as the processor will see it: addresses wrap at 2⁶⁴, and then are signed.
const fn compute(value: Value, symbol: u64, addend: i64, place: u64) -> i128 {
    let sum = symbol.wrapping_add_signed(addend);
    match value {
        Value::Nothing => 0,
        Value::Absolute => sum.cast_signed() as i128,
        Value::Relative => sum.wrapping_sub(place).cast_signed() as i128,
    }
}

fn put(field: &mut [u8], value: i128, is_big_endian: bool) {
    let bytes = value.to_le_bytes();
    let len = field.len();
    field.copy_from_slice(&bytes[..len]);
    if is_big_endian {
        field.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_addresses_are_negative_numbers() {
        assert_eq!(compute(Value::Absolute, 0xffff_ffff_8100_0000, 8, 0), -0x7eff_fff8);
        assert_eq!(compute(Value::Relative, 0xffff_ffff_8100_0000, -4, 0xffff_ffff_c000_0000), -0x3f00_0004);
    }
}
