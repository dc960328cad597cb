//! `cross`: the tests of the libraries, and functions of that architecture, on other architectures under user-mode
//! emulation.
//!
//! The standard library of the targets is built from the source that Debian packages with its compiler, since rustup
//! here may have no other target. The first run for a target builds it; later ones take seconds.
//!
//! CI has no time for all of it: it runs the tests of libraries on the machine that differs most, and functions on all.

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use skip::{Need, tool};

use crate::{skips, source_std, workspace};

/// A machine to emulate.
struct Machine {
    name: &'static str,
    target: &'static str,
    /// Prefix of the cross compiler's programs.
    tools: &'static str,
    emulator: &'static str,
}

const MACHINES: &[Machine] = &[
    Machine { name: "powerpc", target: "powerpc-unknown-linux-gnu", tools: "powerpc-linux-gnu", emulator: "qemu-ppc" },
    Machine {
        name: "arm64",
        target: "aarch64-unknown-linux-gnu",
        tools: "aarch64-linux-gnu",
        emulator: "qemu-aarch64",
    },
    Machine {
        name: "riscv64",
        target: "riscv64gc-unknown-linux-gnu",
        tools: "riscv64-linux-gnu",
        emulator: "qemu-riscv64",
    },
];

/// Packages that are not for every machine: programs, compilers' adapters for hosts they support, and models.
const EXCLUDED: [&str; 11] = [
    "xtask",
    "execmem-bench",
    "execmem-capi",
    "execmem-cli",
    "execmem-closure-ffi",
    "execmem-cranelift",
    "execmem-fuzz",
    "execmem-instructions",
    "execmem-model",
    "execmem-skip",
    "execmem-wasmtime",
];

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
    /// What CI runs: the tests of libraries on the first machine only.
    #[arg(long)]
    quick: bool,
}

/// The tests of one machine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tests {
    /// Of libraries, and functions of the machine.
    All,
    /// Functions of the machine.
    Functions,
}

/// Runs the tests on the machines asked for, all of which must be possible.
pub(crate) fn run(options: &Options) -> Result<()> {
    for name in &options.arch {
        ensure!(MACHINES.iter().any(|machine| machine.name == name), "no machine is called {name}");
    }
    let is_wanted = |machine: &&Machine| options.arch.is_empty() || options.arch.iter().any(|a| a == machine.name);
    for machine in MACHINES.iter().filter(is_wanted) {
        let name = machine.name;
        if let Some(missing) = machine.needs().iter().find_map(Need::missing) {
            bail!("no tests on {name}: {}, or cargo xtask install", missing.reason);
        }
        machine.test(machine.tests(options.quick)).with_context(|| format!("tests on {name}"))?;
    }
    Ok(())
}

/// Runs what CI runs on every machine that has what it needs, and notes that others are skipped.
pub(crate) fn run_possible() -> Result<()> {
    for machine in MACHINES {
        if skips::note(&format!("cross {}", machine.name), &machine.needs())? {
            machine.test(machine.tests(true)).with_context(|| format!("tests on {}", machine.name))?;
        }
    }
    Ok(())
}

impl Machine {
    fn linker(&self) -> String {
        format!("{}-gcc", self.tools)
    }

    /// What must be installed.
    fn needs(&self) -> Vec<Need> {
        let libc = format!("/usr/{}/lib/libc.so", self.tools);
        let own = [&*self.linker(), &libc, self.emulator].map(tool);
        source_std::needs().into_iter().chain(own).collect()
    }

    /// Which tests run, if they are to be quick or not.
    fn tests(&self, is_quick: bool) -> Tests {
        let is_first = MACHINES.first().is_some_and(|first| first.name == self.name);
        if is_quick && !is_first { Tests::Functions } else { Tests::All }
    }

    fn test(&self, tests: Tests) -> Result<()> {
        println!("-- {}", self.name);
        let variable = |name: &str| format!("CARGO_TARGET_{}_{name}", self.target.to_uppercase().replace('-', "_"));
        let (linker, runner) = (variable("LINKER"), variable("RUNNER"));
        let emulate = format!("{} -L /usr/{}", self.emulator, self.tools);
        let folder = folder();
        let environment = [("CARGO_TARGET_DIR", &*folder), (&*linker, &self.linker()), (&*runner, &*emulate)];
        let environment = [&source_std::ENVIRONMENT[..], &environment].concat();
        let excluded = EXCLUDED.iter().flat_map(|package| ["--exclude", package]);
        let beyond = BEYOND_EMULATION.iter().flat_map(|test| ["--skip", test]);
        // In one call: features that differ between calls would have everything built twice.
        let mut args =
            vec!["test", "--quiet", "-Zbuild-std", "--profile", "cross", "--target", self.target, "--workspace"];
        args.extend(excluded);
        args.extend((tests == Tests::All).then_some("--lib"));
        args.extend(["--test", "host", "--"]);
        args.extend(beyond);
        workspace::run_with(source_std::PROGRAM, &args, &environment)
    }
}

/// Where the output goes: apart from that of the other compiler.
fn folder() -> String {
    workspace::output().join("cross").display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_machine_is_refused() {
        let options = Options { arch: vec!["vax".to_owned()], quick: false };
        assert_eq!(run(&options).expect_err("no such machine").to_string(), "no machine is called vax");
    }

    #[test]
    fn quick_runs_have_the_tests_of_libraries_once() {
        let all: Vec<_> = MACHINES.iter().filter(|machine| machine.tests(true) == Tests::All).collect();
        assert_eq!(all.len(), 1);
        assert!(MACHINES.iter().all(|machine| machine.tests(false) == Tests::All));
    }

    #[test]
    fn what_every_machine_needs_is_in_the_table_of_tools() {
        assert!(MACHINES.iter().all(|machine| machine.needs().len() == 6), "each is looked up");
    }
}
