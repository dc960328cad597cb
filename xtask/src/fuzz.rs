//! `fuzz`: the targets of tests/fuzz in a loop, built with counters by which it learns which inputs get further. Needs no
//! nightly toolchain; `fuzz/` has the same targets for `cargo fuzz`.

use anyhow::Result;
use clap::Args;

use crate::workspace;

/// What `fuzz` is told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long each target runs.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// A target; may be given several times. All if it is not.
    #[arg(long)]
    target: Vec<String>,
    /// Start of the random numbers: a run with one processor, without what earlier runs kept, repeats itself.
    #[arg(long)]
    seed: Option<u64>,
    /// Begin with the seeds alone, and not with what earlier runs kept.
    #[arg(long)]
    anew: bool,
    /// Build with the address sanitizer, whose runtime the stable toolchain has.
    #[arg(long)]
    address_sanitizer: bool,
    /// Run one input of `--target` instead: a finding.
    #[arg(long)]
    input: Option<String>,
}

/// What is called instead of the compiler for the crates of the workspace, and adds counters.
const WRAPPER: &str = "tests/fuzz/counted-rustc";

/// What finds accesses outside of heap, stack and statics. A stable compiler takes it if it is told to act as another.
const SANITIZER: [(&str, &str); 2] = [("EXECMEM_RUSTC_FLAGS", "-Zsanitizer=address"), ("RUSTC_BOOTSTRAP", "1")];

/// Builds the program and runs it.
pub(crate) fn run(options: &Options) -> Result<()> {
    let wrapper = workspace::root().join(WRAPPER).display().to_string();
    let mut environment = vec![("RUSTC_WORKSPACE_WRAPPER", wrapper.as_str())];
    let mut output = workspace::output();
    if options.address_sanitizer {
        environment.extend(SANITIZER);
        output = output.join("address-sanitizer");
    }
    let folder = output.display().to_string();
    let build = ["build", "--workspace", "--bin", "execmem-fuzz", "--profile=checked", "--target-dir", &folder];
    workspace::run_with("cargo", &build, &environment)?;
    let program = output.join("checked/execmem-fuzz").display().to_string();
    let arguments = arguments(options, &format!("{folder}/fuzz"));
    workspace::run(&program, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn arguments(options: &Options, folder: &str) -> Vec<String> {
    let mut arguments = vec![format!("--seconds={}", options.seconds), format!("--findings={folder}/findings")];
    arguments.extend(options.target.iter().map(|name| format!("--target={name}")));
    arguments.extend(options.seed.map(|seed| format!("--seed={seed}")));
    arguments.extend((!options.anew).then(|| format!("--kept={folder}/kept")));
    arguments.extend(options.input.iter().map(|input| format!("--input={input}")));
    arguments
}
