//! Executable memory in a Linux process for execmem.
//!
//! [`Linux`] reserves one window of addresses and backs it with one memory file, which is mapped twice: at *home*, where
//! code is executed and data is used, with the rights the engine asks for; and at an *alias* elsewhere, readable and
//! writable, through which all content arrives. So text is never writable where it is executed, writing to it is a
//! copy and no system call, and 2 MiB pages stay whole whatever is written.
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
//! # Why this is sound
//!
//! All `unsafe` code of the workspace is in four files here, each with one kind of danger.
//!
//! **`window.rs`: the address space.** *Threat:* mapping over, or unmapping, memory that somebody else uses. *Defence:*
//! the two views are placed by the kernel where nothing is, at their full size, once; later calls change rights inside
//! them only, after a bounds check, and they are unmapped when the [`Linux`] that owns them goes. No Rust reference
//! ever points into either view.
//!
//! **`copy.rs`: bytes.** *Threat:* an access outside a view, or a data race. *Defence:* the alias is mapped readable and
//! writable from beginning to end for the whole life of the window, whatever is mapped at home, so an access inside its
//! bounds is always to memory that exists; bounds are checked by the one caller. Bytes are copied by instructions the
//! compiler does not see, or as atomics: two callers that write the same bytes get one result or the other and no
//! undefined behaviour.
//!
//! **`icache.rs`: instruction caches.** *Threat:* cache instructions fault on addresses that are not mapped. *Defence:*
//! only addresses in the window reach them, and only where they cannot fault.
//!
//! **`call.rs`: execution.** *Threat:* everything. *Defence:* none is possible; [`call`] is the one public `unsafe fn`, and
//! its caller vouches for the code.
//!
//! The engine is not trusted: for every call, the record of what is mapped is checked first, and a call that makes no
//! sense is an error.

mod backend;
mod call;
mod copy;
mod error;
mod host;
mod icache;
mod options;
pub mod proc;
mod record;
mod window;

pub use backend::Linux;
pub use call::call;
pub use error::SetupError;
pub use options::Options;
