//! `outside`: a crate outside the workspace uses what is public. What should compile runs; what should not does not, for
//! the reason that it gives.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::BufReader;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use cargo_metadata::Message;
use cargo_metadata::diagnostic::DiagnosticLevel;

use crate::workspace;

/// The crate.
const CRATE: &str = "tests/outside";

/// The examples that compile and run: what attackers do that is allowed, and what users do with kinds of their own.
const RUN: [&str; 2] = ["control", "own_kinds"];

/// An attack says in its first line which error it ends in: `//! error[E0277]: why`.
const EXPECTED: &str = "//! error[";

/// Codes of errors by example.
type Codes = BTreeMap<String, BTreeSet<String>>;

/// Runs what should run and compiles the attacks.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root();
    RUN.iter().try_for_each(|name| run_example(&root, name))?;
    let expected = expected(&root.join(CRATE).join("examples"))?;
    ensure!(expected.len() >= 20, "the attacks are gone: {} are left", expected.len());
    let found = compile(&root)?;
    let mut wrong = Vec::new();
    for (attack, code) in &expected {
        match found.get(attack) {
            Some(codes) if codes.len() == 1 && codes.contains(code) => println!("{attack}: refused, {code}"),
            Some(codes) => wrong.push(format!("{attack} ends in {codes:?}, not in {code}")),
            None => wrong.push(format!("{attack} compiles")),
        }
    }
    for (name, codes) in RUN.iter().filter_map(|name| Some((name, found.get(*name)?))) {
        wrong.push(format!("{name} ends in {codes:?}"));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} attacks do not compile; {} run", expected.len(), RUN.join(" and "));
    Ok(())
}

/// The error that each attack must end in.
fn expected(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut expected = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).context("a name")?.to_owned();
        if RUN.contains(&name.as_str()) {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        let code = text.strip_prefix(EXPECTED).and_then(|rest| rest.split_once("]: "));
        let Some((code, _)) = code else { bail!("{name} does not begin with the error it ends in") };
        expected.insert(name, code.to_owned());
    }
    Ok(expected)
}

fn run_example(root: &Path, name: &str) -> Result<()> {
    let status = cargo(root, &["run", "--quiet", "--example", name]).status().context("starting cargo")?;
    ensure!(status.success(), "{name} fails");
    Ok(())
}

/// Compiles all examples, and returns the codes of the errors in each.
fn compile(root: &Path) -> Result<Codes> {
    let args = ["check", "--examples", "--keep-going", "--features", "wasmtime", "--message-format", "json"];
    let mut child =
        cargo(root, &args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("starting cargo")?;
    let output = child.stdout.take().context("a pipe")?;
    let mut codes = Codes::new();
    for message in Message::parse_stream(BufReader::new(output)) {
        let Message::CompilerMessage(message) = message? else { continue };
        let diagnostic = message.message;
        let is_error = matches!(diagnostic.level, DiagnosticLevel::Error);
        // The last message counts the others, and has no code.
        if let (true, Some(code)) = (is_error, diagnostic.code) {
            codes.entry(message.target.name).or_default().insert(code.code);
        }
    }
    child.wait()?;
    Ok(codes)
}

/// A call of cargo for the crate. What it builds lies beside what the workspace builds.
fn cargo(root: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    let (subcommand, rest) = args.split_at(1);
    command.args(subcommand).arg("--manifest-path").arg(root.join(CRATE).join("Cargo.toml"));
    command.arg("--target-dir").arg(root.join("target/outside")).args(rest).current_dir(root);
    command
}
