//! `ci`: exactly what CI runs, so that a failure there can be repeated here.

use anyhow::Result;

use crate::steps::{self, Step};
use crate::{bench, check, cross, fetch_modules, loom};

/// What CI runs after [`check::STEPS`], in order: one line a step. The tests have run by then, and what can use their
/// build does: it is optimised, and the numbers of quick runs say nothing anyway.
const MORE: &[Step] = &[
    Step::cargo("run", &["run", "--release", "--", "run"]),
    Step::cargo("run --backend sim", &["run", "--release", "--", "run", "--backend", "sim", "--json"]),
    Step::task("loom", loom::run_default),
    Step::task("bench --quick", bench::run_quick),
    Step::cargo(
        "run everything",
        &["run", "--release", "--", "run", "--workload", "configs/workloads/everything.toml"],
    ),
    Step::cargo_with(
        "patching under execution",
        &["test", "--workspace", "--test", "callers", "stress"],
        &[("EXECMEM_STRESS_SECONDS", "2")],
    ),
    Step::task("cross", cross::run_possible),
    Step::task("fetch-modules", fetch_modules::run_default),
    Step::cargo("run --modules", &["run", "--release", "--", "run", "--modules", "target/modules/amd64"]),
    Step::cargo_with(
        "real modules against ld",
        &["test", "--workspace", "--test", "module", "real_modules"],
        &[("EXECMEM_NEEDS_MODULES", "1")],
    ),
];

/// Runs the steps of `check` and [`MORE`].
pub(crate) fn run() -> Result<()> {
    steps::run(check::STEPS.iter().chain(MORE))
}
