//! The whole bench, as short as it can be: every peer gives right answers on every trace. In `cargo test --workspace` the
//! program is built as all the rest is, so this costs no further build.

use std::process::Command;

fn succeeds(args: &[&str]) {
    let status = Command::new(env!("CARGO_BIN_EXE_execmem-bench")).args(args).status().expect("the bench starts");
    assert!(status.success(), "{args:?}: {status}");
}

#[test]
#[ignore = "takes a minute"]
fn bench() {
    succeeds(&["--quick"]);
}

#[test]
#[ignore = "takes a quarter of a minute"]
fn itlb() {
    succeeds(&["itlb", "--quick"]);
}
