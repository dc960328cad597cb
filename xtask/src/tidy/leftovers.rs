//! Nothing unfinished stays behind.

use syn::Attribute;
use syn::visit::Visit;

use super::findings::Findings;
use super::tokens;
use super::tree::Tree;

/// What must not be in code, and what to do.
const FORBIDDEN: [(&[&str], &str); 4] = [
    (&["todo", "!"], "`todo!` panics; finish it"),
    (&["unimplemented", "!"], "`unimplemented!` panics; finish it, or refuse with an error"),
    (&["dbg", "!"], "`dbg!` prints; remove it"),
    (&["#", "[", "ignore"], IGNORED),
];

const IGNORED: &str = "`#[ignore]` hides a test; repair it, or make it a task of its own";

pub(super) fn run(tree: &Tree) -> Findings {
    let mut findings = Findings::default();
    findings.saw("files", tree.sources.len());
    for source in &tree.sources {
        for (pattern, message) in FORBIDDEN {
            for token in tokens::find(&source.tokens, pattern) {
                findings.complain(&source.path, token.line, message);
            }
        }
        let mut conditions = Conditions::default();
        conditions.visit_file(&source.syntax);
        for line in conditions.0 {
            findings.complain(&source.path, line, IGNORED);
        }
    }
    findings
}

/// Collects the lines of `ignore` in `cfg_attr`.
#[derive(Default)]
struct Conditions(Vec<usize>);

impl<'ast> Visit<'ast> for Conditions {
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let Ok(list) = attribute.meta.require_list() else { return };
        if list.path.is_ident("cfg_attr") {
            let tokens = tokens::flatten(list.tokens.clone());
            self.0.extend(tokens::find(&tokens, &[",", "ignore"]).map(|token| token.line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(text: &str) -> Vec<String> {
        run(&Tree::of(&[("a.rs", text)])).complaints("leftovers")
    }

    #[test]
    fn leftovers_are_found_in_code_only() {
        let left = [
            "fn f() {\n todo!() }",
            "fn f() {\n unimplemented!(\"later\") }",
            "fn f() {\n m!(dbg!(1)) }",
            "\n#[ignore] #[test] fn f() {}",
            "\n#[ignore = \"slow\"] #[test] fn f() {}",
            "\n#[cfg_attr(unix, ignore)] #[test] fn f() {}",
        ];
        for text in left {
            let [complaint] = &*complaints(text) else { panic!("one complaint: {text}") };
            assert!(complaint.starts_with("a.rs:2: leftovers: `"), "{complaint}");
        }
        let text = "//! todo!()\nfn todo() { let ignore = [\"dbg!()\"]; f(1, ignore) }";
        assert_eq!(complaints(text), Vec::<String>::new());
    }
}
