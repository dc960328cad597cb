//! The invariants of ARCHITECTURE.md each have an owner's doc and a test that names them, and nothing else has.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{ItemFn, ItemMacro};

use super::findings::Findings;
use super::tokens::{self, TokenKind};
use super::tree::{Source, Tree};

const PATH: &str = "ARCHITECTURE.md";
const SECTION: &str = "## Invariants";
const TABLE_HEAD_LINES: usize = 2;
const HEADING: &str = "# Invariants (";

/// An invariant's number: 7 is `I7` in text and `inv_07_` in the name of a test.
type Id = u32;

pub(super) fn run(tree: &Tree) -> Findings {
    let mut findings = Findings::default();
    let Some(text) = tree.text(PATH) else {
        findings.complain(PATH, 1, format!("the file is missing; write it, with a table of IDs under `{SECTION}`"));
        return findings;
    };
    let stated = stated(text, &mut findings);
    let mut owned = BTreeSet::new();
    let mut tested = BTreeSet::new();
    for source in &tree.sources {
        if source.path.starts_with("crates/") && source.path.contains("/src/") {
            collect(headings(source), source, &stated, &mut owned, &mut findings);
        }
        collect(tests(source), source, &stated, &mut tested, &mut findings);
    }
    findings.saw("invariants", stated.len());
    findings.saw("with an owner", owned.len());
    findings.saw("with a test", tested.len());
    for (id, line) in &stated {
        if !owned.contains(id) {
            let message = format!("no doc in crates/*/src has a heading `{HEADING}I{id})`; add it to the owner's");
            findings.complain(PATH, *line, message);
        }
        if !tested.contains(id) {
            let message = format!("no test is named `inv_{id:02}_…`; write one that fails without I{id}");
            findings.complain(PATH, *line, message);
        }
    }
    findings
}

/// A place that names invariants, or fails to.
type Mention = (usize, Result<Vec<Id>, String>);

/// Adds what a file names to `named`, and complains about what the table lacks.
fn collect(
    mentions: Vec<Mention>,
    source: &Source,
    stated: &BTreeMap<Id, usize>,
    named: &mut BTreeSet<Id>,
    findings: &mut Findings,
) {
    for (line, ids) in mentions {
        match ids {
            Ok(ids) => {
                for id in ids.iter().filter(|id| !stated.contains_key(id)) {
                    let message = format!("I{id} is not in the table of {PATH}; state it there");
                    findings.complain(&source.path, line, message);
                }
                named.extend(ids);
            }
            Err(message) => findings.complain(&source.path, line, message),
        }
    }
}

/// The invariants in the table, and their lines.
fn stated(text: &str, findings: &mut Findings) -> BTreeMap<Id, usize> {
    let mut stated = BTreeMap::new();
    let section = (1..).zip(text.lines()).skip_while(|(_, line)| line.trim_end() != SECTION).skip(1);
    let table = section.take_while(|(_, line)| !line.starts_with("## ")).filter(|(_, line)| line.starts_with('|'));
    for (line, row) in table.skip(TABLE_HEAD_LINES) {
        let cells: Vec<_> = row.trim().split('|').skip(1).map(|cell| cell.trim().trim_matches(['*', '`'])).collect();
        let Some(id) = cells.first().and_then(|cell| id(cell)) else {
            findings.complain(PATH, line, "the row has no ID such as `I7`");
            continue;
        };
        if cells.len() < 5 || cells[..4].iter().any(|cell| cell.is_empty()) {
            findings.complain(PATH, line, format!("I{id} needs a statement, an owner and a check"));
        }
        if stated.insert(id, line).is_some() {
            findings.complain(PATH, line, format!("I{id} is stated twice; IDs are never used again"));
        }
    }
    stated
}

/// `I7` as a number.
fn id(text: &str) -> Option<Id> {
    let number = text.strip_prefix('I')?;
    (!number.starts_with(['0', '+'])).then(|| number.parse().ok())?
}

/// The headings of docs that list invariants.
fn headings(source: &Source) -> Vec<Mention> {
    let docs = source.tokens.iter().filter(|token| token.kind == TokenKind::Doc);
    let headings = docs.flat_map(tokens::Token::lines).filter_map(|(line, text)| {
        let list = text.trim().strip_prefix(HEADING)?;
        Some((line, list.strip_suffix(')').and_then(ids)))
    });
    headings.map(|(line, ids)| (line, ids.ok_or_else(|| format!("write the heading as `{HEADING}I1, I2)`")))).collect()
}

/// `I1, I2` as numbers.
fn ids(list: &str) -> Option<Vec<Id>> {
    list.split(", ").map(id).collect()
}

/// The tests that are named after invariants.
fn tests(source: &Source) -> Vec<Mention> {
    let mut tests = Tests::default();
    tests.visit_file(&source.syntax);
    let Tests { marked, listed, others } = tests;
    let wrong = others.into_iter().filter(|(_, name)| !listed.iter().any(|(_, listed)| listed == name));
    let wrong = wrong.map(|(line, name)| (line, Err(format!("`{name}` is not a test; only tests are named so"))));
    let named = |(line, name): &(usize, String)| test_ids(name).map(|ids| (*line, ids));
    marked.iter().chain(&listed).filter_map(named).chain(wrong).collect()
}

/// Names that look like those of tests, and their lines.
#[derive(Default)]
struct Tests {
    /// Functions marked as tests.
    marked: Vec<(usize, String)>,
    /// What macros are given: they may turn names into tests, or list functions that are.
    listed: Vec<(usize, String)>,
    /// Other functions.
    others: Vec<(usize, String)>,
}

