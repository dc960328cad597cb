//! Every file starts by saying what it is.

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
    findings
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

    #[test]
    fn the_doc_comes_first_and_says_something() {
        let is_good = |path, text| run(&Tree::of(&[(path, text), ("b.rs", "//! B.")])).complaints("docs").is_empty();
        assert!(is_good("a.rs", "//! About.\n#![no_std]"));
        assert!(is_good("a.rs", "// Licence.\n\n//! About."));
        for text in ["", "#![no_std]\n//! About.", "//!\nfn f() {}", "/// About f.\nfn f() {}", "// About."] {
            assert!(!is_good("a.rs", text), "{text}");
        }
        assert!(is_good("crates/a/tests/compile-fail/a.rs", "fn f() {}"));
        assert!(is_good("crates/a/src/generated.rs", "fn f() {}"));
    }
}
