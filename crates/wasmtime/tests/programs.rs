//! WebAssembly programs in the engine's memory, and what becomes of that memory.
#![expect(unsafe_code, reason = "deserializes what it serialized")]

use std::sync::Arc;

use execmem::Engine;
use execmem_linux::{Linux, Options, Publish, proc};
use execmem_wasmtime::{CodeMemory, Error, Outside};
use wasmtime::component::{self, Component};
use wasmtime::{Config, Instance, Linker, Module, Store, Trap};

const FAC: &str = r#"(module (func $fac (export "run") (param i64) (result i64)
    (if (result i64) (i64.eqz (local.get 0)) (then (i64.const 1))
        (else (i64.mul (local.get 0) (call $fac (i64.sub (local.get 0) (i64.const 1))))))))"#;

const FIB: &str = r#"(module (func $fib (export "run") (param i64) (result i64)
    (if (result i64) (i64.lt_u (local.get 0) (i64.const 2)) (then (local.get 0))
        (else (i64.add (call $fib (i64.sub (local.get 0) (i64.const 1)))
                       (call $fib (i64.sub (local.get 0) (i64.const 2))))))))"#;

/// Division by the parameter, a call of the host, and memory beyond its end.
const TRAPS: &str = r#"(module (import "host" "twice" (func $twice (param i64) (result i64))) (memory 1)
    (func (export "run") (param i64) (result i64) (i64.div_u (i64.const 84) (call $twice (local.get 0))))
    (func (export "beyond") (param i64) (result i64) (i64.load (i32.const 65536))))"#;

const ALL: [Publish; 3] = [Publish::Poke, Publish::Flip, Publish::ProcMem];

fn memory(publish: Publish) -> CodeMemory {
    let linux = Linux::reserve(&Options::default().publish(publish)).expect("executable memory");
    CodeMemory::new(Arc::new(Engine::new(linux.table().expect("a table"), linux).expect("an engine")))
}

fn engine(memory: &CodeMemory) -> wasmtime::Engine {
    wasmtime::Engine::new(memory.serve(&mut Config::new())).expect("a configuration")
}

fn run(module: &Module, name: &str, argument: i64) -> wasmtime::Result<i64> {
    let mut linker = Linker::new(module.engine());
    linker.func_wrap("host", "twice", |number: i64| number.wrapping_mul(2))?;
    let mut store = Store::new(module.engine(), ());
    let instance: Instance = linker.instantiate(&mut store, module)?;
    instance.get_typed_func::<i64, i64>(&mut store, name)?.call(&mut store, argument)
}

/// A module of many functions that sort, hash and call each other through a table and by name.
fn large(functions: usize) -> String {
    let mut text = format!(
        r#"(module (type $f (func (param i64) (result i64))) (memory 1) (table {functions} funcref)
        (func (export "run") (param i64) (result i64) (local $i i32) (local $sum i64)
          (loop $next
            (local.set $sum (i64.add (local.get $sum)
              (call_indirect (type $f) (i64.add (local.get 0) (i64.extend_i32_u (local.get $i))) (local.get $i))))
            (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {functions}))))
          (local.get $sum))"#
    );
    for number in 0..functions {
        let (shift, offset) = (number % 61 + 1, number * 8);
        let callee =
            if number == 0 { "(local.get 0)".to_owned() } else { format!("(call $f{} (local.get 1))", number / 2) };
        let callee = if number < 4 { "(local.get 0)".to_owned() } else { callee };
        text.push_str(&format!(
            r#"(func $f{number} (param i64) (result i64) (local i64)
              (local.set 1 (i64.xor (i64.rotl (local.get 0) (i64.const {shift})) (i64.const {})))
              (i64.store offset={offset} (i32.const 0) (i64.add (local.get 1) (i64.load offset={offset} (i32.const 0))))
              (i64.add {callee} (i64.load offset={offset} (i32.const 0))))
            (elem (i32.const {number}) $f{number})"#,
            number.wrapping_mul(0x9e37_79b9)
        ));
    }
    text.push(')');
    text
}

