//! What stays known of a module: its symbols, where its sections lie, what it exports, and its build ID.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::entries::{Place, Symbol};
use super::grow::{copied, push, text};
use super::object_file::{ObjectFile, Section};
use super::sort::sort_by_key;
use super::symbols::{Symbols, Values};
use crate::Error;
use crate::growth::no_heap;

/// Names that an exported symbol has an entry by (`include/linux/export.h`).
pub(super) const EXPORT_PREFIX: &str = "__ksymtab_";
/// The section of what a kernel module says about itself.
pub(super) const ABOUT: &str = ".modinfo";
/// What every module defines and none exports: the functions that begin and end it, and the kernel's record of it.
pub(super) const LIFE: [&str; 3] = ["init_module", "cleanup_module", "__this_module"];
/// The section of the build ID, the type and owner of its note (`ld --build-id`).
const BUILD_ID_SECTION: &str = ".note.gnu.build-id";
const BUILD_ID_TYPE: u32 = 3;
const BUILD_ID_OWNER: &[u8] = b"GNU\0";

/// Where the named things of a module lie.
#[derive(Debug)]
pub struct Names {
    /// All names, one after the other.
    text: String,
    symbols: Vec<Named>,
    /// Places of those of functions and data of the module, local ones included, by address.
    by_address: Vec<u32>,
    /// Places of global ones by name; imported and absolute ones are among them.
    globals: HashTable<u32>,
    hasher: DefaultHashBuilder,
    sections: Vec<(Box<str>, u64, bool)>,
    build_id: Vec<u8>,
    /// What lies in the init kinds is gone.
    is_initialised: bool,
}

/// Whether a name is one that compilers make up.
fn is_anchor(name: &str) -> bool {
    name.starts_with(['$', '.'])
}

/// Whether anybody may ask for a symbol.
pub(super) fn keeps(name: &str, symbol: &Symbol) -> bool {
    let is_defined = matches!(symbol.place, Place::Section(_)) && !is_anchor(name);
    !name.is_empty() && (is_defined || symbol.is_global())
}

/// A symbol with a name.
#[derive(Debug, Clone, Copy)]
struct Named {
    address: u64,
    /// Where its name stands.
    start: u32,
    len: u32,
    is_global: bool,
    /// It lies in the module.
    is_defined: bool,
    is_exported: bool,
    /// It goes with the init kinds.
    is_init: bool,
}

impl Names {
    pub(super) fn new(
        object: &ObjectFile<'_>,
        values: &Values<'_>,
        is_init: impl Fn(usize) -> bool,
    ) -> Result<Self, Error> {
        let mut names = Names {
            text: String::new(),
            symbols: Vec::new(),
            by_address: Vec::new(),
            globals: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            sections: Vec::new(),
            build_id: copied(build_id(object).unwrap_or_default())?,
            is_initialised: false,
        };
        // As many as there will be, so that growing takes nothing on top.
        let kept = object.symbols.iter().map(|(_, symbol)| (object.name_of(&symbol), symbol));
        let kept = kept.filter(|(name, symbol)| keeps(name, symbol));
        let (count, bytes) = kept.fold((0, 0), |(count, bytes), (name, _)| (count + 1, bytes + name.len()));
        names.text.try_reserve_exact(bytes).map_err(no_heap)?;
        names.symbols.try_reserve_exact(count).map_err(no_heap)?;
        for (index, symbol) in object.symbols.iter() {
            if let Some(address) = values.get(index) {
                names.add(object.name_of(&symbol), &symbol, address, &is_init)?;
            }
        }
        names.sort()?;
        names.index()?;
        names.mark_exports(marks_exports(object));
        for (index, section) in object.sections.iter().enumerate() {
            if let Some(address) = values.section(index) {
                push(&mut names.sections, (text(section.name)?, address, is_init(index)))?;
            }
        }
        Ok(names)
    }

    /// Keeps a symbol, if anybody may ask for it.
    fn add(&mut self, name: &str, symbol: &Symbol, address: u64, is_init: impl Fn(usize) -> bool) -> Result<(), Error> {
        if !keeps(name, symbol) {
            return Ok(());
        }
        let section = match symbol.place {
            Place::Section(section) if !is_anchor(name) => Some(section),
            _ => None,
        };
        let [start, len] = [self.text.len(), name.len()].map(|number| u32::try_from(number).unwrap_or(u32::MAX));
        self.text.push_str(name);
        push(
            &mut self.symbols,
            Named {
                address,
                start,
                len,
                is_global: symbol.is_global(),
                is_defined: section.is_some(),
                is_exported: false,
                is_init: section.is_some_and(is_init),
            },
        )
    }

    /// Sorts what is defined by address, and by name where that is the same.
    fn sort(&mut self) -> Result<(), Error> {
        let Names { text, symbols, by_address, .. } = self;
        by_address.try_reserve_exact(symbols.len()).map_err(no_heap)?;
        by_address.extend((0..).zip(&*symbols).filter(|(_, named)| named.is_defined).map(|(place, _)| place));
        let key = |place: &u32| symbols.get(*place as usize).map(|named| (named.address, name_of(text, named)));
        sort_by_key(by_address, key);
        Ok(())
    }

    /// Makes global symbols known by name.
    fn index(&mut self) -> Result<(), Error> {
        let Names { text, symbols, globals, hasher, .. } = self;
        let name = |place: &u32| symbols.get(*place as usize).map_or("", |named| name_of(text, named));
        let hash = |place: &u32| hasher.hash_one(name(place));
        let count = symbols.iter().filter(|named| named.is_global).count();
        globals.try_reserve(count, hash).map_err(no_heap)?;
        for (place, _) in (0..).zip(&*symbols).filter(|(_, named)| named.is_global) {
            globals.entry(hash(&place), |other| name(other) == name(&place), hash).insert(place);
        }
        Ok(())
    }

