//! Relocation: computing a value from a rule and putting it into a field, with every bound checked.
//!
//! A machine's relocations are rows of a table; nothing here knows a machine.

use alloc::vec::Vec;

use execmem_types::{Erratum, InstructionSet, Isa};

use super::entries::{Relocation, Relocations};
use super::got::Got;
use super::grow::push;
use super::object_file::ObjectFile;
use super::plt::Plt;
use super::refusal::{ElfMachine, RelocationSite};
use super::rules::{MachineRules, Meaning, PageEnd, RelocationRule, Target, Value};
use super::sort::sort;
use super::symbols::Values;
use super::{arm64, loongarch, powerpc, riscv, x86};
use crate::encoding::Rows;
use crate::{Error, Name};

const PAGE_MASK: u64 = !0xfff;

/// What the loader knows of the machines that execute an instruction set.
pub(super) fn rules_of(isa: Isa) -> Option<&'static MachineRules> {
    const ROWS: &Rows<&MachineRules> = &[
        (Isa::X86, &x86::MACHINE),
        (Isa::Arm64, &arm64::MACHINE),
        (Isa::Riscv64, &riscv::MACHINE),
        (Isa::Powerpc32, &powerpc::MACHINE),
        (Isa::Loongarch64, &loongarch::MACHINE),
    ];
    crate::encoding::row(ROWS, isa)
}

/// Patching the copy of one section.
#[derive(Debug)]
pub(super) struct Patch<'a, 'data> {
    /// Index of the section.
    pub(super) section: usize,
    /// Where it will lie.
    pub(super) address: u64,
    pub(super) machine: &'static MachineRules,
    pub(super) instructions: &'static InstructionSet,
    pub(super) object: &'a ObjectFile<'data>,
    pub(super) relocations: Relocations<'data>,
    pub(super) values: &'a Values<'data>,
    pub(super) got: Got<'a>,
}

/// Addresses and indices of the relocations that others refer to, by address.
type Highs = Vec<(u64, usize)>;

impl Patch<'_, '_> {
    /// Applies the relocations of the section, in order, to its bytes. Calls that do not reach go by way of `plt`.
    pub(super) fn apply(&self, bytes: &mut [u8], mut plt: Option<&mut Plt<'_>>) -> Result<(), Error> {
        let highs = self.highs()?;
        for (index, entry) in self.relocations.iter().enumerate() {
            let (machine, number) = (ElfMachine(self.machine.number), entry.number);
            let rule = self.rule(&entry);
            let rule =
                rule.ok_or_else(|| Error::UnknownRelocation { at: self.site(index, &entry), machine, number })?;
            self.apply_one(rule, index, &entry, &highs, bytes, plt.as_deref_mut())?;
        }
        Ok(())
    }