#[test]
fn programs_give_the_same_results_as_in_wasmtimes_own_memory() {
    let default = wasmtime::Engine::default();
    let large = large(600);
    for publish in ALL {
        let memory = memory(publish);
        let engine = engine(&memory);
        for (text, arguments) in [(FAC, [0, 5, 20]), (FIB, [1, 10, 22]), (&large, [0, 7, -1])] {
            let ours = memory.compile(&engine, text.as_bytes()).expect("placed");
            let theirs = Module::new(&default, text).expect("compiled");
            for argument in arguments {
                let [ours, theirs] = [&ours, &theirs].map(|module| run(module, "run", argument).expect("it ends"));
                assert_eq!(ours, theirs, "of {argument} with {publish:?}");
            }
            let (code, window) = (ours.image_range(), memory.engine().facts().window());
            let is_ours = |address: *const u8| window.contains(address.addr() as u64);
            assert!(is_ours(code.start) && is_ours(code.end.wrapping_sub(1)));
            assert_eq!(proc::writable_and_executable_bytes().expect("smaps"), 0);
        }
    }
    assert_eq!(
        run(&Module::new(&default, FAC).expect("compiled"), "run", 20).expect("it ends"),
        2_432_902_008_176_640_000
    );
}

#[test]
fn traps_are_found_in_code_that_lies_here() {
    for publish in ALL {
        let memory = memory(publish);
        let module = memory.compile(&engine(&memory), TRAPS.as_bytes()).expect("placed");
        assert_eq!(run(&module, "run", 21).expect("no trap"), 2);
        let trap = |name, argument| run(&module, name, argument).expect_err("a trap").downcast::<Trap>();
        assert_eq!(trap("run", 0).expect("a trap"), Trap::IntegerDivisionByZero);
        assert_eq!(trap("beyond", 0).expect("a trap"), Trap::MemoryOutOfBounds);
    }
}

#[test]
fn dropped_modules_leave_nothing_behind() {
    for publish in ALL {
        let memory = memory(publish);
        let engine = engine(&memory);
        let mut modules: Vec<_> =
            [FAC, FIB, TRAPS].iter().map(|text| memory.compile(&engine, text.as_bytes()).expect("placed")).collect();
        let live = |memory: &CodeMemory| memory.engine().stats().kinds.values().map(|kind| kind.live).sum::<u64>();
        assert_eq!(live(&memory), 3);
        let clone = modules[1].clone();
        modules.clear();
        memory.release();
        assert_eq!(live(&memory), 1);
        assert_eq!(run(&clone, "run", 10).expect("it lives"), 55);
        // Dropped by a thread that ends.
        std::thread::spawn(move || drop(clone)).join().expect("no panic");
        assert_eq!(live(&memory), 0);
        for _ in 0..100 {
            assert!(memory.compile(&engine, FIB.as_bytes()).is_ok());
            assert!(live(&memory) <= 1);
        }
        memory.release();
        memory.engine().shrink();
        assert_eq!(memory.engine().stats().bytes_mapped(), 0);
    }
}

#[test]
fn images_share_pages_of_two_megabytes() {
    let memory = memory(Publish::Poke);
    let engine = engine(&memory);
    let modules: Vec<_> = (0..20).map(|_| memory.compile(&engine, FAC.as_bytes()).expect("placed")).collect();
    assert_eq!(memory.engine().stats().bytes_mapped(), 2 << 20);
    assert_eq!(run(&modules[19], "run", 5).expect("it ends"), 120);
}

