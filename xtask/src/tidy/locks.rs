//! Locks and atomics of the protocols are named in one file, so that the model checker can replace them.

use std::collections::BTreeSet;

use syn::visit::Visit;
use syn::{ItemUse, UseTree};

use super::findings::Findings;
use super::tokens;
use super::tree::{Source, Tree};

/// Where the rule holds.
const FOLDERS: [&str; 4] = ["crates/clients/", "crates/engine/", "crates/range/", "crates/types/"];

/// Files that may name locks, and why.
const ALLOWED: &[(&str, &str)] = &[
    ("crates/clients/src/registry.rs", "numbers clients, takes no part in any protocol"),
    ("crates/engine/src/sync.rs", "the one place"),
    ("crates/engine/src/sync/lanes.rs", "numbers threads: only speed depends on it"),
    ("crates/range/src/sync.rs", "the one place of that crate"),
    ("crates/range/src/tests/readers.rs", "stops real threads"),
    ("crates/engine/src/base/counters.rs", "counts, takes no part in any protocol"),
    ("crates/engine/src/base/identity.rs", "numbers engines and counts, takes no part in any protocol"),
    ("crates/engine/examples/hypervisor.rs", "an example of a user"),
    ("crates/engine/examples/port.rs", "an example of a user"),
];

const FORBIDDEN: [&[&str]; 6] = [
    &["std", "sync", "Mutex"],
    &["std", "sync", "RwLock"],
    &["parking_lot"],
    &["lock_api", "Mutex"],
    &["core", "sync", "atomic"],
    &["std", "sync", "atomic"],
];

pub(super) fn run(tree: &Tree) -> Findings {
    let mut findings = Findings::default();
    let is_allowed = |source: &Source| ALLOWED.iter().any(|(path, _)| source.path == *path);
    let inside = tree.sources.iter().filter(|source| FOLDERS.iter().any(|folder| source.path.starts_with(folder)));
    let (allowed, others): (Vec<_>, Vec<_>) = inside.partition(|source| is_allowed(source));
    findings.saw("files", others.len());
    findings.saw("files that may name locks", allowed.len());
    for source in others {
        for (line, path) in forbidden(source) {
            let message = format!("`{path}` is named outside sync.rs; use what is there");
            findings.complain(&source.path, line, message);
        }
    }
    findings
}

/// The forbidden paths in a file.
fn forbidden(source: &Source) -> BTreeSet<(usize, String)> {
    let mut found = BTreeSet::new();
    for (line, path) in tokens::paths(&source.tokens) {
        found.extend(forbidden_start(&path).map(|forbidden| (line, forbidden)));
    }
    let mut imports = Imports::default();
    imports.visit_file(&source.syntax);
    for (line, path) in &imports.0 {
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        // A module brings everything below it within reach under a short name.
        let leads_there = FORBIDDEN.iter().any(|forbidden| forbidden.starts_with(&path));
        let module = leads_there.then(|| path.join("::"));
        found.extend(forbidden_start(&path).or(module).map(|forbidden| (*line, forbidden)));
    }
    found
}

fn forbidden_start(path: &[&str]) -> Option<String> {
    FORBIDDEN.iter().find(|forbidden| path.starts_with(forbidden)).map(|forbidden| forbidden.join("::"))
}

/// Collects the lines and full paths of imports, one for each name.
#[derive(Default)]
struct Imports(Vec<(usize, Vec<String>)>);

impl Imports {
    fn add(&mut self, tree: &UseTree, above: &[String]) {
        let with = |name: &syn::Ident| [above, &[name.to_string()]].concat();
        let (name, path) = match tree {
            UseTree::Path(inner) => return self.add(&inner.tree, &with(&inner.ident)),
            UseTree::Group(group) => return group.items.iter().for_each(|item| self.add(item, above)),
            UseTree::Glob(glob) => (glob.star_token.spans[0], above.to_vec()),
            UseTree::Name(leaf) if leaf.ident == "self" => (leaf.ident.span(), above.to_vec()),
            UseTree::Name(leaf) => (leaf.ident.span(), with(&leaf.ident)),
            UseTree::Rename(leaf) if leaf.ident == "self" => (leaf.ident.span(), above.to_vec()),
            UseTree::Rename(leaf) => (leaf.ident.span(), with(&leaf.ident)),
        };
        self.0.push((name.start().line, path));
    }
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add(&item.tree, &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<String> {
        let others = [("crates/engine/src/sync.rs", "use parking_lot::Mutex;"), ("crates/engine/src/lib.rs", "")];
        run(&Tree::of(&[others[0], others[1], (path, text)])).complaints("locks")
    }

    #[test]
    fn locks_are_found_however_they_are_named() {
        let named = [
            "\nuse std::sync::Mutex;",
            "use std::sync::{Arc,\n Mutex};",
            "\nuse std::{sync::{RwLock as A}, fmt};",
            "\nuse std::sync;",
            "\nuse std::sync::*;",
            "\nuse core::sync::atomic::AtomicU8;",
            "\nuse ::core::sync::{self as a};",
            "fn f() {\n lock_api::Mutex::new(1); }",
            "m! {\n parking_lot::Mutex::new(1) }",
            "struct A {\n a: std::sync::atomic::AtomicU8 }",
        ];
        for text in named {
            let found = complaints("crates/clients/src/a.rs", text);
            assert!(found.iter().any(|found| found.starts_with("crates/clients/src/a.rs:2: locks: `")), "{text}");
        }
    }

    #[test]
    fn other_names_and_other_folders_are_free() {
        let free = "use std::sync::Arc;\nuse lock_api::RawMutex;\nuse crate::sync::Lock;\nuse core::fmt;";
        assert_eq!(complaints("crates/range/src/a.rs", free), Vec::<String>::new());
        assert_eq!(complaints("crates/sim/src/a.rs", "use std::sync::Mutex;"), Vec::<String>::new());
        assert_eq!(
            complaints("crates/engine/src/base/identity.rs", "use core::sync::atomic::AtomicU32;"),
            Vec::<String>::new()
        );
    }
}
