//! The library as it is installed: found by pkg-config and by CMake, and linked with a first program.

use std::path::{Path, PathBuf};
use std::process::Command;

skip::tests! {
    pkg_config_finds_what_was_installed
    cmake_finds_what_was_installed
    llvm_compiles_into_what_was_installed
    versions_agree
}

fn main() -> std::process::ExitCode {
    skip::run("installed", env!("CARGO_TARGET_TMPDIR"), [tests()])
}

/// A prefix with the library, gone after the test.
struct Prefix(PathBuf);

impl Prefix {
    fn new(name: &str) -> Self {
        let prefix = std::env::temp_dir().join(format!("execmem-installed-{name}-{}", std::process::id()));
        let script = package().join("install.sh");
        succeeds(Command::new("sh").arg(script).arg(&prefix).arg(libraries()));
        Prefix(prefix)
    }

    fn lib(&self) -> PathBuf {
        self.0.join("lib")
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder with the libraries: cargo puts them beside the tests.
fn libraries() -> PathBuf {
    let test = std::env::current_exe().expect("a test program");
    let folder = test.parent().expect("a folder");
    let has_library = |folder: &Path| folder.join("libexecmem_c.so").exists();
    [folder, folder.parent().expect("a folder")].into_iter().find(|f| has_library(f)).expect("libraries").to_path_buf()
}

/// The output of a command that does not fail.
fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn pkg_config_finds_what_was_installed() {
    skip::unless(skip::tool("pkg-config"));
    let prefix = Prefix::new("pkg-config");
    let mut find = Command::new("pkg-config");
    find.args(["--cflags", "--libs", "execmem >= 0.1, execmem < 0.2"]);
    let flags = succeeds(find.env("PKG_CONFIG_PATH", prefix.lib().join("pkgconfig")));
    let program = prefix.0.join("call");
    let example = package().join("examples/call.c");
    succeeds(Command::new("cc").arg(example).args(flags.split_whitespace()).arg("-o").arg(&program));
    assert_eq!(succeeds(Command::new(program).env("LD_LIBRARY_PATH", prefix.lib())), "42\n");
}

/// Builds a folder of examples against what was installed, and returns where the programs are.
fn build(prefix: &Prefix, examples: &str, options: &[String]) -> PathBuf {
    let (examples, build) = (package().join(examples), prefix.0.join("build"));
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(examples).arg("-B").arg(&build).arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.0.display()));
    succeeds(configure.args(options));
    succeeds(Command::new("cmake").arg("--build").arg(&build));
    build
}

fn cmake_finds_what_was_installed() {
    skip::unless(skip::tool("cmake"));
    let prefix = Prefix::new("cmake");
    let build = build(&prefix, "examples", &[]);
    assert_eq!(succeeds(&mut Command::new(build.join("call"))), "42\n");
    assert!(succeeds(&mut Command::new(build.join("answer"))).starts_with("42\n43\n"));
}

fn llvm_compiles_into_what_was_installed() {
    skip::unless(skip::tool("cmake"));
    // Large, and so not among the tools that are installed for tests.
    let has = |program: &str| Command::new(program).arg("--version").output().is_ok();
    let need = |has: bool| skip::unless(skip::condition(has, "no headers of LLVM: apt-get install g++ llvm-dev"));
    need(has("g++") && has("llvm-config"));
    let says = |what: &str| succeeds(Command::new("llvm-config").arg(what)).trim().to_owned();
    need(Path::new(&says("--includedir")).join("llvm/ExecutionEngine/RTDyldMemoryManager.h").exists());
    let prefix = Prefix::new("llvm");
    let build = build(&prefix, "examples/llvm", &[format!("-DLLVM_DIR={}", says("--cmakedir"))]);
    // By two mappings, by the kernel, by changes of rights.
    for way in ["1", "2", "3"] {
        let answer = succeeds(Command::new(build.join("jit")).arg(way).env("LD_LIBRARY_PATH", prefix.lib()));
        assert_eq!(answer, "1000 modules, 1000 right, 1000 exceptions caught\n", "{way}");
    }
}

fn versions_agree() {
    let version = env!("CARGO_PKG_VERSION");
    let [major, minor, patch] = ["MAJOR", "MINOR", "PATCH"].map(|part| format!("#define EXECMEM_VERSION_{part} "));
    let parts: Vec<_> = version.split('.').collect();
    let expected = [
        ("include/execmem.h", format!("#define EXECMEM_VERSION \"{version}\"\n")),
        ("include/execmem.h", format!("{major}{}\n{minor}{}\n{patch}{}\n", parts[0], parts[1], parts[2])),
        ("package/execmem.pc", format!("\nVersion: {version}\n")),
        ("package/execmem-config-version.cmake", format!("set(PACKAGE_VERSION \"{version}\")")),
    ];
    for (file, line) in expected {
        let text = std::fs::read_to_string(package().join(file)).expect(file);
        assert!(text.contains(&line), "{file} does not say {line}");
    }
}
