//! Relocation: computing a value from a rule and putting it into a field, with every bound checked.
//!
//! A machine's relocations are rows of a table; nothing here knows a machine.

use alloc::collections::BTreeMap;

use super::object_file::Relocation;
use super::plt::Plt;
use super::rules::{MachineRules, RelocationRule, Target, Value};
use super::{arm64, powerpc, riscv, x86};
use crate::Error;
use crate::instruction_set::{InstructionSet, Rows};

const PAGE_MASK: u64 = !0xfff;

/// What the loader knows of a machine of ours.
pub(super) fn rules_of(machine: &str) -> Option<&'static MachineRules> {
    static ROWS: Rows<MachineRules> = [x86::MACHINE, arm64::MACHINE, riscv::MACHINE, powerpc::MACHINE];
    InstructionSet::row(&ROWS, machine)
}

/// Patching the copy of one section.
#[derive(Debug)]
pub(super) struct Patch<'a> {
    /// Index of the section.
    pub(super) section: usize,
    /// Where it will lie.
    pub(super) address: u64,
    pub(super) machine: &'static MachineRules,
    pub(super) is_big_endian: bool,
    pub(super) relocations: &'a [Relocation],
    /// The value of every symbol.
    pub(super) symbols: &'a [Option<u64>],
}

impl Patch<'_> {
    /// Applies the relocations of the section, in order, to its bytes. Calls that do not reach go by way of `plt`.
    pub(super) fn apply(&self, bytes: &mut [u8], mut plt: Option<&mut Plt<'_>>) -> Result<(), Error> {
        let highs = self.highs();
        self.relocations.iter().enumerate().try_for_each(|(index, entry)| {
            let number = entry.number;
            let unknown = Error::UnknownRelocation { section: self.section, relocation: index, number };
            let rule = self.rule(entry).ok_or(unknown)?;
            self.apply_one(rule, index, &highs, bytes, plt.as_deref_mut())
        })
    }

    fn rule(&self, entry: &Relocation) -> Option<&'static RelocationRule> {
        self.machine.relocations.iter().find(|rule| rule.number == entry.number)
    }

    /// The relocations that others refer to, by address.
    fn highs(&self) -> BTreeMap<u64, &Relocation> {
        let is_high = |entry: &&Relocation| self.rule(entry).is_some_and(|rule| rule.value == Value::High);
        let highs = self.relocations.iter().filter(is_high);
        highs.map(|entry| (self.address.wrapping_add(entry.offset), entry)).collect()
    }

    fn apply_one(
        &self,
        rule: &RelocationRule,
        relocation: usize,
        highs: &BTreeMap<u64, &Relocation>,
        bytes: &mut [u8],
        plt: Option<&mut Plt<'_>>,
    ) -> Result<(), Error> {
        let entry = &self.relocations[relocation];
        let (section, name, offset, symbol) = (self.section, rule.name, entry.offset, entry.symbol);
        if rule.value == Value::Nothing {
            return Ok(());
        }
        let outside = Error::OutsideSection { section, relocation, name, offset };
        let start = usize::try_from(offset).map_err(|_| outside)?;
        let end = start.checked_add(rule.target.bytes()).ok_or(outside)?;
        let field = bytes.get_mut(start..end).ok_or(outside)?;
        let dangling = Error::BadReference { section, relocation, symbol };
        let target = self.symbols.get(symbol).copied().flatten().ok_or(dangling)?;
        let place = self.address.wrapping_add(offset);
        let old = get(field, self.is_big_endian);
        if rule.is_patched_once() && old != 0 {
            return Err(Error::AlreadyPatched { section, relocation, name });
        }
        let mut value = match rule.value {
            Value::Low => self.high(highs, target).ok_or(dangling)?,
            Value::Add => i128::from(old.wrapping_add(target.wrapping_add_signed(entry.addend))),
            Value::Subtract => i128::from(old.wrapping_sub(target.wrapping_add_signed(entry.addend))),
            other => self.compute(other, target, entry.addend, place),
        };
        if !rule.target.holds(value) && rule.is_call {
            let by_way = plt.and_then(|plt| plt.entry(rule.callee(target, entry.addend)));
            value = by_way.map_or(value, |address| self.compute(rule.value, address, 0, place));
        }
        if !rule.target.holds(value) {
            return Err(Error::OutOfReach { section, relocation, name, value });
        }
        put(field, rule.target.insert(old, value), self.is_big_endian);
        Ok(())
    }

    /// The value of the relocation at an address.
    fn high(&self, highs: &BTreeMap<u64, &Relocation>, address: u64) -> Option<i128> {
        let high = highs.get(&address)?;
        let target = self.symbols.get(high.symbol).copied().flatten()?;
        Some(self.compute(Value::High, target, high.addend, address))
    }

    /// The value as the processor will see it: addresses wrap at their width, and then are signed.
    const fn compute(&self, value: Value, symbol: u64, addend: i64, place: u64) -> i128 {
        let unused = 64 - self.machine.address_bits;
        (compute(value, symbol, addend, place) << unused).cast_signed() as i128 >> unused
    }
}

