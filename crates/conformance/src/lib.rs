//! The laws of [`Backend`](execmem_types::Backend) as checks that a port runs.
//!
//! A kernel, a hypervisor or a process brings its memory in a [`Port`], and says with a [`Probe`] what happens when the
//! processor itself loads, stores and calls. [`run`] tries every law on every page size and returns a [`Report`]: each law
//! held, was broken (by which call, at which address), or could not be checked here, because of what the port lacks. A port
//! passes if nothing is broken and it lacks what it declared and nothing else.
//!
//! No heap, no panic, and less than 4 KiB of stack. It takes seconds.
//!
//! ```
//! use execmem_arch_x86::MACHINE_X86;
//! use execmem_conformance::{Attempt, Need, Port, Probe, run};
//! use execmem_sim::{Control, Sim};
//! use execmem_types::{Extent, PageSize, Protection, Trap};
//!
//! const RET: u8 = 0xc3;
//!
//! /// The only processor of a simulated machine. On a real one, these three use memory, and the handler of page faults and
//! /// of traps says how that ended.
//! struct Processor(Control);
//!
//! impl Probe for Processor {
//!     fn execute(&self, address: u64) -> Attempt {
//!         let mut byte = [0];
//!         let returns = self.0.fetch(address, &mut byte).is_ok() && byte == [RET];
//!         if returns { Attempt::Done } else { Attempt::Faulted }
//!     }
//!
//!     fn load(&self, address: u64, bytes: &mut [u8]) -> Attempt {
//!         let leaf = self.0.translate(address).filter(|leaf| leaf.protection != Protection::NoAccess);
//!         if leaf.is_some() && self.0.read(address, bytes).is_ok() { Attempt::Done } else { Attempt::Faulted }
//!     }
//!
//!     fn store(&self, address: u64, byte: u8) -> Attempt {
//!         if self.0.store(address, &[byte]).is_ok() { Attempt::Done } else { Attempt::Faulted }
//!     }
//! }
//!
//! let memory = Sim::new(&MACHINE_X86);
//! let report = run(&Port {
//!     memory: &memory,
//!     probe: &Processor(memory.control()),
//!     window: Extent::new(0xffff_ffff_c000_0000, 1 << 30).expect("addresses"),
//!     pages: &[PageSize::kib(4), PageSize::mib(2)],
//!     trap: MACHINE_X86.trap(),
//!     returns: Trap::byte(RET),
//!     lacks: &[
//!         Need::Adopt,
//!         Need::Views,
//!         Need::Frames,
//!         Need::Refusals,
//!         Need::Holding,
//!         Need::SecondProcessor,
//!         Need::RefusedCaller,
//!     ],
//! });
//! assert!(report.passes(), "{report}");
//! ```
#![no_std]
#![forbid(unsafe_code)]

mod bench;
mod checks;
mod law;
mod port;
mod report;

pub use law::{Law, Need};
pub use port::{Attempt, Memory, Port, Probe};
pub use report::{Breach, Call, Outcome, Report};

use bench::Bench;

/// Makes every check. The memory is as before when it returns, unless something is broken.
#[must_use]
pub fn run(port: &Port<'_>) -> Report {
    let bench = Bench::new(port);
    Report::new(port.lacks, |check| match &bench {
        Some(bench) => bench.run(check.run),
        None => Outcome::NotCheckable(Need::Room),
    })
}
