//! The examples in C, compiled against the header, linked with both libraries, and run.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder with the libraries: cargo puts them beside the tests.
fn libraries() -> PathBuf {
    let test = std::env::current_exe().expect("a test program");
    let folder = test.parent().expect("a folder");
    let has_library = |folder: &Path| folder.join("libexecmem_c.a").exists();
    [folder, folder.parent().expect("a folder")].into_iter().find(|f| has_library(f)).expect("libraries").to_path_buf()
}

fn run(example: &str, link: &[&str], answer: &str) {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let libraries = libraries();
    let program = std::env::temp_dir().join(format!("execmem-{example}-{}-{}", link.len(), std::process::id()));
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I"]).arg(package.join("include"));
    compiler.arg(package.join("examples").join(example)).arg("-o").arg(&program).arg("-L").arg(&libraries).args(link);
    let compiled = compiler.output().expect("a C compiler");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let output = Command::new(&program).env("LD_LIBRARY_PATH", &libraries).output();
    let _ = std::fs::remove_file(&program);
    let output = output.expect("the example");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text, answer);
}

fn run_all(link: &[&str]) {
    run("call.c", link, "42\n");
    run("answer.c", link, "42\n43\nwritten directly\n111111\n1111111111\n");
}

#[test]
fn the_examples_work_with_the_static_library() {
    run_all(&["-l:libexecmem_c.a", "-lpthread", "-ldl", "-lm", "-lgcc_s"]);
}

#[test]
fn the_examples_work_with_the_shared_library() {
    run_all(&["-l:libexecmem_c.so"]);
}
