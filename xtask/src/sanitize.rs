//! `sanitize`: what runs on several threads, under the thread sanitizer, with a standard library that has it too: without, locks
//! of the library are not seen, and everything they guard is reported.
//!
//! The address sanitizer is `cargo xtask fuzz --address-sanitizer`.

use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use skip::Need;

use crate::{source_std, workspace};

/// What runs: a test target of a package, and the tests of it that have threads.
struct Threads {
    package: &'static str,
    target: &'static [&'static str],
    tests: &'static [&'static str],
}

const THREADS: [Threads; 3] = [
    Threads { package: "execmem-range", target: &["--lib"], tests: &["readers"] },
    Threads {
        package: "execmem-tests",
        target: &["--test", "simulated"],
        tests: &[
            "engine::kinds",
            "engine::locking",
            "engine::lookup",
            "engine::ownership",
            "engine::shards",
            "clients::kprobe",
            "clients::predictors",
            "module::loads",
            "module::sets",
            "sim::machine",
        ],
    },
    Threads {
        package: "execmem-tests",
        target: &["--test", "host"],
        tests: &[
            "linux::callers",
            "linux::functions",
            "linux::growth",
            "linux::options",
            "linux::place",
            "linux::shared",
            "stress",
        ],
    },
];

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds with the sanitizer and runs the tests that have threads. The first run builds the standard library.
pub(crate) fn run() -> Result<()> {
    if let Some(missing) = source_std::needs().iter().find_map(Need::missing) {
        bail!("no standard library to build: {}, or cargo xtask install", missing.reason);
    }
    let flags = flags()?;
    let folder = workspace::output().join("thread-sanitizer").display().to_string();
    let environment = [
        ("RUSTFLAGS", flags.as_str()),
        ("CARGO_TARGET_DIR", &folder),
        // The first report ends the program. Tests fork beside threads.
        ("TSAN_OPTIONS", "halt_on_error=1 die_after_fork=0"),
        ("EXECMEM_STRESS_SECONDS", "10"),
    ];
    let environment = [&source_std::ENVIRONMENT[..], &environment].concat();
    for (threads, filter) in THREADS.iter().flat_map(|threads| threads.tests.iter().map(move |test| (threads, test))) {
        let mut arguments = vec!["test", "--quiet", "-Zbuild-std", "--target", TARGET, "--package", threads.package];
        arguments.extend(threads.target.iter().chain(&["--", filter]));
        workspace::run_with(source_std::PROGRAM, &arguments, &environment)?;
    }
    Ok(())
}

/// Flags that instrument, and link the whole runtime of rustup's toolchain: Debian's has none.
fn flags() -> Result<String> {
    let output = Command::new("rustc").args(["--print", "target-libdir"]).output().context("starting rustc")?;
    let folder = String::from_utf8(output.stdout).context("a path")?;
    let runtime = format!("{}/librustc-stable_rt.tsan.a", folder.trim());
    ensure!(std::path::Path::new(&runtime).is_file(), "the toolchain has no thread sanitizer: {runtime} is missing");
    // The toolchain's linker: the runtime names symbols by version, which GNU's does not find.
    let linker = format!("-B{}/../bin/gcc-ld", folder.trim());
    let whole = ["-Wl,--whole-archive", &runtime, "-Wl,--no-whole-archive", "-Wl,--export-dynamic", "-lm", "-lc"];
    let linked = [&[&*linker, "-fuse-ld=lld"], &whole[..]].concat();
    let linked: String = linked.iter().map(|argument| format!(" -Clink-arg={argument}")).collect();
    Ok(format!("-Zsanitizer=thread -Zexternal-clangrt{linked}"))
}
