//! `bare`: the kernels of `crates/bare`, built, booted under QEMU, and held to what they print.

mod lines;
mod size;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use skip::{Need, Tool};

use crate::{skips, workspace};

/// A machine that QEMU has.
struct Machine {
    name: &'static str,
    /// What the compiler calls it.
    target: &'static str,
    emulator: &'static str,
    options: &'static [&'static str],
    package: &'static str,
    /// How the emulator exits when the kernel says that all is well.
    success: i32,
}

const MACHINES: &[Machine] = &[X86_64, AARCH64, RISCV64];

const X86_64: Machine = Machine {
    name: "x86_64",
    target: "x86_64-unknown-none",
    emulator: "qemu-system-x86_64",
    options: &["-accel", ONE_THREAD, "-M", "q35", "-cpu", "max", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"],
    package: "qemu-system-x86",
    success: 33,
};

const AARCH64: Machine = Machine {
    name: "aarch64",
    target: "aarch64-unknown-none-softfloat",
    emulator: "qemu-system-aarch64",
    options: &["-accel", ONE_THREAD, "-M", "virt,gic-version=2", "-cpu", "max", "-semihosting"],
    package: "qemu-system-arm",
    success: 0,
};

const RISCV64: Machine = Machine {
    name: "riscv64",
    target: "riscv64imac-unknown-none-elf",
    emulator: "qemu-system-riscv64",
    // What waits in a loop does not let the other processor on, and would wait for most of a second.
    options: &["-accel", "tcg,thread=multi", "-M", "virt", "-bios", "default"],
    package: "qemu-system-misc",
    success: 0,
};

/// The machine whose kernel is compiled for size too.
const SIZED: &str = X86_64.name;

/// One thread for both processors: before 8.1, a processor may translate code that another is patching, and keep the old.
const ONE_THREAD: &str = "tcg,thread=single";

/// What all machines are like.
const COMMON: [&str; 11] =
    ["-m", "256", "-smp", "2", "-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio", "-kernel"];

/// Options of a build for size, of one engine.
const FOR_SIZE: [&str; 6] = [
    "--config",
    "profile.release.opt-level=\"s\"",
    "--config",
    "profile.release.codegen-units=1",
    "--features",
    "one-engine",
];

/// How long a kernel may take from start to end.
const LIMIT: Duration = Duration::from_secs(60);

/// Which machines.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The compiler's name of an architecture: x86_64, aarch64 or riscv64. By default, all.
    #[arg(long)]
    arch: Vec<String>,
}

/// Runs the kernels of the machines asked for, all of which must be possible.
pub(crate) fn run(options: &Options) -> Result<()> {
    for name in &options.arch {
        ensure!(MACHINES.iter().any(|machine| machine.name == name), "no machine is called {name}");
    }
    let is_wanted = |machine: &&Machine| options.arch.is_empty() || options.arch.iter().any(|a| a == machine.name);
    for machine in MACHINES.iter().filter(is_wanted) {
        let missing = machine.missing();
        ensure!(missing.is_empty(), "{} needs {}", machine.name, missing.join(", and "));
        machine.run().with_context(|| format!("the kernel for {}", machine.name))?;
    }
    Ok(())
}

/// Lints and runs the kernel of every machine whose emulator and target are there, and notes that others are skipped.
pub(crate) fn run_possible() -> Result<()> {
    for machine in MACHINES {
        if skips::note(&format!("bare {}", machine.name), &machine.needs())? {
            machine.lint()?;
            machine.run().with_context(|| format!("the kernel for {}", machine.name))?;
        }
    }
    Ok(())
}

impl Machine {
    /// What is not installed, with the command that installs it.
    fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if !workspace::is_installed(self.emulator) {
            missing.push(format!("{}: apt-get install {}", self.emulator, self.package));
        }
        if !sysroot().is_some_and(|sysroot| sysroot.join("lib/rustlib").join(self.target).exists()) {
            missing.push(format!("{}: rustup target add {}", self.target, self.target));
        }
        missing
    }

    /// The same as needs: what `cargo xtask install` installs, it does not lack.
    fn needs(&self) -> Vec<Need> {
        let installed = Tool::named(self.emulator).map(|tool| skip::tool(tool.file));
        installed.into_iter().chain(self.missing().iter().map(|missing| skip::condition(false, missing))).collect()
    }

    fn run(&self) -> Result<()> {
        println!("-- {}", self.name);
        let kernel = self.build(&workspace::output(), &[])?;
        lines::check(&self.boot(kernel.as_os_str())?)?;
        if self.name != SIZED {
            return Ok(());
        }
        let small = self.build(&workspace::output().join("bare"), &FOR_SIZE)?;
        size::check(&fs::read(&small).with_context(|| format!("reading {}", small.display()))?)
    }

    /// What `check` does for what is built for the host.
    fn lint(&self) -> Result<()> {
        let options =
            ["clippy", "--package", "execmem-bare", "--release", "--target", self.target, "--", "-D", "warnings"];
        workspace::run("cargo", &options)
    }

    /// Builds the kernel and returns where it is.
    fn build(&self, output: &Path, options: &[&str]) -> Result<PathBuf> {
        let folder = output.display().to_string();
        let common =
            ["build", "--package", "execmem-bare", "--release", "--target", self.target, "--target-dir", &*folder];
        workspace::run_with("cargo", &[&common, options].concat(), &[workspace::UNITS])?;
        Ok(output.join(self.target).join("release/execmem-bare"))
    }

    /// Boots a kernel and returns the lines that it printed before it ended, which it does by itself and in time.
    fn boot(&self, kernel: &OsStr) -> Result<Vec<String>> {
        let mut command = Command::new(self.emulator);
        command.args(self.options).args(COMMON).arg(kernel).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {}", self.emulator))?;
        let output = child.stdout.take().context("the serial port")?;
        let (sender, receiver) = mpsc::channel();
        let reader = thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).all(|line| sender.send(line).is_ok());
        });
        let lines = collect(&receiver);
        if lines.is_err() {
            child.kill().context("ending the emulator")?;
        }
        let status = child.wait().context("waiting for the emulator")?;
        let _ = reader.join();
        let lines = lines?;
        ensure!(status.code() == Some(self.success), "the kernel did not end well: {status}");
        Ok(lines)
    }
}

/// Prints and keeps lines until there are no more. An error if that takes too long.
fn collect(lines: &Receiver<String>) -> Result<Vec<String>> {
    let end = Instant::now() + LIMIT;
    let mut all = Vec::new();
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                println!("   {line}");
                all.push(line);
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(all),
            Err(RecvTimeoutError::Timeout) => bail!("the kernel did not end within {} s", LIMIT.as_secs()),
        }
    }
}

/// Where the compiler keeps the libraries of its targets.
fn sysroot() -> Option<PathBuf> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).current_dir(workspace::root()).output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
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
    fn what_is_not_installed_is_named_with_the_command_that_installs_it() {
        let machine = Machine { emulator: "no-such-emulator", package: "a-package", target: "no-such", ..X86_64 };
        let missing = machine.missing();
        assert_eq!(missing[0], "no-such-emulator: apt-get install a-package");
        assert_eq!(missing[1], "no-such: rustup target add no-such");
        assert!(machine.needs().iter().any(|need| need.missing().is_some()), "and noted");
    }

    #[test]
    fn a_kernel_that_does_not_end_well_is_refused() {
        let machine = Machine { emulator: "false", options: &[], ..X86_64 };
        let error = machine.boot("kernel".as_ref()).expect_err("it failed").to_string();
        assert!(error.starts_with("the kernel did not end well"), "{error}");
    }
}
