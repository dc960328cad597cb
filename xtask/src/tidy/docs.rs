//! Every file starts by saying what it is, and every library shows how it is used.

use syn::{AttrStyle, Expr, ExprLit, Lit, Meta};

use super::findings::Findings;
use super::tree::{Source, Tree};

/// The folder of programs that must not compile, and whose error messages show their lines.
const EXEMPT_FOLDER: &str = "/compile-fail/";

pub(super) fn run(tree: &Tree) -> Findings {
    let mut findings = Findings::default();
    let is_exempt = |source: &Source| source.path.contains(EXEMPT_FOLDER) || source.file_name() == "generated.rs";
    let written: Vec<_> = tree.sources.iter().filter(|source| !is_exempt(source)).collect();
    findings.saw("files", written.len());
    for source in written.into_iter().filter(|source| !starts_with_doc(source)) {
        findings.complain(&source.path, 1, "start the file with a `//!` doc that says what it is");
    }
    let fronts: Vec<_> = tree.sources.iter().filter(|source| is_front_page(&source.path)).collect();
    findings.saw("front pages", fronts.len());
    for source in fronts.into_iter().filter(|source| !source.text.contains("\n//! ```")) {
        findings.complain(&source.path, 1, "show an example in the `//!` doc of the library");
    }
    findings
}

fn is_front_page(path: &str) -> bool {
    path.starts_with("crates/") && path.ends_with("/src/lib.rs")
}

fn starts_with_doc(source: &Source) -> bool {
    let Some(first) = source.syntax.attrs.first() else { return false };
    let Meta::NameValue(doc) = &first.meta else { return false };
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &doc.value else { return false };
    matches!(first.style, AttrStyle::Inner(_)) && doc.path.is_ident("doc") && !text.value().trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRONT: (&str, &str) = ("crates/b/src/lib.rs", "//! B.\n//!\n//! ```\n//! b();\n//! ```");

    fn is_good(path: &str, text: &str) -> bool {
        run(&Tree::of(&[(path, text), FRONT])).complaints("docs").is_empty()
    }

    #[test]
    fn the_doc_comes_first_and_says_something() {
        assert!(is_good("a.rs", "//! About.\n#![no_std]"));
        assert!(is_good("a.rs", "// Licence.\n\n//! About."));
        for text in ["", "#![no_std]\n//! About.", "//!\nfn f() {}", "/// About f.\nfn f() {}", "// About."] {
            assert!(!is_good("a.rs", text), "{text}");
        }
        assert!(is_good("crates/a/tests/compile-fail/a.rs", "fn f() {}"));
        assert!(is_good("crates/a/src/generated.rs", "fn f() {}"));
    }

    #[test]
    fn libraries_have_an_example() {
        assert!(is_good("crates/a/src/lib.rs", "//! A.\n//!\n//! ```\n//! a();\n//! ```"));
        assert!(!is_good("crates/a/src/lib.rs", "//! A."));
    }
}
