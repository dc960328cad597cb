//! Executable memory in a Linux process for execmem.
//!
//! ```
//! # #[cfg(target_arch = "x86_64")] {
//! let code = [0xb8, 42, 0, 0, 0, 0xc3]; // x86-64: mov eax, 42; ret
//! let answer = execmem_linux::Function::new(&code)?; // freed when it is dropped
//! // Sound: the bytes are a complete function that returns a constant.
//! assert_eq!(unsafe { answer.as_fn::<extern "C" fn() -> i32>() }(), 42);
//! # }
//! # Ok::<(), execmem_linux::SetupError>(())
//! ```
//!
//! | to | use |
//! |---|---|
//! | call bytes as a function | `Function`, in the engine that the process shares; the [guide](crate::guide::ten_minutes) begins there |
//! | have data and constants beside code, change code, look addresses up | `shared()` or `Linux::engine`, and what an `execmem::Engine` does |
//! | replace `mmap`, `region`, dynasm's or Cranelift's memory | `MIGRATION.md` |
//! | hand out a pointer to write and one to execute, publish and free by address | `writable`, `ByAddress` |
//! | show functions to perf, gdb and unwinders | [`tools`] |
//! | write another engine over this memory | [`Linux`], a [`Backend`](execmem_types::Backend) |
//!
//! [`Linux`] reserves one window of addresses, near the program where there is room. Memory comes in *units* of 2 MiB.
//! A unit of code or constants is a memory file of its own, which is mapped twice and closed at once: at *home*, where it
//! is executed or read, and in a *writable view* at a random place, through which all content arrives. So code is never
//! writable where it is executed, writing to it is a copy and no system call, and there is no descriptor that another
//! part of the process, a child or another process could find. Data is memory of the process alone. Where the system
//! forbids a second mapping, [other ways](Publish) do the same with one.
//!
//! # Features
//!
//! | feature | by default | what |
//! |---|---|---|
//! | `shared` | yes | engines in one call, that of the process, functions (depends on `execmem`) |
//! | `fork-handlers` | yes | `fork` waits for the moment in which no descriptor is open |
//! | `perf` | no | names for perf: maps and dumps |
//! | `gdb` | no | names for gdb and lldb; defines the symbols of GDB's JIT interface, of which a program has one |
//! | `unwind` | no | frames for unwinders |
//!
//! # What memory is made of
//!
//! | memory | [`Poke`](Publish::Poke) | [`ProcMem`](Publish::ProcMem) | [`Flip`](Publish::Flip) |
//! |---|---|---|---|
//! | code, constants | a file a unit, mapped twice | private; the kernel writes to it | private; its rights change |
//! | data, sealed data | private | private | private |
//! | data, with [`DataSource::Secret`] | `memfd_secret`, shared | the same | the same |
//! | constants, with `DataSource::Secret` | `memfd_secret`, mapped twice | private | `memfd_secret`, shared |
//! | the first unit of a kind begins with | 8 KiB | 8 KiB of code | what is used |
//! | parts of a unit go back | with all of it ([`Facts::waiting_bytes`]) | at once | at once |
//! | home can become writable | never, here or in a child | in a copy of a child's own | the same |
//! | breakpoints of debuggers | refused ([`Options::debuggable`]) | work | work |
//!
//! A unit that is used becomes one large page without moving, and the next of its kind is one from its start.
//!
//! # What a way cannot have
//!
//! | wanted | `Poke` | `ProcMem` | `Flip` |
//! |---|---|---|---|
//! | a write without a system call | yes | no | drafts only |
//! | publishing and freeing without a system call | yes | publishing | no |
//! | several functions a page, large pages of code | yes | yes | no |
//! | to patch code while it is executed | what one store replaces | one byte | no |
//! | data, constants and code that no child can change for its parent | yes | yes | yes |
//! | code that a child cannot even change for itself | yes | no | no |
//! | code that is gone from memory part by part | no | yes | yes |
//! | code of the reserved pool (`vm.nr_hugepages`) | yes | no | no |
//! | breakpoints of debuggers | no | yes | yes |
//! | [`Options::prepare`], and sealing what was prepared | yes | yes | no |
//! | [`Options::hidden_views`] | yes | there are none | there are none |
//! | constants that are [secret](DataSource::Secret) | yes | no | yes |
//! | set-up at the limit of descriptors | no | no | yes |
//! | growth at the limit of descriptors | no | no writes | yes |
//! | growth without `/proc` | yes | no writes | yes |
//! | growth where `memfd_create` is denied | no, but `Best` | yes | yes |
//! | growth after `PR_SET_MDWE` | yes | no | no |
//!
//! # After `fork`
//!
//! | in a child | `Poke` | `ProcMem` | `Flip` |
//! |---|---|---|---|
//! | code and constants | the parent's: it sees patches and what is freed | a copy | a copy |
//! | data | a copy | a copy | a copy |
//! | secret data | not there: an access is a fault | the same | the same |
//! | writable views | not there | – | – |
//! | descriptors | none | none | none |
//! | every operation | [`Forked`](execmem_types::BackendError::Forked), before a lock is taken | the same | the same |
//!
//! Existing code can be called. A child that wants to make code makes memory of its own. Dropping what was the parent's
//! does nothing there. `fork` waits until no descriptor is open (`pthread_atfork`, feature `fork-handlers`); a process that
//! is made by the bare system call at such a moment, some microseconds when a unit is made, inherits the descriptor.
//! `vfork` and `posix_spawn` share the parent's memory until the new program starts, which inherits nothing.
//!
//! # Places
//!
//! All places are multiples of 2 MiB, from the system's random numbers or [`Options::seed`]:
//!
//! | what | where | bits, on x86-64 |
//! |---|---|---|
//! | a window near an anchor | within reach of a direct call, below it if there is room | 9 for 1 GiB, 10 for 256 MiB or less |
//! | a window anywhere | between 64 GiB and the stack | 26 |
//! | a writable view | the same | 26 |
//! | the first unit of code, and of data | in the first half of the window, from its end of it | 8 for 1 GiB |
//!
//! # System calls
//!
//! | when | which |
//! |---|---|
//! | set-up | `mmap`, `munmap`, `munlock`, `mprotect`, `madvise`, `memfd_create`, `ftruncate`, `fcntl`, `close`, `getrandom`, `prlimit64`; `openat`, `read` of `/sys` and, if there is hardly room, `/proc/self/maps`; for `ProcMem` `openat`, `pread64`, `pwrite64` of `/proc/self/mem`; `mbind`, `mseal`, `memfd_secret` with their options |
//! | a unit of code or constants is made | `prlimit64`, `memfd_create`, `ftruncate`, `mmap`, `munlock`, `madvise`, `mprotect`, `fcntl`, `close` |
//! | a unit of data is made | `mprotect`, `madvise` |
//! | a unit grows | `mprotect`, `madvise` |
//! | a unit goes back | `mmap`, `mremap` |
//! | a fork is under way at that moment, threads meet | `futex` |
//! | allocating, writing, publishing and freeing in memory that is there | none; with `ProcMem` `openat`, `pwrite64`, `close` a write; with `Flip` `mprotect` |
//! | [`Options::prepare`]d code comes and goes | none |
//! | published code is patched | `membarrier` (x86-64, arm64, powerpc), the riscv flush |
//!
//! # What the system may forbid
//!
//! | limit | what happens |
//! |---|---|
//! | `RLIMIT_FSIZE` below 2 MiB | no second mapping: [`Publish::Best`] becomes `ProcMem`, `Poke` is [`SetupError::FileSizeLimit`] |
//! | seccomp or kernel without `memfd_create` | the same, [`SetupError::NoMemoryFile`] |
//! | shared memory may not be executable | the same, [`SetupError::NotExecutable`] |
//! | no seal for future mappings (before Linux 5.1), and no `/proc` | the same, [`SetupError::NotGuarded`] |
//! | any of these after set-up | with `Best`, units made from then on are as with `ProcMem` ([`Facts::publish_at`]); else an error |
//! | `RLIMIT_NOFILE`, no descriptor left | [`SetupError::NoDescriptor`], later [`BackendError::DescriptorLimit`](execmem_types::BackendError::DescriptorLimit) |
//! | `vm.memfd_noexec` | nothing: the file is not executable as a program, its memory is |
//! | `RLIMIT_AS`, or `RLIMIT_MEMLOCK` after `mlockall(MCL_FUTURE)` | a shorter window ([`Facts::narrowed`]), or [`SetupError::NoAddresses`] if its length was chosen |
//! | no room near the program | a shorter window down to 128 MiB, then one that is far |
//! | memory may be mapped executable, not made so (`PR_SET_MDWE`, PaX) | code is mapped once more instead; `Flip` is [`SetupError::NotExecutable`] |
//! | `proc_mem.force_override=never`, no `/proc` | [`Publish::Best`] becomes `Flip`, `ProcMem` is [`SetupError::NoProcMem`] |
//! | no executable memory at all (SELinux) | [`SetupError::NotExecutable`] |
//! | no `memfd_secret` | [`DataSource::SecretOrOrdinary`] becomes `Ordinary`, `Secret` is [`SetupError::NoSecretMemory`] |
//! | `RLIMIT_MEMLOCK`, with secret data | [`BackendError::OutOfMemory`](execmem_types::BackendError::OutOfMemory) |
//! | no such NUMA node, or no `mbind` | memory comes from anywhere; [`Facts::node`] says so |
//! | `vm.max_map_count` | [`BackendError::MappingLimit`](execmem_types::BackendError::MappingLimit); nothing changed |
//! | no large pages | small ones |
//! | no `mseal` | [`Facts::is_sealed`] is false |
//!
//! `mlockall` makes resident what is in use: 8 KiB to 256 KiB, or 2 MiB, a unit, and its writable view. The window counts against
//! `RLIMIT_MEMLOCK` and `RLIMIT_AS` at its full length, so a process that lives with a low limit asks for a short window.
//! With `vm.overcommit_memory=2` reserved addresses cost nothing, and data counts when its unit is made.
//!
//! Not here: protection keys for the writable views (no machine to test them on).
//!
//! # Checks of the control flow
//!
//! *Landing pads.* Nothing is added before an entry point: code that is called indirectly begins with its own pad.
//! [`Linux::guard_branches`] makes arm64 insist (BTI). On x86-64, Linux does not check ENDBR64 outside the kernel;
//! `execmem-cranelift` begins the entries that it generates with one on request. *kCFI.* Its hash stands before an entry:
//! [`Options::lead`] gives each function readable bytes there, which its caller writes and nothing here checks. *Shadow
//! stacks* (x86 CET, arm64 GCS). Nothing here writes or skips a return address: [`call`] is an ordinary call, and what
//! leads to far code jumps. Code that does either itself is refused by the processor as it is elsewhere.
//!
//! # Why this is sound
//!
//! Each file with `unsafe` code has one kind of danger.
//!
//! **`view.rs`, `advice.rs`: the address space.** *Threat:* mapping over, or unmapping, memory of another owner.
//! *Defence:* a view is placed where nothing is, by the kernel or with its guarantee to replace nothing, at its full size,
//! once; later calls change mappings inside it only, after a bounds check, and it is unmapped when its owner goes, in the
//! process that made it. No Rust reference ever points into a view.
//!
//! **`window.rs` and `copy.rs`: bytes.** *Threat:* an access outside a view, to memory that is not mapped, or a data
//! race. *Defence:* the writable view of a unit that accesses use is readable and writable from beginning to end as long as
//! the window lives, in the process that made it and nowhere else; when its file goes, memory that nothing reads takes its
//! place in one step. Where home is accessed, an access pins the rights of the pages it touches, and they are taken away
//! only when no pin is left. A hidden view is accessed by the holder of the lock of changes only. Bytes are copied by
//! instructions the compiler does not see, or as atomics: two callers that write the same bytes get one result or the other
//! and no undefined behaviour.
//!
//! **`proc_mem.rs`: the kernel's writes.** *Threat:* they reach all memory of the process that opened the file, from a
//! child too. *Defence:* the file is opened for each, so it is the memory of the process that writes; only addresses in the
//! window, pinned as mapped, and in code that a caller vouched for reach them.
//!
//! **`vouch.rs`: code outside a window.** *Threat:* it goes, or is no code. *Defence:* [`vouch`] is an `unsafe fn`, and its caller
//! vouches for the extent; accesses outside it, or in a child, are refused.
//!
//! **`file.rs`: descriptors.** *Threat:* closing another owner's. *Defence:* a number becomes an owned descriptor where the
//! kernel handed it out, once.
//!
//! **`fork.rs`: handlers in the C library.** *Threat:* they run in the middle of anything. *Defence:* they touch one static
//! word and one of the thread, and make no call but `futex`. The page of the marks is never unmapped.
//!
//! **`icache.rs`: instruction caches.** *Threat:* cache instructions fault on addresses that are not mapped. *Defence:*
//! only addresses in the window reach them, pinned readable where they could fault.
//!
//! **`symbol.rs`, `program.rs`, `tools/`: the dynamic linker, profilers, debuggers, unwinders.** *Threat:* they keep pointers,
//! or hand them out. *Defence:* what they point to is a box that lives until they were told to forget it; what the linker
//! hands out is read during its call only.
//!
//! **`call.rs`, `front/function.rs`: execution.** *Threat:* everything. *Defence:* none is possible; [`call`], [`fn_at`] and
//! `Function::as_fn` are `unsafe`, and their callers vouch for the code.
//!
//! The engine is not trusted: for every call, the record of what is mapped is checked first, and a call that makes no
//! sense is an error.

mod advice;
mod auxv;
mod backend;
mod call;
mod change;
mod copy;
mod error;
mod facts;
mod file;
mod fork;
#[cfg(feature = "shared")]
mod front;
mod grow;
#[cfg(feature = "shared")]
pub mod guide;
mod home;
mod host;
mod icache;
mod limits;
mod material;
mod options;
mod page;
#[cfg(any(feature = "perf", feature = "shared"))]
mod per_process;
mod place;
mod prepare;
pub mod proc;
mod proc_mem;
mod program;
mod random;
mod record;
mod setup;
mod symbol;
mod table;
pub mod tools;
mod twice;
mod unit;
mod view;
mod vouch;
mod window;

pub use backend::Linux;
pub use call::{call, fn_at};
pub use error::SetupError;
pub use facts::Facts;
#[cfg(feature = "shared")]
pub use front::{ByAddress, EngineHandle, Function, shared, shared_with, writable};
pub use material::Backing;
pub use options::{DataSource, Options, Place, Publish};
pub use symbol::symbol;
pub use vouch::{Vouched, vouch};
