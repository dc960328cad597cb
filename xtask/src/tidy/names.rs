//! A public type has its name for itself.

use std::collections::BTreeMap;

use syn::{Item, Visibility};

use super::findings::Findings;
use super::tree::Tree;

/// Folders whose crates are the product.
const PRODUCT: &str = "crates/";

/// Crates that are programs, or made for tests: nothing is imported from them beside the others.
const PROGRAMS: [&str; 4] = ["crates/cli/", "crates/bare/", "crates/syscalls/", "crates/conformance/"];

/// Names that each crate has one of, and that callers write with their crate.
const SHARED: [&str; 2] = ["Error", "Options"];

/// Names that more than one crate has, and why they stay.
const ALLOWED: &[(&str, &str)] = &[
    ("Boot", "the same question about each architecture, asked by the name of its crate"),
    ("Violation", "of ranges, which the engine wraps, and of the engine"),
    ("Found", "a range, and the allocation that the engine makes of it"),
];

pub(super) fn run(tree: &Tree) -> Findings {
    let mut findings = Findings::default();
    let mut places: BTreeMap<String, Vec<(&str, usize)>> = BTreeMap::new();
    let is_product = |path: &str| {
        path.starts_with(PRODUCT) && path.contains("/src/") && !PROGRAMS.iter().any(|folder| path.starts_with(folder))
    };
    for source in tree.sources.iter().filter(|source| is_product(&source.path)) {
        for (name, line) in source.syntax.items.iter().filter_map(public_type) {
            places.entry(name).or_default().push((&source.path, line));
        }
    }
    findings.saw("public types", places.len());
    for (name, places) in places {
        let is_shared = SHARED.contains(&&*name) || ALLOWED.iter().any(|(allowed, _)| *allowed == name);
        let crates = places.iter().filter_map(|(path, _)| path.split('/').nth(1));
        let crates: std::collections::BTreeSet<_> = crates.collect();
        if !is_shared && crates.len() > 1 {
            for (path, line) in places {
                findings.complain(path, line, format!("`{name}` is the name of public types of {crates:?}"));
            }
        }
    }
    findings
}

/// The name of a public type, and its line.
fn public_type(item: &Item) -> Option<(String, usize)> {
    let (vis, ident) = match item {
        Item::Struct(item) => (&item.vis, &item.ident),
        Item::Enum(item) => (&item.vis, &item.ident),
        Item::Trait(item) => (&item.vis, &item.ident),
        _ => return None,
    };
    matches!(vis, Visibility::Public(_)).then(|| (ident.to_string(), ident.span().start().line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(files: &[(&str, &str)]) -> Vec<String> {
        run(&Tree::of(files)).complaints("names")
    }

    #[test]
    fn a_name_that_two_crates_have_is_found() {
        let one = ("crates/a/src/lib.rs", "pub struct Slot;");
        assert_eq!(complaints(&[one, ("crates/b/src/lib.rs", "struct Slot;")]), Vec::<String>::new());
        let two = complaints(&[one, ("crates/b/src/lib.rs", "\npub enum Slot {}")]);
        assert_eq!(two.len(), 2);
        assert!(two[1].starts_with("crates/b/src/lib.rs:2: names: `Slot`"), "{two:?}");
        let error = "pub enum Error {}";
        assert_eq!(complaints(&[("crates/a/src/e.rs", error), ("crates/b/src/e.rs", error)]), Vec::<String>::new());
    }
}
