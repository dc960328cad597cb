//! `cross`: the tests of the libraries, and functions of that architecture, on other architectures under user-mode
//! emulation.
//!
//! The standard library of the targets is built from the source that Debian packages with its compiler, since rustup
//! here may have no other target. The first run for a target builds it; later ones take seconds.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::workspace;

/// A machine to emulate.
struct Machine {
    name: &'static str,
    target: &'static str,
    /// Prefix of the cross compiler's programs.
    tools: &'static str,
    emulator: &'static str,
    packages: &'static str,
}

const MACHINES: &[Machine] = &[
    Machine {
        name: "powerpc",
        target: "powerpc-unknown-linux-gnu",
        tools: "powerpc-linux-gnu",
        emulator: "qemu-ppc",
        packages: "gcc-powerpc-linux-gnu libc6-dev-powerpc-cross",
    },
    Machine {
        name: "arm64",
        target: "aarch64-unknown-linux-gnu",
        tools: "aarch64-linux-gnu",
        emulator: "qemu-aarch64",
        packages: "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
    },
    Machine {
        name: "riscv64",
        target: "riscv64gc-unknown-linux-gnu",
        tools: "riscv64-linux-gnu",
        emulator: "qemu-riscv64",
        packages: "gcc-riscv64-linux-gnu libc6-dev-riscv64-cross",
    },
];

/// Debian's compiler, and what it needs to build the standard library.
const CARGO: &str = "/usr/bin/cargo";
const RUSTC: &str = "/usr/bin/rustc";
const LIBRARY: &str = "/usr/lib/rustlib/src/rust/library";
const PACKAGES: &str = "rustc-web cargo-web rust-web-src qemu-user";

/// Packages that are not for every machine: programs, and compilers' adapters for hosts they support.
const EXCLUDED: [&str; 6] =
    ["xtask", "execmem-cli", "execmem-tests", "execmem-cranelift", "execmem-wasmtime", "execmem-capi"];

/// Tests of code that is written again where it was executed, through another mapping. The emulator sees writes through
/// the mapping it translated from only, and runs the old code; hardware does not. And tests of `/proc/self/mem`, which is
/// the emulator's.
const BEYOND_EMULATION: [&str; 3] =
    ["poke::patched_functions_return_the_new_value", "poke::threads_install_run_and_free_at_once", "proc_mem"];

/// Which machines.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Linux's name of an architecture: powerpc (32 bits, big-endian), arm64 or riscv64. By default, all.
    #[arg(long)]
    arch: Vec<String>,
}

/// Runs the tests on the machines asked for, all of which must be possible.
pub(crate) fn run(options: &Options) -> Result<()> {
    for name in &options.arch {
        ensure!(MACHINES.iter().any(|machine| machine.name == name), "no machine is called {name}");
    }
    let is_wanted = |machine: &&Machine| options.arch.is_empty() || options.arch.iter().any(|a| a == machine.name);
    for machine in MACHINES.iter().filter(is_wanted) {
        let missing = machine.missing();
        let (name, packages) = (machine.name, machine.packages);
        ensure!(missing.is_empty(), "{name} needs {missing:?}: apt-get install {PACKAGES} {packages}");
        machine.test().with_context(|| format!("tests on {name}"))?;
    }
    Ok(())
}

/// Runs the tests on every machine whose packages are there, and says what the others lack.
pub(crate) fn run_possible() -> Result<()> {
    for machine in MACHINES {
        let missing = machine.missing();
        if missing.is_empty() {
            machine.test().with_context(|| format!("tests on {}", machine.name))?;
        } else {
            println!("{} needs {missing:?}: apt-get install {PACKAGES} {}", machine.name, machine.packages);
        }
    }
    Ok(())
}

impl Machine {
    fn linker(&self) -> String {
        format!("{}-gcc", self.tools)
    }

    /// Programs and files that are not installed.
    fn missing(&self) -> Vec<String> {
        let programs = [CARGO.to_owned(), RUSTC.to_owned(), self.linker(), self.emulator.to_owned()];
        let mut missing: Vec<_> = programs.into_iter().filter(|program| !is_installed(program)).collect();
        missing.extend((!Path::new(LIBRARY).exists()).then(|| LIBRARY.to_owned()));
        missing
    }

    fn test(&self) -> Result<()> {
        println!("-- {}", self.name);
        let excluded: Vec<_> = EXCLUDED.iter().flat_map(|package| ["--exclude", package]).collect();
        self.cargo_test(&[&["--workspace", "--lib"], &*excluded].concat())?;
        let skipped: Vec<_> = BEYOND_EMULATION.iter().flat_map(|test| ["--skip", test]).collect();
        self.cargo_test(&[&["--package", "execmem-tests", "--test", "linux", "--"], &*skipped].concat())
    }

    fn cargo_test(&self, args: &[&str]) -> Result<()> {
        let variable = |name: &str| format!("CARGO_TARGET_{}_{name}", self.target.to_uppercase().replace('-', "_"));
        let (linker, runner) = (variable("LINKER"), variable("RUNNER"));
        let emulate = format!("{} -L /usr/{}", self.emulator, self.tools);
        let folder = folder();
        let environment = [
            ("RUSTC", RUSTC),
            // The option that builds the standard library is not stable.
            ("RUSTC_BOOTSTRAP", "1"),
            ("CARGO_TARGET_DIR", &*folder),
            ("CARGO_PROFILE_DEV_DEBUG", "0"),
            ("CARGO_PROFILE_DEV_OPT_LEVEL", "1"),
            (&*linker, &self.linker()),
            (&*runner, &*emulate),
        ];
        let common = ["test", "--quiet", "-Zbuild-std", "--target", self.target];
        workspace::run_with(CARGO, &[&common, args].concat(), &environment)
    }
}

/// Where the output goes: apart from that of the other compiler.
fn folder() -> String {
    workspace::output().join("cross").display().to_string()
}

fn is_installed(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_machine_is_refused() {
        let options = Options { arch: vec!["vax".to_owned()] };
        assert_eq!(run(&options).expect_err("no such machine").to_string(), "no machine is called vax");
    }

    #[test]
    fn what_is_not_installed_is_named() {
        let machine = Machine { name: "a", target: "a", tools: "no-such", emulator: "no-such-emulator", packages: "" };
        let missing = machine.missing();
        assert!(missing.contains(&"no-such-gcc".to_owned()) && missing.contains(&"no-such-emulator".to_owned()));
    }
}