impl<'ast> Visit<'ast> for Tests {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        let name = function.sig.ident.to_string();
        let is_marked = function.attrs.iter().any(|attribute| attribute.path().is_ident("test"));
        if test_ids(&name).is_some() {
            let found = if is_marked { &mut self.marked } else { &mut self.others };
            found.push((function.sig.ident.span().start().line, name));
        }
        visit::visit_item_fn(self, function);
    }

    fn visit_item_macro(&mut self, item: &'ast ItemMacro) {
        if item.mac.path.is_ident("macro_rules") {
            return;
        }
        let given = tokens::flatten(item.mac.tokens.clone());
        let idents = given.into_iter().filter(|token| token.kind == TokenKind::Ident);
        self.listed.extend(idents.map(|token| (token.line, token.text)));
    }
}

/// The numbers in `inv_01_02_what_holds`. `None` for other names.
fn test_ids(name: &str) -> Option<Result<Vec<Id>, String>> {
    let rest = name.strip_prefix("inv_").filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))?;
    let parts: Vec<_> = rest.split('_').collect();
    let is_word = |part: &&str| part.bytes().any(|byte| !byte.is_ascii_digit());
    let (numbers, words) = parts.split_at(parts.iter().position(is_word).unwrap_or(parts.len()));
    let is_well_formed = !words.is_empty() && !numbers.is_empty() && numbers.iter().all(|number| number.len() == 2);
    let ids = numbers.iter().map(|number| number.parse().ok()).collect::<Option<_>>().filter(|_| is_well_formed);
    Some(ids.ok_or_else(|| format!("write `{name}` as `inv_01_02_what_holds`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "# A\n## Invariants\n\n| ID | statement | owner | check |\n|---|---|---|---|\n\
                         | I1 | one | A | audit |\n| I2 | two | B | audit |\n\n## More\n| I3 |\n";
    const OWNER: &str = "//! A.\n//!\n//! # Invariants (I1, I2)\nstruct A;";
    const TESTS: &str = "#[test] fn inv_01_holds() {}\nstamp! { 0: inv_01_02_hold_on_the_first }";

    fn complaints(table: &str, owner: &str, tests: &str) -> Vec<String> {
        let files = [("ARCHITECTURE.md", table), ("crates/a/src/a.rs", owner), ("tests/a/main.rs", tests)];
        run(&Tree::of(&files)).complaints("invariants")
    }

    fn only(complaints: &[String]) -> &str {
        let [complaint] = complaints else { panic!("one complaint: {complaints:?}") };
        complaint
    }

    #[test]
    fn table_docs_and_tests_agree() {
        assert_eq!(complaints(TABLE, OWNER, TESTS), Vec::<String>::new());
        let owner = complaints(TABLE, &OWNER.replace(", I2", ""), TESTS);
        assert!(only(&owner).starts_with("ARCHITECTURE.md:7: invariants: no doc in crates/*/src has"));
        let test = complaints(TABLE, OWNER, &TESTS.replace("_02", ""));
        assert!(only(&test).starts_with("ARCHITECTURE.md:7: invariants: no test is named `inv_02_"));
        let missing = run(&Tree::of(&[("crates/a/src/a.rs", "")])).complaints("invariants");
        assert!(missing[0].starts_with("ARCHITECTURE.md:1: invariants: the file is missing"));
    }

    #[test]
    fn what_the_table_lacks_is_refused() {
        let owner = complaints(TABLE, &OWNER.replace("I1,", "I1, I3,"), TESTS);
        assert_eq!(
            only(&owner),
            "crates/a/src/a.rs:3: invariants: I3 is not in the table of ARCHITECTURE.md; state it there"
        );
        let test = complaints(TABLE, OWNER, &TESTS.replace("inv_01_02", "inv_01_02_12"));
        assert!(only(&test).starts_with("tests/a/main.rs:2: invariants: I12 is not in the table"));
    }

    #[test]
    fn what_is_written_wrongly_is_refused() {
        let row = complaints(&TABLE.replace("| I2 |", "| I02 |"), OWNER, TESTS);
        assert!(row[0].contains("ARCHITECTURE.md:7: invariants: the row has no ID"), "{row:?}");
        let row = complaints(&TABLE.replace("| B |", "| |"), OWNER, TESTS);
        assert!(only(&row).contains("I2 needs a statement, an owner and a check"));
        let row = complaints(&TABLE.replace("I2 | two", "I1 | two"), OWNER, TESTS);
        assert!(row[0].contains("I1 is stated twice"), "{row:?}");
        let owner = complaints(TABLE, &format!("{OWNER}\n/// # Invariants (1)\nstruct B;"), TESTS);
        assert!(only(&owner).contains("a.rs:5: invariants: write the heading as `# Invariants (I1, I2)`"));
        let test = complaints(TABLE, OWNER, &format!("{TESTS}\n#[test] fn inv_2_holds() {{}}"));
        assert!(only(&test).contains("main.rs:3: invariants: write `inv_2_holds` as"));
        let test = complaints(TABLE, OWNER, &format!("{TESTS}\nfn inv_02_holds() {{}}"));
        assert!(only(&test).contains("`inv_02_holds` is not a test"));
        let test =
            complaints(TABLE, OWNER, &format!("{TESTS}\nfn inv_02_holds() {{}}\nskip::tests! {{ inv_02_holds }}"));
        assert_eq!(test, Vec::<String>::new());
    }
}