    /// Finds out what is exported: of a kernel module, what it marks; of another object, every global symbol it defines.
    fn mark_exports(&mut self, marks: bool) {
        for place in 0..self.symbols.len() {
            let named = self.symbols[place];
            let name = name_of(&self.text, &named);
            if !marks {
                self.symbols[place].is_exported = named.is_global && named.is_defined && !LIFE.contains(&name);
            } else if let Some(marked) = name.strip_prefix(EXPORT_PREFIX).and_then(|name| self.find(name)) {
                let marked = self.symbols.get_mut(marked as usize).filter(|_| named.is_defined);
                marked.into_iter().for_each(|named| named.is_exported = true);
            }
        }
    }

    /// The place of a global symbol.
    fn find(&self, name: &str) -> Option<u32> {
        let is_it = |place: &u32| self.get(*place).is_some_and(|named| name_of(&self.text, named) == name);
        self.globals.find(self.hasher.hash_one(name), is_it).copied()
    }

    fn get(&self, place: u32) -> Option<&Named> {
        self.symbols.get(place as usize)
    }

    /// The address of a global symbol.
    #[must_use]
    pub fn symbol(&self, name: &str) -> Option<u64> {
        self.get(self.find(name)?).map(|named| named.address)
    }

    /// The address of number `number` of the symbols of that name that the module defines, local ones included, from 1; of
    /// 0, of the only one.
    #[must_use]
    pub fn numbered(&self, name: &str, number: u32) -> Option<u64> {
        let is_it = |named: &&Named| named.is_defined && !(named.is_init && self.is_initialised);
        let named = self.symbols.iter().filter(is_it);
        let mut all = named.filter(|named| name_of(&self.text, named) == name).map(|named| named.address);
        match number.checked_sub(1) {
            Some(before) => all.nth(usize::try_from(before).ok()?),
            None => all.next().filter(|_| all.next().is_none()),
        }
    }

    /// The symbol at or before an address, and the distance from it: what a backtrace wants. Of several, the first by
    /// name. Whether the address is the module's at all is the caller's question.
    #[must_use]
    pub fn symbol_at(&self, address: u64) -> Option<(&str, u64)> {
        let address_of = |place: &u32| self.get(*place).map_or(0, |named| named.address);
        let behind = self.by_address.partition_point(|place| address_of(place) <= address);
        let start = address_of(self.by_address.get(behind.checked_sub(1)?)?);
        let first = self.by_address.partition_point(|place| address_of(place) < start);
        let named = self.get(*self.by_address.get(first)?)?;
        Some((name_of(&self.text, named), address - start))
    }

    /// What other modules may refer to: of a kernel module, what it marks; of another object, every global symbol it
    /// defines.
    pub(super) fn exports(&self) -> impl Iterator<Item = (&str, u64)> {
        let exported = self.by_address.iter().filter_map(|place| self.get(*place)).filter(|named| named.is_exported);
        exported.map(|named| (name_of(&self.text, named), named.address))
    }

    /// The name and address of each section, in the order of the file: what a debugger wants.
    pub fn sections(&self) -> impl Iterator<Item = (&str, u64)> {
        self.sections.iter().map(|(name, address, _)| (&**name, *address))
    }

    /// What a linker put into the object to tell it from others; empty if nothing.
    #[must_use]
    pub fn build_id(&self) -> &[u8] {
        &self.build_id
    }

    /// Forgets what lies in the init kinds.
    pub(super) fn forget_init(&mut self) {
        let Names { symbols, by_address, globals, sections, is_initialised, .. } = self;
        *is_initialised = true;
        let is_init = |place: u32| symbols.get(place as usize).is_some_and(|named| named.is_init);
        globals.retain(|place| !is_init(*place));
        by_address.retain(|place| !is_init(*place));
        sections.retain(|(_, _, is_init)| !is_init);
    }
}

/// The symbols that a module defines, as those of an object that another one patches.
impl Symbols for Names {
    fn address(&self, name: &str) -> Option<u64> {
        self.symbol(name)
    }

    fn numbered(&self, name: &str, number: u32) -> Option<u64> {
        Names::numbered(self, name, number)
    }
}

fn name_of<'t>(text: &'t str, named: &Named) -> &'t str {
    let start = named.start as usize;
    text.get(start..start + named.len as usize).unwrap_or("")
}

/// Whether an object is a kernel module, which says of itself what it is, and marks what it exports.
pub(super) fn marks_exports(object: &ObjectFile<'_>) -> bool {
    object.sections.iter().any(|section| section.name == ABOUT)
}

/// The content of the build ID's note.
fn build_id<'data>(object: &ObjectFile<'data>) -> Option<&'data [u8]> {
    let is_it = |section: &&Section<'_>| section.name == BUILD_ID_SECTION;
    let note = object.sections.iter().find(is_it)?.data;
    let word = |at: usize| u32::try_from(object.format.number(note.get(at..at + 4)?)).ok();
    let (owner_len, len) = (usize::try_from(word(0)?).ok()?, usize::try_from(word(4)?).ok()?);
    let owner = note.get(12..12_usize.checked_add(owner_len)?)?;
    if word(8)? != BUILD_ID_TYPE || owner != BUILD_ID_OWNER {
        return None;
    }
    let start = 12 + BUILD_ID_OWNER.len();
    note.get(start..start.checked_add(len)?)
}
