//! What can be wrong with a module, with code that is to be placed, or with the use of a client.

use execmem::{BackendError, KindName};
use thiserror::Error;

#[cfg(feature = "x86-decoder")]
use crate::module::AlternativeFault;
use crate::module::{ElfMachine, RelocationSite, Resource, SectionRefusal, SymbolRefusal};
use crate::{Field, Name};

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
    #[error("the object is for {found}, this loader for {wanted}")]
    WrongMachine {
        /// `e_machine` of the object.
        found: ElfMachine,
        /// `e_machine` of the table's machine.
        wanted: ElfMachine,
    },
    /// Addresses in the object are wider or narrower than the machine's.
    #[error("the object has {} bits, {machine} objects have not", if *.is_64_bit { 64 } else { 32 })]
    WrongClass {
        /// The machine.
        machine: ElfMachine,
        /// The object has addresses of 64 bits.
        is_64_bit: bool,
    },
    /// The object has another byte order than the machine.
    #[error("the object is {}-endian, this loader's {machine} is not", if *.is_big_endian { "big" } else { "little" })]
    WrongByteOrder {
        /// The machine.
        machine: ElfMachine,
        /// The object is big-endian.
        is_big_endian: bool,
    },
    /// The header's flags have bits that mean nothing to this loader.
    #[error("flags {unknown:#x} of the {machine} object are not known")]
    UnknownFlags {
        /// The machine.
        machine: ElfMachine,
        /// The bits.
        unknown: u32,
    },
    /// A section is of a sort that is not loaded.
    #[error("section {section} ({name}) {reason}")]
    RefusedSection {
        /// Index of the section.
        section: usize,
        /// Its name.
        name: Name,
        /// Why.
        reason: SectionRefusal,
    },
    /// A symbol is of a sort that is not loaded.
    #[error("symbol {name}{}{section} {reason}", if section.as_str().is_empty() { "" } else { " in section " })]
    RefusedSymbol {
        /// Its name.
        name: Name,
        /// Name of its section, empty if it is in none.
        section: Name,
        /// Why.
        reason: SymbolRefusal,
    },
    /// The object wants more of something than the loader's [limits](crate::module::LoadLimits) allow.
    #[error("{wanted} {resource} or more are wanted, the limit is {limit}")]
    OverBudget {
        /// What it wants too much of.
        resource: Resource,
        /// How much it wants at least.
        wanted: u64,
        /// How much it may have.
        limit: u64,
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
        kind: KindName,
        /// Index of the section that is one too many.
        section: usize,
    },
    /// A symbol's entry makes no sense.
    #[error("symbol {symbol} ({name}): {field} is missing or makes no sense")]
    BadSymbol {
        /// Index of the symbol.
        symbol: usize,
        /// Its name.
        name: Name,
        /// What is wrong.
        field: Field,
    },
    /// A symbol is defined nowhere.
    #[error("symbol {name} is defined nowhere")]
    Unresolved {
        /// Its name.
        name: Name,
    },
    /// A relocation of a type the machine has no rule for.
    #[error("{at}: type {number} of {machine} is not known")]
    UnknownRelocation {
        /// Which.
        at: RelocationSite,
        /// The machine.
        machine: ElfMachine,
        /// Number of the type.
        number: u32,
    },
    /// A relocation patches bytes outside its section, or bytes that the file does not have.
    #[error("{at}: {name} at offset {offset:#x} is outside the section")]
    OutsideSection {
        /// Which.
        at: RelocationSite,
        /// Name of the type.
        name: &'static str,
        /// Where it wants to patch.
        offset: u64,
    },
    /// A relocation refers to a symbol that does not exist, or that lies in a section that is not loaded.
    #[error("{at}: symbol {symbol} is not part of the loaded module")]
    BadReference {
        /// Which.
        at: RelocationSite,
        /// Index of the symbol.
        symbol: usize,
    },
    /// The value does not fit the field.
    #[error("{at}: {name} cannot hold {value:#x}; its target is out of reach")]
    OutOfReach {
        /// Which.
        at: RelocationSite,
        /// Name of the type.
        name: &'static str,
        /// The value.
        value: i64,
    },
    /// The field is not zero before it is patched: it was patched before, or the object is damaged.
    #[error("{at}: {name} patches bytes that are not zero")]
    AlreadyPatched {
        /// Which.
        at: RelocationSite,
        /// Name of the type.
        name: &'static str,
    },
    /// Half of a pair of relocations, or a field that the pair cannot fill.
    #[error("{at}: {name} is half of a pair whose other half is not beside it")]
    Unpaired {
        /// Which.
        at: RelocationSite,
        /// Name of the type.
        name: &'static str,
    },
    /// An alternative that cannot be applied.
    #[cfg(feature = "x86-decoder")]
    #[error("alternative {entry}: {fault}")]
    BadAlternative {
        /// Index of its entry.
        entry: usize,
        /// What is wrong.
        fault: AlternativeFault,
    },
    /// There is no memory of which each processor has its own copy, or not so much.
    #[error("no memory for {len:#x} bytes of which each processor has its own")]
    NoPerCpu {
        /// Bytes wanted.
        len: u64,
    },
    /// Memory for the content could not be had.
    #[error("{kind}: no memory to prepare {len:#x} bytes")]
    OutOfMemory {
        /// The kind.
        kind: KindName,
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
    /// The machine has no way to replace the instruction while others execute it: stop them, and use
    /// [`patch_unexecuted`](execmem::Engine::patch_unexecuted).
    #[error(
        "{site:#x}: {len} bytes there are not fetched whole (at most {whole} aligned ones are): stop the others first"
    )]
    OthersExecute {
        /// The site.
        site: u64,
        /// Bytes of the instruction.
        len: u64,
        /// Aligned bytes that are fetched whole.
        whole: u64,
    },
    /// An address is not in the code that it should be in, or that code is about to go.
    #[error("no code that may be patched is at {address:#x}")]
    NoCode {
        /// The address.
        address: u64,
    },
    /// The memory of an image refused.
    #[error("{address:#x}: {source}")]
    Image {
        /// Where.
        address: u64,
        /// Why.
        source: BackendError,
    },
    /// The table says that published memory of the kind cannot be changed while it is executed.
    #[error("{kind} memory cannot be changed while it is executed")]
    NotPatchable {
        /// The kind.
        kind: KindName,
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
    /// A module that patches an object is linked with it already.
    #[error("the module is linked with {object} already")]
    AlreadyLinked {
        /// The name of the object.
        object: Name,
    },
    /// Clients hold code of the module: a lease, or a site that they patched.
    #[error("code of module {module} is held {leases} times")]
    Leased {
        /// The name.
        module: Name,
        /// How often.
        leases: u64,
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
    #[error(transparent)]
    Engine(#[from] execmem::Error),
}
