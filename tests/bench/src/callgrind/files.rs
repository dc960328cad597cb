//! Which source files a pair of an allocation and a free passes, from the profile of a run with pairs and of one without.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Instructions by source file.
type Costs = BTreeMap<String, u64>;

/// The product crates of a path, from the workspace on; `None` for libraries, and for the bench itself.
fn of_product(file: &str) -> Option<&str> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?.to_str()?;
    let file = file.strip_prefix(root).map_or(file, |rest| rest.trim_start_matches('/'));
    file.starts_with("crates/").then_some(file)
}

/// Prints the files of the product crates of which a pair passes an instruction at least, the most expensive first.
pub(super) fn print(without: &Path, with: &Path, pairs: u64) -> Result<()> {
    let [without, with] = [without, with].map(|profile| -> Result<Costs> {
        let text = fs::read_to_string(profile).with_context(|| format!("reading {}", profile.display()))?;
        Ok(by_file(&text))
    });
    let (without, with) = (without?, with?);
    let passed = |(file, cost): (&String, &u64)| {
        let cost = cost.saturating_sub(without.get(file).copied().unwrap_or(0));
        Some((of_product(file)?.to_owned(), cost)).filter(|(_, cost)| *cost >= pairs)
    };
    let mut files: Vec<_> = with.iter().filter_map(passed).collect();
    files.sort_by_key(|(_, cost)| core::cmp::Reverse(*cost));
    println!("  {} files are passed:", files.len());
    for (file, cost) in files {
        println!("  {:8} {file}", cost / pairs);
    }
    Ok(())
}

/// The instructions of each file by themselves: what inlined code costs is its own file's, and calls are not counted.
fn by_file(profile: &str) -> Costs {
    let mut names = BTreeMap::new();
    let mut costs = Costs::new();
    let (mut file, mut is_of_call) = (String::new(), false);
    for line in profile.lines() {
        match line.split_once('=') {
            Some(("fl" | "fi" | "fe", name)) => file = named(&mut names, name),
            Some(("cfi" | "cfl", name)) => drop(named(&mut names, name)),
            Some(("calls", _)) => is_of_call = true,
            Some(_) => {}
            None if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) => {
                let cost = line.split(' ').nth(1).and_then(|cost| cost.parse::<u64>().ok());
                if !core::mem::take(&mut is_of_call) {
                    *costs.entry(file.clone()).or_insert(0) += cost.unwrap_or(0);
                }
            }
            None => {}
        }
    }
    costs
}

/// The name behind `(7) name`, or of `(7)` if it was told before.
fn named(names: &mut BTreeMap<String, String>, text: &str) -> String {
    let (number, name) = text.split_once(' ').unwrap_or((text, ""));
    if !name.is_empty() {
        names.insert(number.to_owned(), name.to_owned());
    }
    names.get(number).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_costs_what_it_executes_itself() {
        let profile = "events: Ir\nfl=(1) crates/a.rs\nfn=(1) one\n10 5\n+2 1\nfi=(2) crates/b.rs\n3 7\nfe=(1)\n* 1\n\
            cfi=(3) crates/c.rs\ncfn=(2) two\ncalls=4 20\n11 400\n12 2\n\nfl=(3)\nfn=(2)\n20 400\n";
        let costs = by_file(profile);
        let costs: Vec<_> = costs.iter().map(|(file, cost)| (&**file, *cost)).collect();
        assert_eq!(costs, [("crates/a.rs", 9), ("crates/b.rs", 7), ("crates/c.rs", 400)]);
    }

    #[test]
    fn files_of_libraries_are_not_ours() {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/engine/src/pool.rs");
        assert_eq!(of_product("crates/engine/src/pool.rs"), Some("crates/engine/src/pool.rs"));
        assert_eq!(of_product("/index.crates.io-1/smallvec/src/lib.rs"), None);
        assert_eq!(
            of_product(&own.to_string_lossy().replace("tests/bench/../../", "")),
            Some("crates/engine/src/pool.rs")
        );
    }
}