/// Stock calls of Wasmtime: compile, serialize, deserialize, link.
#[test]
fn stock_modules_run_outside_and_are_counted() {
    for publish in ALL {
        let memory = memory(publish);
        let engine = engine(&memory);
        let module = Module::new(&engine, FAC).expect("compiled");
        assert_eq!(run(&module, "run", 20).expect("it ends"), 2_432_902_008_176_640_000);
        let image = Module::new(&engine, TRAPS).and_then(|module| module.serialize()).expect("an image");
        // SAFETY: the image is Wasmtime's, and unmodified.
        let copy = unsafe { Module::deserialize(&engine, &image) }.expect("the same Wasmtime");
        assert_eq!(run(&copy, "run", 21).expect("no trap"), 2);
        let trap = run(&copy, "run", 0).expect_err("a trap").downcast::<Trap>().expect("a trap");
        assert_eq!(trap, Trap::IntegerDivisionByZero);
        let placed = memory.compile(&engine, FIB.as_bytes()).expect("placed");
        assert_eq!(run(&placed, "run", 10).expect("it ends"), 55);
        let outside = memory.outside();
        assert!(outside.images == 2 && outside.bytes > 0, "{outside:?}");
        assert_eq!(proc::writable_and_executable_bytes().expect("smaps"), 0);
        drop((module, copy));
        assert_eq!(memory.outside(), Outside::default());
        assert_eq!(run(&placed, "run", 11).expect("it ends"), 89);
    }
}

#[test]
fn components_are_placed_or_run_outside() {
    const TEXT: &str = r#"(component
        (core module $m (func (export "triple") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3))))
        (core instance $i (instantiate $m))
        (func (export "triple") (param "number" u32) (result u32) (canon lift (core func $i "triple"))))"#;
    for publish in ALL {
        let memory = memory(publish);
        let engine = engine(&memory);
        let placed = memory.compile_component(&engine, TEXT.as_bytes()).expect("placed");
        assert_eq!(memory.outside(), Outside::default());
        let stock = Component::new(&engine, TEXT).expect("compiled");
        assert_eq!(memory.outside().images, 1);
        for component in [placed, stock] {
            let mut store = Store::new(&engine, ());
            let instance = component::Linker::new(&engine).instantiate(&mut store, &component).expect("no imports");
            let triple = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "triple").expect("exported");
            assert_eq!(triple.call(&mut store, (14,)).expect("it ends"), (42,));
        }
        assert_eq!(memory.outside(), Outside::default());
    }
}

#[test]
fn a_module_without_code_has_nothing_to_place() {
    let memory = memory(Publish::Poke);
    let engine = engine(&memory);
    for text in ["(module)", r#"(module (memory (export "memory") 1) (data (i32.const 8) "seven"))"#] {
        let module = memory.compile(&engine, text.as_bytes()).expect("a module");
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).expect("no imports");
        if let Some(bytes) = instance.get_memory(&mut store, "memory") {
            assert_eq!(&bytes.data(&store)[8..13], b"seven");
        }
    }
    let empty = memory.compile_component(&engine, b"(component)").expect("a component");
    assert!(empty.text().is_empty());
    memory.engine().shrink();
    assert_eq!((memory.engine().stats().bytes_mapped(), memory.outside()), (0, Outside::default()));
}

#[test]
fn what_cannot_be_placed_is_an_error_and_takes_no_memory() {
    let memory = memory(Publish::Poke);
    let hooked = engine(&memory);
    let kept = memory.compile(&hooked, FAC.as_bytes()).expect("placed");
    let other = engine(&self::memory(Publish::Poke));
    for stranger in [&other, &wasmtime::Engine::default()] {
        let refused = memory.compile(stranger, FAC.as_bytes());
        assert!(matches!(refused, Err(Error::Wasmtime(_))), "{refused:?}");
        // In the same page, whose rights are as they were.
        assert_eq!(run(&kept, "run", 5).expect("it ends"), 120);
    }
    drop(kept);
    memory.release();
    assert!(matches!(memory.compile(&hooked, b"(module (func"), Err(Error::Wasmtime(_))));
    let mut config = Config::new();
    memory.serve(config.target("pulley64").expect("a target"));
    let pulley = wasmtime::Engine::new(&config).expect("a configuration");
    let refused = memory.compile(&pulley, FAC.as_bytes());
    assert!(matches!(refused, Err(Error::Interpreter | Error::Wasmtime(_))), "{refused:?}");
    memory.engine().shrink();
    assert_eq!(memory.engine().stats().bytes_mapped(), 0);
}
