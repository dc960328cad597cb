//! Which kinds a client needs. A set that has them says which of its own they are, and the compiler checks their classes.
//!
//! ```
//! use execmem_clients::BpfKinds;
//!
//! execmem_types::kinds! {
//!     /// The kinds of a hypervisor.
//!     pub enum Guest, types in guest {
//!         /// Code that guests bring.
//!         Filters: Code = "filters",
//!     }
//! }
//!
//! impl BpfKinds for Guest {
//!     type Bpf = guest::Filters;
//! }
//! # fn main() {}
//! ```

use execmem::{KindSet, KnownKind, kinds};
use execmem_types::class::{Code, Constants, Data, SealedAfterInit};

/// A set that has the kinds of the sections of modules. One kind may serve for several: what is freed after initialisation
/// then stays as long as what lasts.
pub trait ModuleKinds: KindSet {
    /// Code.
    type Text: KnownKind<Set = Self, Class = Code>;
    /// Writable data.
    type Data: KnownKind<Set = Self, Class = Data>;
    /// Constants.
    type RoData: KnownKind<Set = Self, Class = Constants>;
    /// Data that is written during initialisation and then sealed.
    type RoAfterInit: KnownKind<Set = Self, Class = SealedAfterInit>;
    /// Code that is freed after initialisation.
    type InitText: KnownKind<Set = Self, Class = Code>;
    /// Data that is freed after initialisation.
    type InitData: KnownKind<Set = Self, Class = Data>;
    /// Constants that are freed after initialisation.
    type InitRoData: KnownKind<Set = Self, Class = Constants>;
}

/// A set that has a kind for instruction slots of probes.
pub trait KprobeKinds: KindSet {
    /// The slots.
    type Kprobe: KnownKind<Set = Self, Class = Code>;
}

/// A set that has a kind for trampolines of tracers.
pub trait FtraceKinds: KindSet {
    /// The trampolines.
    type Ftrace: KnownKind<Set = Self, Class = Code>;
}

/// A set that has a kind for BPF programs, their trampolines and dispatchers.
pub trait BpfKinds: KindSet {
    /// The programs.
    type Bpf: KnownKind<Set = Self, Class = Code>;
}

impl ModuleKinds for execmem::Kind {
    type Text = kinds::Text;
    type Data = kinds::Data;
    type RoData = kinds::RoData;
    type RoAfterInit = kinds::RoAfterInit;
    type InitText = kinds::InitText;
    type InitData = kinds::InitData;
    type InitRoData = kinds::InitRoData;
}

impl KprobeKinds for execmem::Kind {
    type Kprobe = kinds::Kprobe;
}

impl FtraceKinds for execmem::Kind {
    type Ftrace = kinds::Ftrace;
}

impl BpfKinds for execmem::Kind {
    type Bpf = kinds::Bpf;
}
