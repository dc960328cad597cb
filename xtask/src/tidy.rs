//! `tidy`: compares the workspace with the rules of its design.
//!
//! A rule looks at the [`Tree`] and says what it looked at and what is wrong. One that finds nothing to look at has
//! lost its subject, and that is wrong too.

mod architectures;
mod authority;
mod docs;
mod edges;
mod findings;
mod heap;
mod invariants;
mod leftovers;
mod locks;
mod names;
mod readme;
mod sizes;
mod skipping;
mod tokens;
mod tree;
mod unsafe_code;
mod words;

use anyhow::{Result, ensure};

use findings::Findings;
use tree::Tree;

/// A rule.
struct Rule {
    name: &'static str,
    run: fn(&Tree) -> Findings,
}

/// All rules.
const RULES: &[Rule] = &[
    Rule { name: "edges", run: edges::run },
    Rule { name: "unsafe", run: unsafe_code::run },
    Rule { name: "authority", run: authority::run },
    Rule { name: "docs", run: docs::run },
    Rule { name: "sizes", run: sizes::run },
    Rule { name: "locks", run: locks::run },
    Rule { name: "heap", run: heap::run },
    Rule { name: "architectures", run: architectures::run },
    Rule { name: "invariants", run: invariants::run },
    Rule { name: "readme", run: readme::run },
    Rule { name: "leftovers", run: leftovers::run },
    Rule { name: "skipping", run: skipping::run },
    Rule { name: "names", run: names::run },
    Rule { name: "words", run: words::run },
];

/// Prints what each rule looked at and what is wrong, and fails if anything is.
pub(crate) fn run() -> Result<()> {
    let tree = Tree::load()?;
    let mut complaints = Vec::new();
    for rule in RULES {
        let findings = (rule.run)(&tree);
        println!("{}: {}", rule.name, findings.looked_at());
        complaints.extend(findings.complaints(rule.name));
    }
    for complaint in &complaints {
        println!("{complaint}");
    }
    ensure!(complaints.is_empty(), "{} things to tidy up", complaints.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tidy_finds_nothing() {
        let tree = Tree::load().expect("a workspace");
        let complaints: Vec<_> = RULES.iter().flat_map(|rule| (rule.run)(&tree).complaints(rule.name)).collect();
        assert!(complaints.is_empty(), "things to tidy up:\n{}", complaints.join("\n"));
    }

    #[test]
    fn every_rule_complains_when_it_has_nothing_to_look_at() {
        for rule in RULES {
            assert_ne!((rule.run)(&Tree::default()).complaints(rule.name), Vec::<String>::new(), "{}", rule.name);
        }
    }
}
