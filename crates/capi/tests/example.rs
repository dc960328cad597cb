//! The example in C, compiled against the header, linked with both libraries, and run.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder with the libraries: cargo puts them beside the tests.
fn libraries() -> PathBuf {
    let test = std::env::current_exe().expect("a test program");
    let folder = test.parent().expect("a folder");
    let has_library = |folder: &Path| folder.join("libexecmem_c.a").exists();
    [folder, folder.parent().expect("a folder")].into_iter().find(|f| has_library(f)).expect("libraries").to_path_buf()
}

fn run(name: &str, link: &[&str]) {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let libraries = libraries();
    let program = std::env::temp_dir().join(format!("execmem-{name}-{}", std::process::id()));
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I"]).arg(package.join("include"));
    compiler.arg(package.join("examples/answer.c")).arg("-o").arg(&program).arg("-L").arg(&libraries).args(link);
    let compiled = compiler.output().expect("a C compiler");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let output = Command::new(&program).env("LD_LIBRARY_PATH", &libraries).output();
    let _ = std::fs::remove_file(&program);
    let output = output.expect("the example");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text, "42\n43\nwritten directly\n11111\n");
}

#[test]
fn the_example_works_with_the_static_library() {
    run("static", &["-l:libexecmem_c.a", "-lpthread", "-ldl", "-lm", "-lgcc_s"]);
}

#[test]
fn the_example_works_with_the_shared_library() {
    run("shared", &["-l:libexecmem_c.so"]);
}
