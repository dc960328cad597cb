//! What stays known of a module: its symbols, where its sections lie, what it exports, and its build ID.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use execmem::Extent;

use super::object_file::{ObjectFile, Place};

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
    /// Global symbols.
    symbols: BTreeMap<Box<str>, u64>,
    /// Symbols of functions and data, local ones included, by address.
    by_address: Vec<(u64, Box<str>)>,
    sections: Vec<(Box<str>, u64)>,
    build_id: Box<[u8]>,
    /// It says which of its global symbols others may refer to.
    marks_exports: bool,
}

impl Names {
    pub(super) fn new(
        object: &ObjectFile<'_>,
        values: &[Option<u64>],
        address_of: impl Fn(usize) -> Option<u64>,
    ) -> Self {
        let symbols = || object.symbols.iter().zip(values).filter_map(|(symbol, value)| Some((symbol, (*value)?)));
        let globals = symbols().filter(|(symbol, _)| symbol.is_global);
        let is_kept = |name: &str| !name.is_empty() && !name.starts_with(['$', '.']);
        let here = symbols().filter(|(symbol, _)| matches!(symbol.place, Place::Section(_)) && is_kept(symbol.name));
        let mut by_address: Vec<(u64, Box<str>)> = here.map(|(symbol, value)| (value, symbol.name.into())).collect();
        by_address.sort_unstable();
        let sections = object.sections.iter().enumerate();
        Names {
            symbols: globals.map(|(symbol, value)| (symbol.name.into(), value)).collect(),
            by_address,
            sections: sections.filter_map(|(index, section)| Some((section.name.into(), address_of(index)?))).collect(),
            build_id: build_id(object).unwrap_or_default().into(),
            marks_exports: marks_exports(object),
        }
    }

    /// The address of a global symbol.
    #[must_use]
    pub fn symbol(&self, name: &str) -> Option<u64> {
        self.symbols.get(name).copied()
    }

    /// The symbol at or before an address, and the distance from it: what a backtrace wants. Of several, the first by
    /// name. Whether the address is the module's at all is the caller's question.
    #[must_use]
    pub fn symbol_at(&self, address: u64) -> Option<(&str, u64)> {
        let behind = self.by_address.partition_point(|(start, _)| *start <= address);
        let (start, _) = self.by_address.get(behind.checked_sub(1)?)?;
        let first = self.by_address.partition_point(|(other, _)| other < start);
        self.by_address.get(first).map(|(_, name)| (&**name, address - start))
    }

    /// What other modules may refer to: of a kernel module, what it marks; of another object, every global symbol it
    /// defines.
    pub(super) fn exports(&self) -> impl Iterator<Item = (&str, u64)> {
        let marked: BTreeSet<&str> =
            self.by_address.iter().filter_map(|(_, name)| name.strip_prefix(EXPORT_PREFIX)).collect();
        let is_defined = |address: u64| self.by_address.binary_search_by_key(&address, |(start, _)| *start).is_ok();
        let is_exported = move |name: &str, address| match self.marks_exports {
            true => marked.contains(name),
            false => is_defined(address) && !LIFE.contains(&name),
        };
        let symbols = self.symbols.iter().map(|(name, address)| (&**name, *address));
        symbols.filter(move |(name, address)| is_exported(name, *address))
    }

    /// The name and address of each section, in the order of the file: what a debugger wants.
    pub fn sections(&self) -> impl Iterator<Item = (&str, u64)> {
        self.sections.iter().map(|(name, address)| (&**name, *address))
    }

    /// What a linker put into the object to tell it from others; empty if nothing.
    #[must_use]
    pub fn build_id(&self) -> &[u8] {
        &self.build_id
    }

    /// Forgets what lies in memory that is gone.
    pub(super) fn forget(&mut self, gone: &[Extent]) {
        let is_gone = |address: u64| gone.iter().any(|extent| extent.contains(address));
        self.symbols.retain(|_, address| !is_gone(*address));
        self.by_address.retain(|(address, _)| !is_gone(*address));
        self.sections.retain(|(_, address)| !is_gone(*address));
    }
}

/// Whether an object is a kernel module, which says of itself what it is, and marks what it exports.
pub(super) fn marks_exports(object: &ObjectFile<'_>) -> bool {
    object.sections.iter().any(|section| section.name == ABOUT)
}

/// The content of the build ID's note.
fn build_id<'data>(object: &ObjectFile<'data>) -> Option<&'data [u8]> {
    let note = object.sections.iter().find(|section| section.name == BUILD_ID_SECTION)?.data;
    let word = |at: usize| {
        let bytes = *note.get(at..)?.first_chunk()?;
        Some(if object.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    };
    let (owner_len, len) = (usize::try_from(word(0)?).ok()?, usize::try_from(word(4)?).ok()?);
    let owner = note.get(12..12_usize.checked_add(owner_len)?)?;
    if word(8)? != BUILD_ID_TYPE || owner != BUILD_ID_OWNER {
        return None;
    }
    let start = 12 + BUILD_ID_OWNER.len();
    note.get(start..start.checked_add(len)?)
}