impl RelocationRule {
    /// Whether nothing but zero can stand in the field before: whole words that no other relocation takes part in.
    const fn is_patched_once(&self) -> bool {
        !matches!(self.target, Target::Bits(_) | Target::Wrapping(_))
    }

    /// What a call by this relocation calls.
    pub(super) const fn callee(&self, symbol: u64, addend: i64) -> u64 {
        compute(self.value, symbol, addend, 0)
    }
}

/// The value, of which only the bits of an address count.
const fn compute(value: Value, symbol: u64, addend: i64, place: u64) -> u64 {
    let sum = symbol.wrapping_add_signed(addend);
    match value {
        Value::Nothing => 0,
        Value::Relative | Value::High => sum.wrapping_sub(place),
        Value::RelativeToSymbol => symbol.wrapping_sub(place),
        Value::RelativePage => (sum & PAGE_MASK).wrapping_sub(place & PAGE_MASK),
        Value::Absolute | Value::Low | Value::Add | Value::Subtract => sum,
    }
}

/// A field of up to 8 bytes as a number.
fn get(field: &[u8], is_big_endian: bool) -> u64 {
    let byte = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
    if is_big_endian { field.iter().fold(0, byte) } else { field.iter().rev().fold(0, byte) }
}

fn put(field: &mut [u8], value: u64, is_big_endian: bool) {
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

    fn compute_on(machine: &str, value: Value, symbol: u64, addend: i64, place: u64) -> i128 {
        let machine = rules_of(machine).expect("rules");
        let patch = Patch { section: 0, address: 0, machine, is_big_endian: false, relocations: &[], symbols: &[] };
        patch.compute(value, symbol, addend, place)
    }

    #[test]
    fn kernel_addresses_are_negative_numbers() {
        let compute = |value, symbol, addend, place| compute_on("x86", value, symbol, addend, place);
        assert_eq!(compute(Value::Absolute, 0xffff_ffff_8100_0000, 8, 0), -0x7eff_fff8);
        assert_eq!(compute(Value::Relative, 0xffff_ffff_8100_0000, -4, 0xffff_ffff_c000_0000), -0x3f00_0004);
        assert_eq!(compute(Value::RelativePage, 0x1234_5fff, 1, 0x1234_5fff), 0x1000);
    }

    #[test]
    fn addresses_of_32_bits_wrap_where_they_end() {
        let compute = |value, symbol, addend, place| compute_on("powerpc", value, symbol, addend, place);
        assert_eq!(compute(Value::Absolute, 0xc000_0000, -4, 0), 0xbfff_fffc - (1 << 32));
        assert_eq!(compute(Value::Relative, 0x1000, 4, 0xffff_f000), 0x2004);
        assert_eq!(compute(Value::RelativeToSymbol, 0x1000, 0x8000, 0xffff_f000), 0x2000);
    }

    #[test]
    fn fields_are_read_and_written_in_their_byte_order() {
        let mut field = [1, 2, 3, 4];
        assert_eq!((get(&field, false), get(&field, true)), (0x0403_0201, 0x0102_0304));
        put(&mut field, 0x0506_0708, true);
        assert_eq!(field, [5, 6, 7, 8]);
    }
}
