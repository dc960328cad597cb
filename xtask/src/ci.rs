//! `ci`: exactly what CI runs, so that a failure there can be repeated here, once `install` has run.

use anyhow::Result;

use crate::steps::{self, Step};
use crate::{
    bare, bench, check, conformance, cross, deny, fetch_bpf, fetch_modules, inkwell, loom, msrv, outside, package,
    refuse, skips,
};

/// What CI runs before [`check::STEPS`]: data that tests need.
const FETCHES: &[Step] =
    &[Step::task("fetch-modules", fetch_modules::run_default), Step::task("fetch-bpf", fetch_bpf::run)];

/// The commands of [`FETCHES`], as tests name them.
const FETCHED: [&str; 4] = [
    "cargo xtask fetch-modules",
    "cargo xtask fetch-modules --arch arm64 --suite trixie",
    "cargo xtask fetch-modules --arch riscv64 --suite trixie",
    "cargo xtask fetch-bpf",
];

/// What CI runs after [`check::STEPS`], in order: one line a step. What can use the build of the tests does: it is
/// optimised enough, and checks itself more than a release build.
const MORE: &[Step] = &[
    Step::built("run", "execmem", &["run"]),
    Step::built("run --backend sim", "execmem", &["run", "--backend", "sim", "--json"]),
    Step::built("run everything", "execmem", &["run", "--workload", "crates/cli/data/workloads/everything.toml"]),
    Step::built("run --modules", "execmem", &["run", "--modules", "target/modules/amd64"]),
    Step::built(
        "run --modules: arm64",
        "execmem",
        &["run", "--backend", "sim", "--arch", "arm64-4k", "--modules", "target/modules/arm64"],
    ),
    Step::built(
        "run --modules: riscv64",
        "execmem",
        &["run", "--backend", "sim", "--arch", "riscv64", "--modules", "target/modules/riscv64", "--rounds", "1"],
    ),
    Step::cargo(
        "report --png",
        &["test", "--workspace", "--features", "execmem-cli/png", "--test", "command", "pictures_need"],
    ),
    Step::task("outside", outside::run),
    Step::task("inkwell", inkwell::run_possible),
    Step::task("package", package::run_quick),
    Step::task("msrv", msrv::run_possible),
    Step::task("deny", deny::run_possible),
    Step::task("conformance --mutants", conformance::run_mutants),
    Step::task("bare", bare::run_possible),
    Step::cargo_with(
        "patching under execution",
        &["test", "--workspace", "--test", "host", "stress"],
        &[("EXECMEM_STRESS_SECONDS", "2")],
    ),
    Step::task("bench --quick", bench::run_quick),
    Step::task("refuse", refuse::run_built),
    Step::task("refuse --stack", refuse::run_stack),
    // As C programs get it: optimised as nothing above is.
    Step::cargo("release", &["test", "--release", "--package", "execmem-capi"]),
    Step::task("bench --callgrind", bench::check_possible),
    Step::task("loom", loom::run_default),
    Step::task("cross", cross::run_possible),
];

/// Runs [`FETCHES`], the steps of `check` and [`MORE`], and lists what was skipped meanwhile.
pub(crate) fn run() -> Result<()> {
    skips::forget()?;
    let outcome = steps::run(FETCHES.iter().chain(check::STEPS).chain(MORE));
    let skipped = skips::print()?;
    outcome?;
    skips::check(&skipped, &FETCHED)
}
