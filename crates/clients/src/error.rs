//! What can be wrong with a module, with code that is to be placed, or with the use of a client.

use execmem::Kind;
use thiserror::Error;

use crate::Name;

/// Why a client refused. Nothing of what it did stays. (I9)
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
    /// The name belongs to another client.
    #[error("a name of client {client} was used with client {wanted}")]
    ForeignId {
        /// The client it belongs to.
        client: u32,
        /// The client it was used with.
        wanted: u32,
    },
    /// What the name stood for is gone, or about to be collected.
    #[error("entry {index} of this client is free: the name is stale")]
    StaleId {
        /// Place in the client's table.
        index: u32,
    },
    /// The account's limit is reached.
    #[error("{wanted:#x} bytes more than the {held:#x} held exceed the limit of {limit:#x}")]
    OverLimit {
        /// Bytes wanted.
        wanted: u64,
        /// Bytes held already.
        held: u64,
        /// The limit.
        limit: u64,
    },
    /// The bytes are no instruction.
    #[error("the bytes at {address:#x} are no whole instruction")]
    Undecodable {
        /// Where they stand.
        address: u64,
    },
    /// An instruction that means something else at another address, or does not end where the next begins.
    #[error("the instruction at {address:#x} cannot be executed elsewhere")]
    NotCopyable {
        /// Where it stands.
        address: u64,
    },
    /// The code is longer than the place for it.
    #[error("{len:#x} bytes of code do not fit {room:#x}")]
    CodeTooLong {
        /// Bytes of code.
        len: u64,
        /// Bytes there are.
        room: u64,
    },
    /// More targets than a dispatcher has.
    #[error("{wanted} targets are more than the {limit} of a dispatcher")]
    TooManyTargets {
        /// How many were wanted.
        wanted: usize,
        /// How many there can be.
        limit: usize,
    },
    /// A branch, or an operand relative to the instruction, does not reach its target.
    #[error("{target:#x} is out of reach of the instruction at {site:#x}")]
    BranchOutOfReach {
        /// Where the instruction stands.
        site: u64,
        /// What it names.
        target: u64,
    },
    /// The site does not hold the instruction that is to be replaced.
    #[error("the code at {site:#x} is not what is to be replaced")]
    UnexpectedCode {
        /// The site.
        site: u64,
    },
    /// The site is not a multiple of what the machine needs to replace an instruction in one step.
    #[error("{site:#x} is not aligned for an instruction that is patched")]
    MisalignedSite {
        /// The site.
        site: u64,
    },
    /// The table says that published memory of the kind cannot be changed while it is executed.
    #[error("{kind} memory cannot be changed while it is executed")]
    NotPatchable {
        /// The kind.
        kind: Kind,
    },
    /// Call sites still refer to it.
    #[error("{sites} sites still refer to it")]
    InUse {
        /// How many.
        sites: u64,
    },
    /// A module needs another that is not there.
    #[error("module {module} needs {wanted}, which is not among those to be loaded")]
    MissingModule {
        /// The module.
        module: Name,
        /// What it needs.
        wanted: Name,
    },
    /// Modules need each other.
    #[error("module {module} needs itself, by way of others")]
    Cycle {
        /// One of them.
        module: Name,
    },
    /// A module of that name is loaded.
    #[error("a module named {module} is loaded already")]
    Duplicate {
        /// The name.
        module: Name,
    },
    /// Another module exports the symbol already.
    #[error("symbol {name} is exported by two modules")]
    DuplicateSymbol {
        /// Its name.
        name: Name,
    },
    /// Other modules refer to this one.
    #[error("module {module} is used by {users} others")]
    ModuleInUse {
        /// The name.
        module: Name,
        /// How many refer to it.
        users: u64,
    },
    /// No module has that name.
    #[error("no module named {module} is loaded")]
    NoSuchModule {
        /// The name.
        module: Name,
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
