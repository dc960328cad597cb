//! What profilers and debuggers learn, read back with their own formats and by gdb itself.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use cranelift_codegen::ir::InstBuilder as _;
use cranelift_module::{FuncId, Linkage, Module as _};
use execmem::Engine;
use execmem_cranelift::{Builder, CodeModule};
use execmem_linux::tools::{Code, Gdb, JitDump, Listener, PerfMap};
use execmem_linux::{Linux, Options, call};
use object::{Object as _, ObjectSymbol as _};

use crate::generator::{define, signature};

skip::tests! {
    the_map_of_perf_has_a_line_for_each_function
    the_dump_for_perf_has_every_byte
    the_object_files_for_debuggers_have_a_function_at_its_address
    a_debugger_shows_names_of_generated_functions
}

/// A folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("execmem-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn module(listener: Arc<dyn Listener>) -> CodeModule {
    let linux = Linux::reserve(&Options::default()).expect("executable memory");
    let engine = Engine::new(linux.table().expect("a table"), linux).expect("memory");
    Builder::new(Arc::new(engine)).expect("a code generator").listener(listener).build()
}

/// Functions that add a number, each calling the one before.
fn chain(module: &mut CodeModule, count: usize) -> Vec<FuncId> {
    let signature = signature(module);
    let mut ids: Vec<FuncId> = Vec::new();
    for index in 0..count {
        let id = module.declare_function(&format!("link{index}"), Linkage::Export, &signature).expect("declared");
        let before = ids.last().copied();
        define(module, id, |module, builder, [a, b]| {
            let Some(before) = before else { return builder.ins().iadd(a, b) };
            let callee = module.declare_func_in_func(before, builder.func);
            let call = builder.ins().call(callee, &[a, b]);
            let result = builder.inst_results(call)[0];
            builder.ins().iadd_imm_s(result, 1)
        })
        .expect("defined");
        ids.push(id);
    }
    module.finalize_definitions().expect("defined");
    ids
}

fn the_map_of_perf_has_a_line_for_each_function() {
    let folder = Folder::new("map");
    let map = Arc::new(PerfMap::create_in(&folder.0).expect("a file"));
    let mut module = module(map.clone());
    let ids = chain(&mut module, 20);
    let text = fs::read_to_string(map.path()).expect("the file");
    assert_eq!(text.lines().count(), 20);
    for (index, (line, id)) in text.lines().zip(&ids).enumerate() {
        let mut words = line.split(' ');
        let mut number = || u64::from_str_radix(words.next().expect("a word"), 16).expect("hexadecimal");
        let (address, len) = (number(), number());
        assert_eq!((Some(address), words.next()), (module.address(*id), Some(&*format!("link{index}"))));
        assert!((1..4096).contains(&len));
    }
    map.published(&Code { name: "two\nlines", address: 1, bytes: &[0] }).expect("written");
    assert!(fs::read_to_string(map.path()).expect("the file").ends_with("\n1 1 two lines\n"));
}

fn the_dump_for_perf_has_every_byte() {
    let folder = Folder::new("dump");
    let dump = Arc::new(JitDump::create_in(&folder.0).expect("a file"));
    let mut module = module(dump.clone());
    let ids = chain(&mut module, 5);
    let bytes = fs::read(dump.path()).expect("the file");
    let short = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let long = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    assert_eq!((short(0), short(4), short(8), short(20)), (0x4a69_5444, 1, 40, std::process::id()));
    let (mut at, mut time) = (40, long(24));
    for (index, id) in ids.iter().enumerate() {
        assert_eq!((short(at), short(at + 16)), (0, std::process::id()));
        assert!(long(at + 8) >= time, "times do not run backwards");
        time = long(at + 8);
        let (address, len) = (long(at + 32), usize::try_from(long(at + 40)).expect("short"));
        assert_eq!((Some(address), long(at + 24), long(at + 48)), (module.address(*id), address, index as u64));
        let name = format!("link{index}\0");
        assert_eq!(&bytes[at + 56..at + 56 + name.len()], name.as_bytes());
        let end = at + usize::try_from(short(at + 4)).expect("short");
        let code = &bytes[at + 56 + name.len()..end];
        let pointer = std::ptr::with_exposed_provenance::<u8>(usize::try_from(address).expect("an address"));
        // SAFETY: the function lives, no thread changes it, and it has that many bytes.
        let executed = unsafe { std::slice::from_raw_parts(pointer, len) };
        assert_eq!(code, executed);
        at = end;
    }
    assert_eq!(at, bytes.len());
}

fn the_object_files_for_debuggers_have_a_function_at_its_address() {
    let code = Code { name: "some_function", address: 0x7000_1234_5000, bytes: &[0; 77] };
    let bytes = Gdb::object_file(&code).expect("a file");
    let file = object::File::parse(&*bytes).expect("an object file");
    let symbol = file.symbols().find(|symbol| symbol.name() == Ok("some_function")).expect("the symbol");
    assert_eq!((symbol.address(), symbol.size()), (0x7000_1234_5000, 77));
}

/// The process that gdb runs: it calls a chain of functions that ends in a trap.
fn a_debugger_shows_names_of_generated_functions() {
    const DEBUGGED: &str = "EXECMEM_TEST_DEBUGGED";
    if std::env::var_os(DEBUGGED).is_some() {
        return run_into_a_trap();
    }
    skip::unless(skip::tool("gdb"));
    let program = std::env::current_exe().expect("a test program");
    let mut gdb = Command::new("gdb");
    gdb.args(["-batch", "-nx", "-ex", "set debuginfod enabled off", "-ex", "run", "-ex", "bt 8", "--args"]);
    gdb.arg(program).args(["--exact", "tools::a_debugger_shows_names_of_generated_functions", "--test-threads=1"]);
    let output = gdb.env(DEBUGGED, "1").output().expect("gdb");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("in trapping_function"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("in calling_function"), "{text}");
}

fn run_into_a_trap() {
    let mut module = module(Arc::new(Gdb::new()));
    let signature = signature(&module);
    // Freed functions are forgotten; the list stays in order.
    let gone = chain(&mut module, 3);
    module.free_functions(&gone).expect("nobody calls them");
    let mut callee = None;
    for name in ["trapping_function", "calling_function"] {
        let id = module.declare_function(name, Linkage::Export, &signature).expect("declared");
        define(&mut module, id, |module, builder, [a, b]| {
            let Some(callee) = callee else {
                let code = cranelift_codegen::ir::TrapCode::unwrap_user(1);
                let zero = builder.ins().iconst(cranelift_codegen::ir::types::I64, 0);
                builder.ins().trapz(zero, code);
                return a;
            };
            let callee = module.declare_func_in_func(callee, builder.func);
            let call = builder.ins().call(callee, &[a, b]);
            let result = builder.inst_results(call)[0];
            builder.ins().iadd_imm_s(result, 1)
        })
        .expect("defined");
        callee = Some(id);
    }
    module.finalize_definitions().expect("defined");
    let address = callee.and_then(|id| module.address(id)).expect("finalized");
    // SAFETY: the functions end in a trap, which is what the debugger waits for.
    let _ = unsafe { call(address, [1, 2, 0, 0]) };
}
