//! Modules that a compiler made for this machine, loaded and executed, also far from what they call.

use std::path::{Path, PathBuf};
use std::process::Command;

use execmem::Engine;
use execmem_clients::module::{Loader, Module};
use execmem_linux::{Linux, Options, call};

use super::code::{engine_of, ways};
#[cfg(any(target_arch = "aarch64", target_arch = "powerpc"))]
use far::compiled_modules_call_what_is_far_by_way_of_veneers;

#[cfg(any(target_arch = "aarch64", target_arch = "powerpc"))]
skip::tests! {
    compiled_modules_compute_what_their_source_says
    compiled_modules_call_what_is_far_by_way_of_veneers
}

#[cfg(any(target_arch = "x86_64", target_arch = "riscv64"))]
skip::tests! {
    compiled_modules_compute_what_their_source_says
}

/// The compiler of this machine, and flags for code that may lie anywhere near itself.
#[cfg(target_arch = "x86_64")]
const MACHINE: (&str, &[&str]) = ("gcc", &["-fno-pie", "-mcmodel=large"]);
#[cfg(target_arch = "aarch64")]
const MACHINE: (&str, &[&str]) = ("aarch64-linux-gnu-gcc", &["-fno-pie", "-mgeneral-regs-only"]);
#[cfg(target_arch = "riscv64")]
const MACHINE: (&str, &[&str]) = ("riscv64-linux-gnu-gcc", &["-fno-pie", "-mcmodel=medany", "-mno-relax"]);
#[cfg(target_arch = "powerpc")]
const MACHINE: (&str, &[&str]) = ("powerpc-linux-gnu-gcc", &["-fno-pie", "-mno-sdata"]);

const WINDOW_BYTES: u64 = 16 << 20;

/// The object of tests/binutils/modules/module.c. `name` tells tests apart.
fn compile(name: &str) -> Vec<u8> {
    skip::unless(skip::tool(MACHINE.0));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("binutils/modules/module.c");
    let object: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.o", std::process::id()));
    let (compiler, flags) = MACHINE;
    let common =
        ["-c", "-O2", "-ffreestanding", "-fno-common", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-o"];
    let output = Command::new(compiler).args(flags).args(common).args([&object, &source]).output();
    let output = output.unwrap_or_else(|error| panic!("{compiler}: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let data = std::fs::read(&object).expect("the object");
    std::fs::remove_file(&object).expect("the object");
    data
}

/// Loads the module and runs what initialises it.
fn start<'e>(engine: &'e Engine<Linux>, data: &[u8], outer: u64) -> Module<&'e Engine<Linux>> {
    let loader = Loader::new(engine).expect("rules");
    let coming = loader.load(data, &|name: &str| (name == "outer").then_some(outer)).expect("a module");
    assert_eq!(run(coming.init().expect("a symbol"), [0; 2]), 0);
    coming.finish().expect("memory")
}

/// Calls a function of the module.
fn run(function: u64, [operation, x]: [u32; 2]) -> u32 {
    // SAFETY: the compiler made complete functions of the C ABI, whose effects are on data of the module, and which call
    // functions of this file or code that returns a constant. They are published and not freed meanwhile.
    let value = unsafe { call(function, [operation.into(), x.into(), 0, 0]) };
    u32::try_from(value & 0xffff_ffff).expect("32 bits")
}

/// What the module computes, in the words of its source.
struct Model<F> {
    counter: u32,
    seeds: [u32; 4],
    outer: F,
}

impl<F: Fn(u32) -> u32> Model<F> {
    fn entry(&mut self, operation: u32, x: u32) -> u32 {
        let names = ["zero", "one", "two", "three"];
        let slot = x as usize % 4;
        match operation {
            0 => (self.outer)(x).wrapping_add(1),
            1 => [x.wrapping_mul(2), x.wrapping_mul(x), (self.outer)(x) ^ self.counter][x as usize % 3],
            2 => u32::from(names[slot].as_bytes()[0]) << 8 | u32::from(names[slot].as_bytes()[1]),
            3 => {
                self.counter = self.counter.wrapping_add(x);
                self.counter
            }
            4 => {
                self.seeds[slot] ^= x;
                self.seeds[slot]
            }
            5 => 41 + u32::try_from(size_of::<usize>()).expect("small"),
            6 => 2,
            7 => self.seeds[0],
            _ => !x,
        }
    }
}

/// Calls the module with everything it knows, and compares.
fn compare(module: &Module<&'_ Engine<Linux>>, outer: impl Fn(u32) -> u32) {
    let entry = module.names().symbol("entry").expect("a symbol");
    let mut model = Model { counter: 0, seeds: [3, 5, 7, 11], outer };
    for round in 0..400_u32 {
        let (operation, x) = (round % 9, round.wrapping_mul(2_654_435_761) >> 3);
        assert_eq!(run(entry, [operation, x]), model.entry(operation, x), "round {round}: {operation} {x}");
    }
}

extern "C" fn outer(x: u32) -> u32 {
    x.wrapping_mul(3).wrapping_add(5)
}

fn compiled_modules_compute_what_their_source_says() {
    let data = compile("near");
    for publish in ways() {
        // Small: other tests have windows near the program at the same time.
        let engine = engine_of(&Options::default().publish(publish).window(WINDOW_BYTES));
        let function: extern "C" fn(u32) -> u32 = outer;
        let module = start(&engine, &data, function as usize as u64);
        compare(&module, |x| outer(x));
        module.unload();
        engine.audit_unused().expect("freed text traps");
        engine.shrink();
        assert_eq!(engine.stats().bytes_mapped(), 0);
    }
}

#[cfg(any(target_arch = "aarch64", target_arch = "powerpc"))]
mod far {
    use execmem_linux::{Options, Place};

    use super::{compare, compile, start};
    use crate::linux::code::{engine_of, install};

    /// Windows beside each other, so many that some are out of reach of a direct call from the first.
    pub(super) fn compiled_modules_call_what_is_far_by_way_of_veneers() {
        const VALUE: u32 = 0x7fff_8001;
        let data = compile("far");
        let engines: Vec<_> = (0..7).map(|_| engine_of(&Options::default().place(Place::Anywhere))).collect();
        let functions: Vec<_> = engines.iter().map(|engine| install(engine, VALUE, 0)).collect();
        let here = functions[0].address();
        let far = functions.iter().max_by_key(|function| function.address().abs_diff(here)).expect("some");
        let engine = &engines[0];
        assert!(!engine.facts().machine().reach().reaches(here, far.address()), "{:#x} from {here:#x}", far.address());
        let module = start(engine, &data, far.address());
        compare(&module, |_| VALUE);
        module.unload();
    }
}
