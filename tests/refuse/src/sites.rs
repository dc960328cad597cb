//! Sites: the places in the product crates that ask for heap, from their sources, and those that were refused.

use std::backtrace::Backtrace;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context as _, Result};

/// Folders whose sites are proven.
const FOLDERS: [&str; 5] = ["range/src/", "types/src/", "engine/src/", "clients/src/", "linux/src/front/"];

/// Calls that ask for heap and can be refused. `cargo xtask tidy` lets crates have no others, that of Linux's memory aside.
const CALLS: [&str; 5] = ["try_reserve", "try_reserve_exact", "try_box", "try_array", "try_extend"];

/// Where the request came from that was refused last: files and lines of the product crates, innermost first.
static LAST: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Notes where a request comes from that is refused.
pub(crate) fn note() {
    let trace = Backtrace::force_capture().to_string();
    let frames = trace.lines().filter_map(place_of).collect();
    if let Ok(mut last) = LAST.lock() {
        *last = frames;
    }
}

/// Where the request came from that was refused last.
pub(crate) fn last() -> Vec<String> {
    LAST.lock().map(|last| last.clone()).unwrap_or_default()
}

/// File and line of a frame in a product crate, from the workspace on.
fn place_of(line: &str) -> Option<String> {
    let path = line.trim().strip_prefix("at ")?;
    let path = &path[path.rfind("crates/")?..];
    let is_product = FOLDERS.iter().any(|folder| path["crates/".len()..].starts_with(folder));
    let (place, _column) = path.rsplit_once(':')?;
    is_product.then(|| place.to_owned())
}

/// Every site, as `file:line`.
pub(crate) fn all() -> Result<BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut sites = BTreeSet::new();
    for folder in FOLDERS {
        for file in sources(&root.join("crates").join(folder))? {
            let text = std::fs::read_to_string(&file)?;
            let path = file.strip_prefix(&root)?.to_str().context("a path that is not UTF-8")?;
            sites.extend(lines_of(&text).map(|line| format!("{path}:{line}")));
        }
    }
    Ok(sites)
}

/// The lines with a call that asks for heap, up to the tests of a file.
fn lines_of(text: &str) -> impl Iterator<Item = usize> {
    let code = text.lines().take_while(|line| *line != "#[cfg(test)]");
    (1..).zip(code).filter(|(_, line)| asks_for_heap(line)).map(|(number, _)| number)
}

fn asks_for_heap(line: &str) -> bool {
    let is_code =
        !line.trim_start().starts_with("//") && !line.contains("fn ") && !line.trim_start().starts_with("use ");
    is_code && CALLS.iter().any(|call| line.match_indices(&format!("{call}(")).any(|(at, _)| is_start(line, at)))
}

/// Whether a word begins at a byte.
fn is_start(line: &str, at: usize) -> bool {
    !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_')
}

/// The files of Rust below a folder, tests aside.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("tests") {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_sites_and_definitions_comments_and_tests_are_not() {
        let text = "fn try_box(a: u8) {\n// try_box(1)\nlet a = try_box(1);\nb.try_reserve(1)\nretry_box(2)\n\
            #[cfg(test)]\ntry_box(3)";
        assert_eq!(lines_of(text).collect::<Vec<_>>(), [3, 4]);
    }

    #[test]
    fn frames_of_other_crates_are_no_places() {
        assert_eq!(
            place_of("   at ./crates/engine/src/space.rs:81:15").as_deref(),
            Some("crates/engine/src/space.rs:81")
        );
        assert_eq!(place_of("at /a/crates/range/src/lib.rs:1:2").as_deref(), Some("crates/range/src/lib.rs:1"));
        assert_eq!(place_of("at /a/crates/sim/src/sim.rs:1:2"), None);
        assert_eq!(place_of("12: execmem::engine"), None);
    }
}
