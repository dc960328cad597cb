//! The life of a module: an object of the compiler that the image carries as data.

use core::sync::atomic::{AtomicU64, Ordering};

use execmem_clients::module::{Coming, Loader};

use super::life::call;
use crate::kernel::console::say;
use crate::kernel::engine::KernelEngine;
use crate::kernel::traps;

/// The object, aligned as its reader wants it.
#[repr(align(16))]
struct Aligned<const N: usize>([u8; N]);

const LEN: usize = include_bytes!(concat!(env!("OUT_DIR"), "/module.o")).len();
static OBJECT: Aligned<LEN> = Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/module.o")));

static NOTES: AtomicU64 = AtomicU64::new(0);

/// What the module calls.
extern "C" fn kernel_note(value: u64) {
    NOTES.store(value, Ordering::Relaxed);
}

fn noted() -> u64 {
    NOTES.load(Ordering::Relaxed)
}

/// What the module may refer to.
fn symbol(name: &str) -> Option<u64> {
    (name == "kernel_note").then_some(kernel_note as *const () as u64)
}

/// Loads the module.
pub(super) fn load(engine: &KernelEngine) -> Coming<&KernelEngine> {
    let loader = Loader::new(engine).expect("rules of this machine");
    loader.load(&OBJECT.0, &symbol).expect("a module")
}

/// Loads, initialises, uses, ends, unloads.
pub(super) fn life(engine: &KernelEngine) {
    let coming = load(engine);
    let init = coming.init().expect("it has such a function");
    assert_eq!((call(init, 11), noted()), (Some(0), 11), "its initialisation ran");
    let module = coming.finish().expect("it is initialised");
    assert_eq!(call(init, 12), None, "that function is gone");
    assert_eq!(noted(), 11);

    let address = |name| module.names().symbol(name).expect("the module has it");
    // 11 from initialisation, 30 from a constant, and the argument.
    assert_eq!(call(address("module_sum"), 1), Some(42));
    assert_eq!(traps::store(address("SEALED"), 1), None, "what was written by initialisation is sealed");
    assert_eq!(call(module.exit().expect("it has such a function"), 0), Some(0));
    assert_eq!(noted(), 99, "its end ran");
    let kinds = module.extents().count();
    module.unload();
    say!("module: loaded, init ran and is freed, called, sealed, exit ran, unloaded: {kinds} kinds");
}
