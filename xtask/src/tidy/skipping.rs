//! Programs of tests that may be skipped list their tests: what is only marked there is never run.

use syn::{Item, ItemMod};

use super::findings::Findings;
use super::tokens;
use super::tree::{Source, Tree};

pub(super) fn run(tree: &Tree) -> Findings {
    let mut findings = Findings::default();
    let is_program = |source: &&Source| tokens::find(&source.tokens, &["skip", ":", ":", "run"]).next().is_some();
    let programs: Vec<_> = tree.sources.iter().filter(is_program).collect();
    findings.saw("programs", programs.len());
    for program in programs {
        let folder = program.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        check(tree, program, folder, &mut findings);
    }
    findings
}

/// Checks a file and its modules, which are in `folder`.
fn check(tree: &Tree, source: &Source, folder: &str, findings: &mut Findings) {
    for token in tokens::find(&source.tokens, &["#", "[", "test", "]"]) {
        let message = "`#[test]` marks a test that this program never runs; list it in `skip::tests!`";
        findings.complain(&source.path, token.line, message);
    }
    for module in source.syntax.items.iter().filter_map(file_of) {
        let below = format!("{folder}/{}", module.ident);
        let is_it = |source: &&Source| source.path == format!("{below}.rs") || source.path == format!("{below}/mod.rs");
        if let Some(source) = tree.sources.iter().find(is_it) {
            check(tree, source, &below, findings);
        }
    }
}

/// A module in a file of its own.
fn file_of(item: &Item) -> Option<&ItemMod> {
    match item {
        Item::Mod(module) if module.content.is_none() => Some(module),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_tests_are_found_in_the_program_and_its_modules_only() {
        let marked = "#[test] fn f() {}";
        let files = [
            ("tests/host.rs", "mod a; mod b; fn main() { skip::run(1, 2, 3); }"),
            ("tests/a.rs", "mod c;"),
            ("tests/a/c.rs", "mod inside {\n#[test] fn f() {} }"),
            ("tests/b/mod.rs", marked),
            ("tests/c.rs", marked),
            ("tests/other.rs", "mod c; #[test] fn f() {}"),
        ];
        let found = run(&Tree::of(&files)).complaints("skipping");
        let at: Vec<_> = found.iter().map(|complaint| complaint.split_once(": ").expect("a place").0).collect();
        assert_eq!(at, ["tests/a/c.rs:2", "tests/b/mod.rs:1"]);
    }
}
