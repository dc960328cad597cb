//! `wast`: the whole WebAssembly test suite by Wasmtime in execmem's memory, beside Wasmtime's own.

use anyhow::Result;

use crate::workspace;

/// Runs every file, of which the tests run a slice.
pub(crate) fn run() -> Result<()> {
    let args = ["test", "--package", "execmem-wasmtime", "--test", "wast", "--", "--nocapture"];
    workspace::run_with("cargo", &args, &[("EXECMEM_WAST", "all")])
}