    fn rule(&self, entry: &Relocation) -> Option<&'static RelocationRule> {
        self.machine.rule(entry.number)
    }

    fn highs(&self) -> Result<Highs, Error> {
        let mut highs = Vec::new();
        for (index, entry) in self.relocations.iter().enumerate() {
            if self.rule(&entry).is_some_and(|rule| rule.value == Value::High) {
                push(&mut highs, (self.address.wrapping_add(entry.offset), index))?;
            }
        }
        sort(&mut highs);
        Ok(highs)
    }

    /// What an error says of a relocation.
    #[cold]
    #[inline(never)] // Its names are on the stack only where there is an error.
    fn site(&self, index: usize, entry: &Relocation) -> RelocationSite {
        let number = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        RelocationSite {
            section: number(self.section),
            relocation: number(index),
            section_name: Name::new(self.object.sections.get(self.section).map_or("", |section| section.name)),
            symbol_name: self.object.label_of(entry.symbol),
        }
    }

    /// What S and A are.
    fn operands(&self, rule: &RelocationRule, entry: &Relocation) -> Option<(u64, i64)> {
        Some(match rule.symbol {
            Meaning::Value => (self.values.get(entry.symbol)?, entry.addend),
            Meaning::Entry => (self.got.address(entry.symbol, 0)?, entry.addend),
            Meaning::EntryOfSum => (self.got.address(entry.symbol, entry.addend)?, 0),
        })
    }

    #[inline(never)]
    fn apply_one(
        &self,
        rule: &RelocationRule,
        relocation: usize,
        entry: &Relocation,
        highs: &Highs,
        bytes: &mut [u8],
        plt: Option<&mut Plt<'_>>,
    ) -> Result<(), Error> {
        let (name, offset, symbol) = (rule.name, entry.offset, entry.symbol);
        let at = || self.site(relocation, entry);
        if rule.value == Value::Nothing {
            return Ok(());
        }
        let outside = || Error::OutsideSection { at: at(), name, offset };
        let rest = usize::try_from(offset).ok().and_then(|start| bytes.get_mut(start..)).ok_or_else(outside)?;
        let len = rule.target.bytes(rest);
        let field = rest.get_mut(..len).ok_or_else(outside)?;
        let dangling = || Error::BadReference { at: at(), symbol };
        let (target, addend) = self.operands(rule, entry).ok_or_else(dangling)?;
        let place = self.address.wrapping_add(offset);
        let is_big_endian = self.object.format.is_big_endian;
        let old = if len <= 8 { self.object.format.number(field) } else { 0 };
        if rule.is_patched_once() && old != 0 {
            return Err(Error::AlreadyPatched { at: at(), name });
        }
        if let Some(fix) = self.page_end(entry, place) {
            let sum = target.wrapping_add_signed(addend);
            return self.detour(rule, fix, (place, sum), field, plt)?.ok_or_else(|| Error::OutOfReach {
                at: at(),
                name,
                value: sum.wrapping_sub(place).cast_signed(),
            });
        }
        let mut value = match rule.value {
            Value::Low => self.high(highs, target).ok_or_else(dangling)?,
            Value::Add => i128::from(old.wrapping_add(target.wrapping_add_signed(addend))),
            Value::Subtract => i128::from(old.wrapping_sub(target.wrapping_add_signed(addend))),
            Value::Difference | Value::Subtrahend => match self.pair(rule.value, relocation, offset) {
                Some(subtrahend) => self.compute(Value::Relative, target, addend, subtrahend),
                None => return Err(Error::Unpaired { at: at(), name }),
            },
            other => self.compute(other, target, addend, place),
        };
        if !rule.target.holds(value, len) && rule.is_call {
            let by_way = plt.map_or(Ok(None), |plt| plt.entry(rule.callee(target, addend)))?;
            value = by_way.map_or(value, |address| self.compute(rule.value, address, 0, place));
        }
        if !rule.target.holds(value, len) {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            return Err(Error::OutOfReach { at: at(), name, value });
        }
        put(field, rule.target.insert(old, value, len), is_big_endian);
        Ok(())
    }

    /// The value of the relocation at an address.
    fn high(&self, highs: &Highs, address: u64) -> Option<i128> {
        let place = highs.binary_search_by_key(&address, |(address, _)| *address).ok()?;
        let high = self.relocations.get(highs.get(place)?.1)?;
        let (target, addend) = self.operands(self.rule(&high)?, &high)?;
        Some(self.compute(Value::High, target, addend, address))
    }

    /// What the other half of a pair says: the number to subtract, or nothing of interest for the second half.
    fn pair(&self, half: Value, relocation: usize, offset: u64) -> Option<u64> {
        let (other, wanted) = match half {
            Value::Difference => (relocation.checked_add(1)?, Value::Subtrahend),
            _ => (relocation.checked_sub(1)?, Value::Difference),
        };
        let entry = self.relocations.get(other).filter(|entry| entry.offset == offset)?;
        let rule = self.rule(&entry).filter(|rule| rule.value == wanted)?;
        let (symbol, addend) = self.operands(rule, &entry)?;
        Some(symbol.wrapping_add_signed(addend))
    }

    /// What to do about an instruction that must not stand where it does.
    fn page_end(&self, entry: &Relocation, place: u64) -> Option<&'static PageEnd> {
        let fix = self.machine.page_end.as_ref()?;
        let is_concerned = self.instructions.errata.contains(&Erratum::AdrpAtPageEnd);
        (is_concerned && fix.relocations.contains(&entry.number) && fix.forbids(place)).then_some(fix)
    }

    /// Puts a shorter instruction into the field, or a jump to where the longer one may stand. `None` if neither reaches.
    #[inline(never)] // It has a veneer on the stack.
    fn detour(
        &self,
        rule: &RelocationRule,
        fix: &PageEnd,
        (place, sum): (u64, u64),
        field: &mut [u8],
        plt: Option<&mut Plt<'_>>,
    ) -> Result<Option<()>, Error> {
        let is_big_endian = self.object.format.is_big_endian;
        let (old, len) = (self.object.format.number(field), field.len());
        let near = self.compute(Value::PageFromPlace, sum, 0, place);
        if fix.short.holds(near, len) {
            put(field, fix.short.insert(old & !fix.cleared, near, len), is_big_endian);
            return Ok(Some(()));
        }
        let there = |at: u64| {
            let value = self.compute(rule.value, sum, 0, at);
            rule.target.holds(value, len).then(|| {
                let mut bytes = [0; 8];
                put(&mut bytes[..len], rule.target.insert(old, value, len), is_big_endian);
                bytes
            })
        };
        let Some(plt) = plt else { return Ok(None) };
        let Some(by_way) = plt.detour(len, place.wrapping_add(len as u64), there)? else { return Ok(None) };
        let jump = self.instructions.jump.and_then(|jump| jump.encode(place, by_way));
        Ok(jump.filter(|jump| jump.bytes().len() == len).map(|jump| field.copy_from_slice(jump.bytes())))
    }

    /// The value as the processor will see it: addresses wrap at their width, and then are signed.
    const fn compute(&self, value: Value, symbol: u64, addend: i64, place: u64) -> i128 {
        wrapped(compute(value, symbol, addend, place), self.instructions.address_bits)
    }
}

