//! Kernels have stacks of 16 KiB or less: an engine is made and used on one.
//!
//! That is for any build, this one of tests too. In a release build no operation takes more than 4 KiB, its result on the
//! caller's frame included: `cargo xtask refuse --stack` measures each of them, by the paint that is left below.

use execmem::Engine;
use execmem::kinds::Text;
use execmem_arch_x86::TABLE;
use execmem_sim::Nowhere;

const KERNEL_STACK_BYTES: usize = 16 << 10;

/// Makes an engine and does what its users do.
fn use_one() {
    let engine = Engine::new(TABLE, Nowhere).expect("memory");
    let mut code = engine.alloc::<Text>(100).expect("room");
    engine.write(&mut code, 0, &[0xc3]).expect("in bounds");
    let code = engine.publish(code).expect("published");
    let large = engine.alloc::<Text>(3 << 20).expect("room");
    assert_eq!(engine.find(code.address()).map(|found| found.extent), Some(code.extent()));
    engine.free(code).expect("ours");
    engine.free(large).expect("ours");
    engine.shrink();
    assert_eq!(engine.stats().bytes_mapped(), 0);
}

#[test]
fn an_engine_fits_the_stack_of_a_kernel() {
    let thread = std::thread::Builder::new().stack_size(KERNEL_STACK_BYTES).spawn(use_one);
    thread.expect("a thread").join().expect("no panic");
}
