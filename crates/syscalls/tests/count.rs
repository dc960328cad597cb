//! Counting what a child does whose calls are known.

use std::process::Command;

use execmem_syscalls::{count, mark, wait_for_counter};

const CALLS: u64 = 100;
/// Says to the child that it is one.
const COUNTED: &str = "EXECMEM_COUNTED";
/// That its threads end right before it does.
const MANY: &str = "many threads";

fn main() {
    match std::env::var(COUNTED).as_deref() {
        Ok(MANY) => return have_many_threads(),
        Ok(_) => return be_counted(),
        Err(_) => {}
    }
    calls_of_all_threads_are_counted();
    threads_that_end_at_the_second_mark_do_not_keep_the_child();
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

fn have_many_threads() {
    wait_for_counter().expect("a parent");
    mark().expect("a signal");
    std::thread::scope(|scope| (0..16).for_each(|_| drop(scope.spawn(|| ()))));
    mark().expect("a signal");
}

/// A thread that joins another does not wait until its tracer has noticed its end. The count hung once in a while.
fn threads_that_end_at_the_second_mark_do_not_keep_the_child() {
    let program = std::env::current_exe().expect("this test");
    for _ in 0..100 {
        let calls = count(Command::new(&program).env(COUNTED, MANY)).expect("tracing is allowed");
        assert!(calls > 16, "{calls}");
    }
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
