//! What can be wrong with a module.

use execmem::Kind;
use thiserror::Error;

use crate::Name;

/// Why a module was not loaded. Nothing of it stays allocated. (I9)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is no relocatable ELF object, or is cut off.
    #[error("not a relocatable ELF object: {field} is missing or makes no sense")]
    NotAnObject {
        /// What is wrong first.
        field: Field,
    },
    /// The object is for another machine than the engine's table.
    #[error("the object is for ELF machine {found}, this loader for {wanted}")]
    WrongMachine {
        /// `e_machine` of the object.
        found: u16,
        /// `e_machine` of the table's machine.
        wanted: u16,
    },
    /// There are no rules for relocations of the table's machine.
    #[error("modules of this table's machine cannot be loaded")]
    UnknownMachine,
    /// A section's header, or what it says about the file, makes no sense.
    #[error("section {section} ({name}): {field} is missing or makes no sense")]
    BadSection {
        /// Index of the section.
        section: usize,
        /// Its name.
        name: Name,
        /// What is wrong.
        field: Field,
    },
    /// Two sections claim the same bytes of the file.
    #[error("sections {first} and {second} overlap in the file")]
    OverlappingSections {
        /// Index of one.
        first: usize,
        /// Index of the other.
        second: usize,
    },
    /// The sections of one kind together are larger than any address space.
    #[error("{kind}: the sections up to number {section} are too large together")]
    TooLarge {
        /// The kind.
        kind: Kind,
        /// Index of the section that is one too many.
        section: usize,
    },
    /// A symbol's entry makes no sense.
    #[error("symbol {symbol}: {field} is missing or makes no sense")]
    BadSymbol {
        /// Index of the symbol.
        symbol: usize,
        /// What is wrong.
        field: Field,
    },
    /// A symbol is defined nowhere.
    #[error("symbol {name} is defined nowhere")]
    Unresolved {
        /// Its name.
        name: Name,
    },
    /// A symbol is in common storage, which a module must not have.
    #[error("symbol {name} is in common storage: compile with -fno-common")]
    Common {
        /// Its name.
        name: Name,
    },
    /// A relocation of a type the machine has no rule for.
    #[error("section {section}, relocation {relocation}: type {number} is not known")]
    UnknownRelocation {
        /// Index of the section that is patched.
        section: usize,
        /// Index of the relocation.
        relocation: usize,
        /// Number of the type.
        number: u32,
    },
    /// A relocation patches bytes outside its section, or bytes that the file does not have.
    #[error("section {section}, relocation {relocation}: {name} at offset {offset:#x} is outside the section")]
    OutsideSection {
        /// Index of the section that is patched.
        section: usize,
        /// Index of the relocation.
        relocation: usize,
        /// Name of the type.
        name: &'static str,
        /// Where it wants to patch.
        offset: u64,
    },
    /// A relocation refers to a symbol that does not exist, or that lies in a section that is not loaded.
    #[error("section {section}, relocation {relocation}: symbol {symbol} is not part of the loaded module")]
    BadReference {
        /// Index of the section that is patched.
        section: usize,
        /// Index of the relocation.
        relocation: usize,
        /// Index of the symbol.
        symbol: usize,
    },
    /// The value does not fit the field.
    #[error("section {section}, relocation {relocation}: {name} cannot hold {value:#x}; its target is out of reach")]
    OutOfReach {
        /// Index of the section that is patched.
        section: usize,
        /// Index of the relocation.
        relocation: usize,
        /// Name of the type.
        name: &'static str,
        /// The value.
        value: i128,
    },
    /// The field is not zero before it is patched: it was patched before, or the object is damaged.
    #[error("section {section}, relocation {relocation}: {name} patches bytes that are not zero")]
    AlreadyPatched {
        /// Index of the section that is patched.
        section: usize,
        /// Index of the relocation.
        relocation: usize,
        /// Name of the type.
        name: &'static str,
    },
    /// Memory for the content could not be had.
    #[error("{kind}: no memory to prepare {len:#x} bytes")]
    OutOfMemory {
        /// The kind.
        kind: Kind,
        /// Bytes wanted.
        len: u64,
    },
    /// A branch does not reach its target, and no veneer leads there.
    #[error("a branch at {site:#x} does not reach {target:#x}, and no veneer leads there")]
    NoVeneer {
        /// Address of the branch.
        site: u64,
        /// Where it should lead.
        target: u64,
    },
    /// A branch is not inside the code it belongs to.
    #[error("the branch at offset {offset:#x} is outside the code")]
    OutsideCode {
        /// Where it should be.
        offset: u64,
    },
    /// An island for entries near the anchor would be far from it.
    #[error("no room near the anchor: the island would be at {address:#x}")]
    FarIsland {
        /// Where it would be.
        address: u64,
    },
    /// The engine refused.
    #[error("{0}")]
    Engine(#[from] execmem::Error),
}

/// Part of an ELF file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The header of the file.
    Header,
    /// The table of sections.
    SectionTable,
    /// The table of symbols.
    SymbolTable,
    /// A name.
    Name,
    /// A section's place in the file.
    Place,
    /// An alignment.
    Alignment,
    /// A section's list of relocations.
    Relocations,
    /// The section a symbol or list of relocations refers to.
    Section,
    /// The place in its section of a symbol.
    Value,
}

impl core::fmt::Display for Field {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Field::Header => "the header",
            Field::SectionTable => "the table of sections",
            Field::SymbolTable => "the table of symbols",
            Field::Name => "the name",
            Field::Place => "the place in the file",
            Field::Alignment => "the alignment",
            Field::Relocations => "the list of relocations",
            Field::Section => "the section",
            Field::Value => "the value",
        })
    }
}
