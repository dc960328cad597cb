//! A newcomer: a crate outside the workspace, with the first example of README and of each front page.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::workspace;

/// Packages whose front pages are tried. Those over Cranelift and Wasmtime compile for minutes, in their own doc tests.
const FRONT_PAGES: [&str; 4] = ["execmem", "execmem-linux", "execmem-range", "execmem-sim"];

/// What the examples use beside each other.
const USED: [&str; 4] = ["execmem-types", "execmem-arch-x86", "execmem-clients", "execmem-conformance"];

/// Compiles the examples against unpacked packages, and runs them.
pub(super) fn run(folders: &[PathBuf]) -> Result<()> {
    let root = workspace::root();
    let home = workspace::output().join("newcomer");
    let examples = home.join("examples");
    fs::create_dir_all(&examples)?;
    fs::write(home.join("Cargo.toml"), manifest(folders)?)?;
    fs::write(home.join("lib.rs"), "")?;
    fs::copy(root.join("Cargo.lock"), home.join("Cargo.lock"))?;
    let mut names = Vec::new();
    let readme = fs::read_to_string(root.join("README.md"))?;
    names.push(write_example(&examples, "readme", readme.lines())?);
    for package in FRONT_PAGES {
        let page = fs::read_to_string(folder_of(folders, package)?.join("src/lib.rs"))?;
        let text =
            page.lines().filter_map(|line| line.strip_prefix("//!")).map(|line| line.strip_prefix(' ').unwrap_or(line));
        names.push(write_example(&examples, &package.replace('-', "_"), text)?);
    }
    for name in &names {
        let mut command = Command::new("cargo");
        command.args(["run", "--quiet", "--example", name, "--manifest-path"]).arg(home.join("Cargo.toml"));
        command.arg("--target-dir").arg(root.join("target/outside")).current_dir(&home);
        let status = command.status().context("starting cargo")?;
        ensure!(status.success(), "the first example of {name} fails outside the workspace");
    }
    println!("outside the workspace, the first examples of {} run", names.join(", "));
    Ok(())
}

fn folder_of<'f>(folders: &'f [PathBuf], package: &str) -> Result<&'f Path> {
    let is_of = |folder: &&PathBuf| {
        let name = folder.file_name().and_then(|name| name.to_str()).and_then(|name| name.rsplit_once('-'));
        name.is_some_and(|(name, _)| name == package)
    };
    folders.iter().find(is_of).map(PathBuf::as_path).with_context(|| format!("{package} was not packaged"))
}

/// The crate: it asks for versions, which are the unpacked packages.
fn manifest(folders: &[PathBuf]) -> Result<String> {
    let mut text =
        "[package]\nname = \"newcomer\"\nversion = \"0.0.0\"\nedition = \"2024\"\npublish = false\n\n".to_owned();
    text.push_str("[lib]\npath = \"lib.rs\"\n\n[workspace]\n\n[dependencies]\n");
    for package in FRONT_PAGES.into_iter().chain(USED) {
        writeln!(text, "{package} = \"0.1\"")?;
    }
    text.push_str("\n[patch.crates-io]\n");
    for folder in folders {
        let name = folder.file_name().and_then(|name| name.to_str()).and_then(|name| name.rsplit_once('-'));
        let (name, _) = name.context("a package's folder has name and version")?;
        writeln!(text, "{name} = {{ path = {:?} }}", folder.display().to_string())?;
    }
    Ok(text)
}

/// Writes the first Rust example of a text as a program, and returns its name.
fn write_example<'t>(examples: &Path, name: &str, lines: impl Iterator<Item = &'t str>) -> Result<String> {
    let code = first_example(lines);
    ensure!(!code.is_empty(), "{name} has no example");
    let body = code.join("\n");
    let program = if code.iter().any(|line| line.starts_with("fn main()")) {
        body
    } else if code.iter().any(|line| line.contains("Ok::<")) {
        format!(
            "fn main() {{\n    fn example() -> Result<(), impl std::fmt::Debug> {{\n{body}\n}}\n    example().unwrap();\n}}\n"
        )
    } else {
        format!("fn main() {{\n{body}\n}}\n")
    };
    fs::write(examples.join(format!("{name}.rs")), program)?;
    Ok(name.to_owned())
}

/// The lines of the first block of Rust, with those that rustdoc hides.
fn first_example<'t>(lines: impl Iterator<Item = &'t str>) -> Vec<&'t str> {
    let (mut is_code, mut is_rust, mut code) = (false, false, Vec::new());
    for line in lines {
        if let Some(language) = line.strip_prefix("```") {
            if is_rust {
                break;
            }
            is_code = !is_code;
            is_rust = is_code && matches!(language, "" | "rust");
        } else if is_rust {
            code.push(line.strip_prefix("# ").unwrap_or(line));
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_becomes_a_program() {
        let folder = std::env::temp_dir().join(format!("execmem-newcomer-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let text = "words\n```text\nno code\n```\n```rust\nuse std::fs;\n# Ok::<(), ()>(())\n```\n";
        write_example(&folder, "first", text.lines()).expect("an example");
        let program = fs::read_to_string(folder.join("first.rs")).expect("written");
        fs::remove_dir_all(&folder).expect("ours");
        assert!(program.starts_with("fn main() {\n    fn example()") && program.contains("\nOk::<(), ()>(())\n"));
        assert!(!program.contains("no code"), "{program}");
        assert!(write_example(&folder, "none", ["words"].into_iter()).is_err());
    }
}
