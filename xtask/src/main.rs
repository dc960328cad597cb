//! Build tasks: `cargo xtask help` lists them.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a build tool talks to a terminal")]

mod attacks;
mod bare;
mod bench;
mod check;
mod ci;
mod conformance;
mod coverage;
mod cross;
mod deny;
mod fetch_bpf;
mod fetch_modules;
mod fuzz;
mod generate;
mod inkwell;
mod install;
mod loom;
mod msrv;
mod mutants;
mod outside;
mod package;
mod refuse;
mod sanitize;
mod skips;
mod soak;
mod source_std;
mod steps;
mod tidy;
mod wast;
mod workspace;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Build tasks of execmem")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Print what attackers try and the test that tries it, and check that each is there.
    Attacks,
    /// Build and boot the kernels of crates/bare under QEMU, and check what they print.
    Bare(bare::Options),
    /// Measure execmem beside other allocators: `cargo xtask bench --help`.
    #[command(disable_help_flag = true)]
    Bench {
        /// What the bench is told.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Everything a push needs: format, lints, generated files, tidy, tests, docs.
    Check,
    /// Exactly what CI runs: `check` and more.
    Ci,
    /// Check the laws of backends on the simulator and on this machine, or on backends that break them.
    Conformance(conformance::Options),
    /// Print which share of the lines of ranges, types, engine and Linux memory the tests execute.
    Coverage,
    /// Download Debian packages with BPF programs into `target/bpf` and print that folder.
    FetchBpf,
    /// Run the libraries' tests and generated functions of other architectures under user-mode emulation.
    Cross(cross::Options),
    /// Download the kernel modules of a Debian package into `target/modules` and print their folder.
    FetchModules(fetch_modules::Options),
    /// Run what reads bytes from anywhere on changed inputs, and keep those that get further.
    Fuzz(fuzz::Options),
    /// Turn `configs/arch/*.toml` into the generated tables of the arch crates.
    Gen {
        /// Fail if a committed file differs instead of writing it.
        #[arg(long)]
        check: bool,
    },
    /// Compile modules with LLVM into execmem's memory, where LLVM is installed.
    Inkwell,
    /// Install the programs that tests and tasks need, from Debian's packages, as root.
    Install(install::Options),
    /// Search the models of what runs at the same time, or break what they guard.
    Loom(loom::Options),
    /// Compile the packages that are published with the oldest compiler that they take.
    Msrv,
    /// Change the product in one place after another, and ask whether a test fails then. Takes hours; goes on where it was.
    Mutants(mutants::Options),
    /// Use what is public from a crate outside the workspace, and try what must not compile there.
    Outside,
    /// Make the packages that can be published, and compile and run first examples against them, outside the workspace.
    Package(package::Options),
    /// Refuse every request for heap of the engine and its clients, once and for good, or measure the stack.
    Refuse(refuse::Options),
    /// Run what has several threads under the thread sanitizer.
    Sanitize,
    /// Run everything at once for minutes on real memory that refuses now and then, and compare the end with the begin.
    Soak(soak::Options),
    /// Compare the workspace with the rules of its design.
    Tidy,
    /// Run the whole WebAssembly test suite in execmem's memory, beside Wasmtime's own.
    Wast,
}

fn main() -> Result<()> {
    match Args::parse().task {
        Task::Attacks => attacks::run(),
        Task::Bare(options) => bare::run(&options),
        Task::Bench { args } => bench::run(&args),
        Task::Check => check::run(),
        Task::Ci => ci::run(),
        Task::Conformance(options) => conformance::run(&options),
        Task::Coverage => coverage::run(),
        Task::FetchBpf => fetch_bpf::run(),
        Task::Cross(options) => cross::run(&options),
        Task::FetchModules(options) => fetch_modules::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Gen { check } => generate::run(check),
        Task::Inkwell => inkwell::run_possible(),
        Task::Install(options) => install::run(&options),
        Task::Loom(options) => loom::run(&options),
        Task::Msrv => msrv::run_possible(),
        Task::Mutants(options) => mutants::run(&options),
        Task::Outside => outside::run(),
        Task::Package(options) => package::run(&options),
        Task::Refuse(options) => refuse::run(&options),
        Task::Sanitize => sanitize::run(),
        Task::Soak(options) => soak::run(&options),
        Task::Tidy => tidy::run(),
        Task::Wast => wast::run(),
    }
}