/// A number of so many bits, with a sign.
const fn wrapped(value: u64, bits: u32) -> i128 {
    let unused = 64 - bits;
    (value << unused).cast_signed() as i128 >> unused
}

impl MachineRules {
    /// The row of a number.
    pub(super) fn rule(&self, number: u32) -> Option<&'static RelocationRule> {
        self.relocations.iter().find(|rule| rule.number == number)
    }
}

impl PageEnd {
    /// Whether the instruction must not stand at an address.
    pub(super) const fn forbids(&self, place: u64) -> bool {
        place & !PAGE_MASK >= !PAGE_MASK + 1 - self.last_bytes
    }
}

impl RelocationRule {
    /// Whether nothing but zero can stand in the field before: whole words that no other relocation takes part in.
    const fn is_patched_once(&self) -> bool {
        !matches!(self.target, Target::Bits(_) | Target::Wrapping(_) | Target::Uleb128 | Target::Nothing)
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
        Value::Nothing | Value::Subtrahend => 0,
        Value::Relative | Value::High => sum.wrapping_sub(place),
        Value::RelativeToSymbol => symbol.wrapping_sub(place),
        Value::PageFromPlace => (sum & PAGE_MASK).wrapping_sub(place),
        Value::RelativeToPage => sum.wrapping_sub(place & PAGE_MASK),
        Value::RelativePage => (sum & PAGE_MASK).wrapping_sub(place & PAGE_MASK),
        Value::Absolute | Value::Low | Value::Add | Value::Subtract | Value::Difference => sum,
    }
}

/// Puts a number into a field of up to 8 bytes.
pub(super) fn put(field: &mut [u8], value: u64, is_big_endian: bool) {
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
        let compute = |value, symbol, addend, place| wrapped(compute(value, symbol, addend, place), 64);
        assert_eq!(compute(Value::Absolute, 0xffff_ffff_8100_0000, 8, 0), -0x7eff_fff8);
        assert_eq!(compute(Value::Relative, 0xffff_ffff_8100_0000, -4, 0xffff_ffff_c000_0000), -0x3f00_0004);
        assert_eq!(compute(Value::RelativePage, 0x1234_5fff, 1, 0x1234_5fff), 0x1000);
        assert_eq!(compute(Value::PageFromPlace, 0x1234_5fff, 1, 0x1234_5ffc), 4);
    }

    #[test]
    fn addresses_of_32_bits_wrap_where_they_end() {
        let compute = |value, symbol, addend, place| wrapped(compute(value, symbol, addend, place), 32);
        assert_eq!(compute(Value::Absolute, 0xc000_0000, -4, 0), 0xbfff_fffc - (1 << 32));
        assert_eq!(compute(Value::Relative, 0x1000, 4, 0xffff_f000), 0x2004);
        assert_eq!(compute(Value::RelativeToSymbol, 0x1000, 0x8000, 0xffff_f000), 0x2000);
    }

    #[test]
    fn the_last_two_words_of_a_page_are_forbidden() {
        let fix = rules_of(Isa::Arm64).and_then(|rules| rules.page_end).expect("a way round");
        assert_eq!([0x1ff4, 0x1ff8, 0x1ffc, 0x2000].map(|place| fix.forbids(place)), [false, true, true, false]);
    }

    #[test]
    fn fields_are_written_in_their_byte_order() {
        let mut field = [1, 2, 3, 4];
        put(&mut field, 0x0506_0708, true);
        assert_eq!(field, [5, 6, 7, 8]);
    }
}
