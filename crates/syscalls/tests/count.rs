//! Counting what a child does whose calls are known.

use std::process::Command;

use execmem_syscalls::{count, mark, wait_for_counter};

const CALLS: u64 = 100;
/// Says to the child that it is one.
const COUNTED: &str = "EXECMEM_COUNTED";

fn main() {
    if std::env::var_os(COUNTED).is_some() {
        return be_counted();
    }
    calls_of_all_threads_are_counted();
    a_child_without_marks_is_an_error();
}

fn call_often() {
    for _ in 0..CALLS {
        let _ = nix::unistd::getppid();
    }
}

fn be_counted() {
    wait_for_counter().expect("a parent");
    mark().expect("a signal");
    std::thread::spawn(call_often).join().expect("a thread");
    call_often();
    mark().expect("a signal");
}

fn calls_of_all_threads_are_counted() {
    let program = std::env::current_exe().expect("this test");
    let calls = count(Command::new(program).env(COUNTED, "1")).expect("tracing is allowed");
    // Starting and joining a thread takes some more.
    assert!((2 * CALLS..3 * CALLS).contains(&calls), "{calls}");
}

fn a_child_without_marks_is_an_error() {
    assert!(count(&mut Command::new("true")).is_err());
}
