//! `attacks`: the list of what the product is tried with, which SECURITY.md refers to. Each attack names the test that tries
//! it; a test that is gone, or too few attacks, is a failure.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::workspace;

/// The list.
const LIST: &str = "tests/attacks.toml";
/// Fewer attacks than this are a list that lost some.
const FEWEST: usize = 60;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    attack: Vec<Attack>,
}

/// What is tried, by whom, and what comes of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attack {
    by: String,
    tries: String,
    /// A file, and the function in it: `tests/a.rs::name`.
    test: String,
    outcome: String,
}

/// Prints the list, and fails if it is not true.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root();
    let attacks = read(&root)?;
    for by in attacks.iter().map(|attack| &attack.by).collect::<BTreeSet<_>>() {
        println!("\n{by}");
        for attack in attacks.iter().filter(|attack| attack.by == *by) {
            println!("  {:64} {}", attack.tries, attack.outcome);
            println!("    {}", attack.test);
        }
    }
    let missing = missing(&root, &attacks);
    ensure!(missing.is_empty(), "no such test: {}", missing.join(", "));
    let tests: BTreeSet<_> = attacks.iter().map(|attack| &attack.test).collect();
    ensure!(tests.len() == attacks.len(), "{} attacks, but {} tests", attacks.len(), tests.len());
    ensure!(attacks.len() >= FEWEST, "{} attacks are left of at least {FEWEST}", attacks.len());
    println!("\n{} attacks, each with a test of its own", attacks.len());
    Ok(())
}

fn read(root: &Path) -> Result<Vec<Attack>> {
    let text = fs::read_to_string(root.join(LIST)).with_context(|| format!("reading {LIST}"))?;
    let list: List = toml::from_str(&text).with_context(|| format!("in {LIST}"))?;
    Ok(list.attack)
}

/// The tests that are not where the list says.
fn missing(root: &Path, attacks: &[Attack]) -> Vec<String> {
    let is_there = |test: &str| {
        let (file, name) = test.split_once("::")?;
        let text = fs::read_to_string(root.join(file)).ok()?;
        // A program that must not compile is a test by its file.
        let is_program = Path::new(file).file_stem().is_some_and(|stem| stem == name);
        (is_program || text.contains(&format!("fn {name}("))).then_some(())
    };
    attacks.iter().filter(|attack| is_there(&attack.test).is_none()).map(|attack| attack.test.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attack_has_a_test() {
        run().expect("the list");
    }

    #[test]
    fn a_test_that_is_gone_is_named() {
        let attack = |test: &str| {
            let [by, tries, outcome] = ["a"; 3].map(str::to_owned);
            Attack { by, tries, test: test.to_owned(), outcome }
        };
        let list = ["xtask/src/attacks.rs::run", "xtask/src/attacks.rs::gone", "xtask/gone.rs::gone"].map(attack);
        assert_eq!(missing(&workspace::root(), &list), ["xtask/src/attacks.rs::gone", "xtask/gone.rs::gone"]);
    }
}
