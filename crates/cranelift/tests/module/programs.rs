//! Generated functions in the engine's memory, compared with the same in Cranelift's own.

use std::sync::Arc;

use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, default_libcall_names};
use execmem::{Engine, Kind};
use execmem_cranelift::{Builder, CodeModule, Provider};
use execmem_linux::{Linux, Options, Place, Publish, proc};
use execmem_sim::Random;

use crate::generator::define_functions;

skip::tests! {
    functions_compute_what_they_do_elsewhere
    functions_with_entries_of_their_own_do_too
    one_mapping_that_flips_does_too
    a_window_far_from_the_program_does_too
    functions_are_packed_in_large_pages
    cranelifts_own_module_works_in_the_providers_memory
    a_provider_that_is_dropped_leaves_finalized_code
    a_provider_needs_memory_that_flips
}

const FUNCTIONS: usize = 300;
const SEED: u64 = 0x5eed;

fn engine(options: &Options) -> Arc<Engine<Linux>> {
    let linux = Linux::reserve(options).expect("executable memory");
    Arc::new(Engine::new(linux.table().expect("a table"), linux).expect("memory"))
}

/// What functions return for some arguments.
fn results(addresses: &[u64]) -> Vec<u64> {
    let mut random = Random::new(7);
    let mut results = Vec::new();
    for address in addresses {
        for _ in 0..10 {
            let arguments = [random.number(), random.number(), 0, 0];
            // SAFETY: the generator makes functions of two integers that end, touch only their own data, and are
            // finalized.
            results.push(unsafe { execmem_linux::call(*address, arguments) });
        }
    }
    results
}

/// The same from Cranelift's own memory.
fn expected() -> Vec<u64> {
    let mut module = JITModule::new(JITBuilder::new(default_libcall_names()).expect("a builder"));
    let ids = define_functions(&mut module, FUNCTIONS, SEED);
    module.finalize_definitions().expect("defined");
    let addresses: Vec<_> =
        ids.iter().map(|id| module.get_finalized_function(*id).expose_provenance() as u64).collect();
    let results = results(&addresses);
    // SAFETY: no thread calls the functions any more.
    unsafe { module.free_memory() };
    results
}

fn addresses(module: &CodeModule, ids: &[FuncId]) -> Vec<u64> {
    ids.iter().map(|id| module.address(*id).expect("finalized")).collect()
}

fn check(options: &Options, swappable: bool) {
    let engine = engine(options);
    let builder = Builder::new(Arc::clone(&engine)).expect("a code generator");
    let mut module = if swappable { builder.hot_swap() } else { builder }.build();
    let ids = define_functions(&mut module, FUNCTIONS, SEED);
    assert!(ids.iter().all(|id| module.address(*id).is_none()), "not finalized yet");
    module.finalize_definitions().expect("defined");
    assert_eq!(results(&addresses(&module, &ids)), expected());
    assert_eq!(proc::writable_and_executable_bytes().expect("proc"), 0);
    drop(module);
    engine.audit_unused().expect("freed text traps");
    engine.shrink();
    assert_eq!(engine.stats().bytes_mapped(), 0, "drop frees everything");
}

fn functions_compute_what_they_do_elsewhere() {
    check(&Options::default(), false);
}

fn functions_with_entries_of_their_own_do_too() {
    check(&Options::default(), true);
}

fn one_mapping_that_flips_does_too() {
    check(&Options::default().publish(Publish::Flip), false);
}

fn a_window_far_from_the_program_does_too() {
    check(&Options::default().place(Place::Anywhere), false);
}

fn functions_are_packed_in_large_pages() {
    let engine = engine(&Options::default().publish(Publish::Poke));
    let mut module = Builder::new(Arc::clone(&engine)).expect("a code generator").build();
    let ids = define_functions(&mut module, FUNCTIONS, SEED);
    module.finalize_definitions().expect("defined");
    let mut addresses = addresses(&module, &ids);
    addresses.sort_unstable();
    let span = addresses[FUNCTIONS - 1] - addresses[0];
    assert!(span / (FUNCTIONS as u64) < 2048, "{span} bytes for {FUNCTIONS} functions");
    let text = engine.pool_stats(Kind::Text).bytes_mapped;
    assert_eq!(text, 2 << 20, "one large page");
}

fn cranelifts_own_module_works_in_the_providers_memory() {
    let provider = Provider::on_linux().expect("a provider");
    let mut builder = JITBuilder::new(default_libcall_names()).expect("a builder");
    builder.memory_provider(Box::new(provider));
    let mut module = JITModule::new(builder);
    let (first, second) = (define_functions(&mut module, FUNCTIONS, SEED), FUNCTIONS / 2);
    module.finalize_definitions().expect("defined");
    let more = define_functions(&mut module, second, SEED + 1);
    module.finalize_definitions().expect("defined");
    let address = |id: &FuncId| module.get_finalized_function(*id).expose_provenance() as u64;
    assert_eq!(results(&first.iter().map(address).collect::<Vec<_>>()), expected());
    assert_eq!(results(&more.iter().map(address).collect::<Vec<_>>()).len(), 10 * second);
    assert_eq!(proc::writable_and_executable_bytes().expect("proc"), 0);
    // SAFETY: no thread calls the functions any more.
    unsafe { module.free_memory() };
}

fn a_provider_that_is_dropped_leaves_finalized_code() {
    let engine = engine(&Options::default().publish(Publish::Flip).window(8 << 20));
    let mut builder = JITBuilder::new(default_libcall_names()).expect("a builder");
    builder.memory_provider(Box::new(Provider::new(Arc::clone(&engine)).expect("flips")));
    let mut module = JITModule::new(builder);
    let ids = define_functions(&mut module, 10, SEED);
    module.finalize_definitions().expect("defined");
    let address = |id: &FuncId| module.get_finalized_function(*id).expose_provenance() as u64;
    let addresses: Vec<_> = ids.iter().map(address).collect();
    let before = results(&addresses);
    drop(module);
    drop(engine);
    assert_eq!(results(&addresses), before);
}

fn a_provider_needs_memory_that_flips() {
    let refused = Provider::new(engine(&Options::default().publish(Publish::Poke))).expect_err("pokes");
    assert!(matches!(refused, execmem_cranelift::Error::NotFlipping));
}
