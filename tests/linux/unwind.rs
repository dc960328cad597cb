//! Unwinding through generated code, with and without its tables.

use std::backtrace::Backtrace;
use std::sync::Mutex;

use execmem::kinds::Text;
use execmem_linux::{Publish, call, tools::Frames};

use super::code::engine;

skip::tests! {
    unwinding_passes_generated_code_by_llvms_unwinder_too
    unwinding_passes_generated_code_as_long_as_its_tables_live
}

/// `push rbp; mov rbp, rsp; call rdi; pop rbp; ret`
const CALLS_ITS_ARGUMENT: [u8; 8] = [0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3];

static SEEN: Mutex<String> = Mutex::new(String::new());

extern "C" fn look_around() {
    *SEEN.lock().expect("no panic") = Backtrace::force_capture().to_string();
}

/// How to leave [`CALLS_ITS_ARGUMENT`]: one common record and one for the function (DWARF 5, 6.4; x86-64 psABI, 3.6).
fn table(address: u64) -> Vec<u8> {
    // Version 1, no augmentation, code by 1 and data by -8, return address in 16; CFA is rsp + 8, and it is below.
    let common = [0, 0, 0, 0, 1, 0, 1, 0x78, 16, 0x0c, 7, 8, 0x90, 1, 0, 0, 0, 0, 0, 0];
    // After the push CFA is rsp + 16 and rbp is below the return address; after the move CFA counts from rbp.
    let rules = [0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6];
    let len = |bytes: usize| u32::try_from(bytes).expect("short");
    let (common_len, own_len) = (len(common.len()), len(4 + 8 + 8 + rules.len()));
    let back = 4 + common_len + 4;
    let length = CALLS_ITS_ARGUMENT.len() as u64;
    [
        &common_len.to_le_bytes()[..],
        &common,
        &own_len.to_le_bytes(),
        &back.to_le_bytes(),
        &address.to_le_bytes(),
        &length.to_le_bytes(),
        &rules,
    ]
    .concat()
}

/// Set for the process in which LLVM's unwinder takes the place of libgcc's.
const WITH_LLVM: &str = "EXECMEM_TEST_LLVM_UNWINDER";

fn unwinding_passes_generated_code_by_llvms_unwinder_too() {
    let versions = (11..30).map(|version| format!("/usr/lib/llvm-{version}/lib/libunwind.so.1"));
    let usual = ["/usr/lib/x86_64-linux-gnu/libunwind.so.1", "/usr/lib64/libunwind.so.1"].map(str::to_owned);
    let library = usual.into_iter().chain(versions).find(|path| std::path::Path::new(path).exists());
    skip::unless(skip::condition(library.is_some(), "LLVM's libunwind is not installed"));
    let Some(library) = library else { return };
    let test = "linux::unwind::unwinding_passes_generated_code_as_long_as_its_tables_live";
    let mut command = std::process::Command::new(std::env::current_exe().expect("a test program"));
    command.args(["--exact", test]).env("LD_PRELOAD", library).env(WITH_LLVM, "1");
    let output = command.output().expect("a process");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{errors}");
    assert!(!errors.contains("libunwind"), "{errors}");
}

fn unwinding_passes_generated_code_as_long_as_its_tables_live() {
    if std::env::var(WITH_LLVM).is_ok() {
        assert!(execmem_linux::symbol("__unw_add_dynamic_fde").is_some(), "another unwinder");
    }
    let engine = engine(Publish::Poke);
    let mut draft = engine.alloc::<Text>(8).expect("room");
    engine.write(&mut draft, 0, &CALLS_ITS_ARGUMENT).expect("a draft");
    let function = engine.publish(draft).expect("memory");
    let sees_the_test = || {
        let look: extern "C" fn() = look_around;
        // SAFETY: the function is published, and calls its one argument, a function of no arguments.
        let _ = unsafe { call(function.address(), [look as usize as u64, 0, 0, 0]) };
        let seen = SEEN.lock().expect("no panic");
        assert!(seen.contains("look_around"), "{seen}");
        seen.contains("unwinding_passes_generated_code")
    };
    assert!(!sees_the_test(), "nobody knows how to leave the code");
    // SAFETY: well-formed records that describe the function, which lives longer.
    let frames = unsafe { Frames::register(table(function.address())) };
    assert!(sees_the_test());
    drop(frames);
    assert!(!sees_the_test(), "forgotten");
    engine.free(function).expect("ours");
}
