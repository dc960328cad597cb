//! The kernel.

mod arch;
mod breakpoints;
mod bytes;
mod code;
mod console;
mod engine;
mod frames;
mod heap;
mod locks;
mod memory;
mod probe;
mod processors;
mod shows;
mod stack;
mod tables;
mod traps;

use console::say;
use memory::KernelMemory;

/// What the code that starts the first processor calls.
#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    tables::start();
    heap::start();
    arch::start_this();
    say!("kernel: started on {}", arch::MACHINE.name);
    processors::start_second();
    say!("processors: {}", if processors::has_second() { 2 } else { 1 });
    let memory = KernelMemory::new(arch::MANAGED);
    let window = arch::MANAGED[0];
    let report = probe::check(&memory, window);
    say!("{report}");
    assert!(report.passes(), "the memory keeps the laws");
    shows::run(&memory);
    say!("all: done");
    arch::exit(true)
}
