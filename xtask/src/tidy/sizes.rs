//! How long files and functions may be.

use syn::visit::{self, Visit};
use syn::{Block, ImplItemFn, ItemFn, Signature, TraitItemFn};

use super::findings::Findings;
use super::tree::Tree;

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 70;

pub(super) fn run(tree: &Tree) -> Findings {
    let mut findings = Findings::default();
    let mut functions = 0;
    for source in &tree.sources {
        let lines = source.text.lines().count();
        if lines > FILE_LINES && source.file_name() != "generated.rs" {
            let message = format!("the file has {lines} lines, the limit is {FILE_LINES}; split it by subject");
            findings.complain(&source.path, FILE_LINES, message);
        }
        let mut found = Functions::default();
        found.visit_file(&source.syntax);
        functions += found.0.len();
        for Function { name, first, lines } in found.0.iter().filter(|function| function.lines > FUNCTION_LINES) {
            let message = format!("`{name}` has {lines} lines, the limit is {FUNCTION_LINES}; extract its steps");
            findings.complain(&source.path, *first, message);
        }
    }
    findings.saw("files", tree.sources.len());
    findings.saw("functions", functions);
    findings
}

#[derive(Debug)]
struct Function {
    name: String,
    first: usize,
    /// From `fn` to the closing brace.
    lines: usize,
}

/// Collects functions with a body.
#[derive(Default)]
struct Functions(Vec<Function>);

impl Functions {
    fn add(&mut self, signature: &Signature, body: &Block) {
        let first = signature.fn_token.span.start().line;
        let last = body.brace_token.span.close().end().line;
        self.0.push(Function { name: signature.ident.to_string(), first, lines: last + 1 - first });
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if let Some(body) = &function.default {
            self.add(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<String> {
        run(&Tree::of(&[(path, text), ("b.rs", "fn f() {}")])).complaints("sizes")
    }

    #[test]
    fn a_function_may_have_70_lines() {
        let body = |lines: usize| "\n".repeat(lines - 1);
        for (start, end) in
            [("", ""), ("impl A {", "}"), ("trait A {", "}"), ("mod a { #[test] ", "}"), ("fn f() {", "}")]
        {
            let function = |lines| format!("{start}\n/// Doc.\nfn long() {{{}}}{end}", body(lines));
            let short_enough = if start.starts_with("fn") { 60 } else { FUNCTION_LINES };
            assert_eq!(complaints("a.rs", &function(short_enough)), Vec::<String>::new(), "{start}");
            let found = complaints("a.rs", &function(FUNCTION_LINES + 1));
            assert!(found.iter().any(|found| found.contains("a.rs:3: sizes: `long` has 71 lines")), "{found:?}");
        }
    }

    #[test]
    fn a_file_may_have_400_lines() {
        assert_eq!(complaints("a.rs", &"\n".repeat(FILE_LINES)), Vec::<String>::new());
        assert!(complaints("a.rs", &"\n".repeat(FILE_LINES + 1))[0].contains("has 401 lines"));
        assert_eq!(complaints("generated.rs", &"\n".repeat(FILE_LINES + 1)), Vec::<String>::new());
    }
}
