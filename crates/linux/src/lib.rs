//! Executable memory in a Linux process for execmem.
//!
//! [`Linux`] reserves one window of addresses, near the program where there is room, and backs it with one memory file,
//! which is mapped twice: at *home*, where code is executed and data is used, with the rights the engine asks for; and
//! at an *alias* elsewhere, readable and writable, through which all content arrives. So text is never writable where it
//! is executed, writing to it is a copy and no system call, and 2 MiB pages stay whole whatever is written. Where the
//! system forbids that, [other ways](Publish) do the same with one mapping.
//!
//! ```
//! use execmem_linux::{Linux, Options, call};
//! use execmem_types::{Access, Backend, Extent, Mapping, Protection, SyncScope};
//!
//! let linux = Linux::reserve(&Options::default())?;
//! let page = linux.machine().page();
//! let extent = Extent::new(linux.window().start(), page.bytes()).expect("a page");
//! linux.map(&Mapping {
//!     extent,
//!     page,
//!     protection: Protection::ReadExecute,
//!     unused: linux.machine().trap,
//!     is_shadowed: false,
//!     is_writable_and_executable: false,
//! })?;
//! # #[cfg(target_arch = "x86_64")] {
//! linux.write(Access::Poke, extent.start(), &[0xb8, 42, 0, 0, 0, 0xc3])?; // mov eax, 42; ret
//! linux.sync_code(extent, SyncScope::Fresh)?;
//! // Sound: the six bytes are a complete function that returns a constant.
//! assert_eq!(unsafe { call(extent.start(), [0; 4]) } as u32, 42);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An engine over it takes its table from [`Linux::table`].
//!
//! Whoever has used `mmap`, `region`, dynasm or Cranelift's `JITModule` so far finds the counterparts in `MIGRATION.md`.
//!
//! # What the system may forbid
//!
//! | limit | what happens |
//! |---|---|
//! | `RLIMIT_FSIZE` below the window | no second mapping: [`Publish::Best`] becomes `ProcMem`, `Poke` is [`SetupError::FileSizeLimit`] |
//! | seccomp or kernel without `memfd_create` | the same, [`SetupError::NoMemoryFile`] |
//! | shared memory may not be executable | the same, [`SetupError::NotExecutable`] |
//! | `vm.memfd_noexec` | nothing: the file is not executable as a program, its memory is |
//! | `RLIMIT_AS` | [`SetupError::NoAddresses`]; ask for a smaller window |
//! | memory may be mapped executable, not made so (`PR_SET_MDWE`, PaX) | text is mapped once more instead; `Flip` is [`SetupError::NotExecutable`] |
//! | `proc_mem.force_override=never`, no `/proc` | [`Publish::Best`] becomes `Flip`, `ProcMem` is [`SetupError::NoProcMem`] |
//! | no executable memory at all (SELinux) | [`SetupError::NotExecutable`] |
//! | no `memfd_secret` | [`DataSource::SecretOrOrdinary`] becomes `Ordinary`, `Secret` is [`SetupError::NoSecretMemory`] |
//! | `RLIMIT_MEMLOCK`, with secret data | [`BackendError::OutOfMemory`](execmem_types::BackendError::OutOfMemory) |
//! | no such NUMA node, or no `mbind` | memory comes from anywhere; [`Linux::node`] says so |
//! | `vm.max_map_count` | [`BackendError::MappingLimit`](execmem_types::BackendError::MappingLimit); nothing changed |
//! | no large pages | smaller ones, block by block; [`Linux::backing`] says which |
//!
//! # After `fork`
//!
//! With [`Publish::Poke`] the child shares the parent's code: it executes it as long as the parent keeps it, sees its
//! patches, and can change nothing: every operation is
//! [`BackendError::Forked`](execmem_types::BackendError::Forked). With [`Publish::ProcMem`] it has a copy of its own,
//! which it can execute but not change either, and with [`Publish::Flip`] one with which everything works. `exec` and the
//! end of the process leave nothing behind.
//!
//! # Why this is sound
//!
//! Each file with `unsafe` code has one kind of danger.
//!
//! **`view.rs`: the address space.** *Threat:* mapping over, or unmapping, memory that somebody else uses. *Defence:*
//! a view is placed where nothing is, by the kernel or with its guarantee to replace nothing, at its full size, once;
//! later calls change mappings inside it only, after a bounds check, and it is unmapped when its owner goes. No Rust
//! reference ever points into a view.
//!
//! **`window.rs` and `copy.rs`: bytes.** *Threat:* an access outside a view, to memory that is not mapped, or a data
//! race. *Defence:* the alias is readable and writable from beginning to end as long as the window lives, in the
//! process that made it and nowhere else; where there is no alias, an access pins the rights of the pages it touches,
//! and they are taken away only when no pin is left. Bytes are copied by instructions the compiler does not see, or as
//! atomics: two callers that write the same bytes get one result or the other and no undefined behaviour.
//!
//! **`proc_mem.rs`: the kernel's writes.** *Threat:* they reach all memory of the process that opened the file, from a
//! child too. *Defence:* only addresses in the window reach them, pinned as mapped, and in that process only.
//!
//! **`icache.rs`: instruction caches.** *Threat:* cache instructions fault on addresses that are not mapped. *Defence:*
//! only addresses in the window reach them, pinned readable where they could fault.
//!
//! **`symbol.rs`, `tools/`: the dynamic linker, profilers, debuggers, unwinders.** *Threat:* they keep pointers. *Defence:* what
//! they point to is a box that lives until they were told to forget it.
//!
//! **`call.rs`: execution.** *Threat:* everything. *Defence:* none is possible; [`call`] is an `unsafe fn`, and its caller
//! vouches for the code.
//!
//! The engine is not trusted: for every call, the record of what is mapped is checked first, and a call that makes no
//! sense is an error.

mod backend;
mod call;
mod change;
mod copy;
mod error;
mod host;
mod icache;
mod limits;
mod options;
mod place;
pub mod proc;
mod proc_mem;
mod record;
mod setup;
mod symbol;
pub mod tools;
mod view;
mod window;

pub use backend::Linux;
pub use call::call;
pub use change::Backing;
pub use error::SetupError;
pub use options::{DataSource, Options, Place, Publish};
pub use symbol::symbol;
