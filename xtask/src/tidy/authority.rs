//! Memory that an engine owns is commanded by that engine alone: no function of a type that is handed out commands it.
//!
//! A *memory* is a type of a product crate that is a `Backend`. Handed out, while an engine owns a memory, are facts (what a
//! `Describe` names) and controls of simulated machines. Every public function of these that takes `&self` is in a list
//! here, with what it does; and nothing that is behind a reference or a shared pointer is a `Backend`.

use std::collections::BTreeSet;

use syn::{FnArg, ImplItem, ImplItemFn, Item, ItemImpl, ReceiverKind, Type, Visibility};

use super::findings::Findings;
use super::tree::{Source, Tree};

/// What a memory does for its engine. A function with such a name is allowed only with its type.
const COMMANDS: [&str; 10] =
    ["adopt", "collapse", "fill", "map", "protect", "publish", "seal", "sync_code", "unmap", "write"];

/// What functions of these types may do, and the functions.
const ALLOWED: &[(&str, &[&str])] = &[
    ("tells what is", FACTS),
    ("decides before an engine owns the memory", &["map_kernel", "map_on", "merge_in_place", "reset_alias"]),
    (
        "refuses what the engine asks for",
        &["limit_large_pages", "limit_pages", "refuse_from", "refuse_nothing", "refuse_once"],
    ),
    ("does what a program may", &["fetch", "fetch_on", "load_direct_on", "load_on", "other_on", "store"]),
    (
        "uses memory that no engine has",
        &[
            "fragment",
            "give_pages",
            "give_secret_pages",
            "pin_small",
            "reset_tlbs",
            "shrink_cache",
            "take_pages",
            "take_secret_pages",
            "unpin_small",
        ],
    ),
    ("is named for tests", &["corrupt", "write_behind"]),
];

const FACTS: &[&str] = &[
    "anchor",
    "backing",
    "bytes_in_use",
    "cached_bytes",
    "calls",
    "can_store",
    "control",
    "counts",
    "data",
    "direct_leaf",
    "direct_map",
    "direct_tables",
    "free_bytes",
    "is_sealed",
    "large_page",
    "leaf_extents",
    "leaves",
    "leaves_by_rights",
    "machine",
    "narrowed",
    "node",
    "node_count",
    "node_of",
    "Facts::publish",
    "publish_at",
    "read",
    "refusal",
    "stale_translations",
    "table",
    "table_of",
    "tlb_counts",
    "translate",
    "waiting_bytes",
    "window",
    "wx_bytes",
];

/// Crates whose types others use.
const PRODUCTS: &str = "crates/";

/// Types beside memories and facts of which this holds.
const CONTROLS: [&str; 1] = ["Control"];

pub(super) fn run(tree: &Tree) -> Findings {
    let mut findings = Findings::default();
    let sources = || tree.sources.iter().filter(|source| source.path.starts_with(PRODUCTS));
    let mut types: BTreeSet<String> = CONTROLS.iter().map(|name| (*name).to_owned()).collect();
    for (source, block) in sources().flat_map(blocks) {
        match trait_of(block).as_deref() {
            Some("Backend") => types.extend(name_of(block).filter(|name| !is_pointer(name))),
            Some("Describe") => types.extend(facts_of(block)),
            _ => {}
        }
        refuse_pointers(source, block, &mut findings);
    }
    findings.saw("types that are memory or tell of it", types.len());
    let mut functions = 0;
    for (source, block) in sources().flat_map(blocks).filter(|(_, block)| block.trait_.is_none()) {
        let Some(name) = name_of(block).filter(|name| types.contains(name)) else { continue };
        for function in block.items.iter().filter_map(called_by_anyone) {
            functions += 1;
            check(source, &name, &function.sig.ident, &mut findings);
        }
    }
    findings.saw("functions of them", functions);
    findings
}

/// Refuses a function that is in no list.
fn check(source: &Source, of: &str, function: &syn::Ident, findings: &mut Findings) {
    let (name, path) = (function.to_string(), format!("{of}::{function}"));
    let is_command = COMMANDS.contains(&&*name);
    let is_it = |listed: &&str| *listed == path || *listed == name && !is_command;
    if !ALLOWED.iter().any(|(_, names)| names.iter().any(is_it)) {
        let message = format!(
            "`{path}` takes `&self` of what callers have while an engine owns the memory{}; \
             if it commands nothing, say in the lists of this rule what it does",
            if is_command { ", and is called like a command" } else { "" }
        );
        findings.complain(&source.path, function.span().start().line, message);
    }
}

/// A public function that takes `&self`.
fn called_by_anyone(item: &ImplItem) -> Option<&ImplItemFn> {
    let ImplItem::Fn(function) = item else { return None };
    let FnArg::Receiver(own) = function.sig.inputs.first()? else { return None };
    let is_shared = matches!(own.kind, ReceiverKind::Reference(_, _, None));
    (is_shared && matches!(function.vis, Visibility::Public(_))).then_some(function)
}

/// Implementations in a file.
fn blocks(source: &Source) -> impl Iterator<Item = (&Source, &ItemImpl)> {
    source.syntax.items.iter().filter_map(move |item| match item {
        Item::Impl(block) => Some((source, block)),
        _ => None,
    })
}

fn trait_of(block: &ItemImpl) -> Option<String> {
    let (path, _) = block.trait_.as_ref()?;
    Some(path.segments.last()?.ident.to_string())
}

/// The name of the type that is implemented for, unless it is behind a reference.
fn name_of(block: &ItemImpl) -> Option<String> {
    let Type::Path(path) = &*block.self_ty else { return None };
    last_of(path)
}

fn last_of(path: &syn::TypePath) -> Option<String> {
    Some(path.path.segments.last()?.ident.to_string())
}

fn is_pointer(name: &str) -> bool {
    ["Arc", "Box", "Rc"].contains(&name)
}

/// The types that a `Describe` hands out.
fn facts_of(block: &ItemImpl) -> Option<String> {
    block.items.iter().find_map(|item| match item {
        ImplItem::Type(item) => match &item.ty {
            Type::Path(path) => last_of(path),
            _ => None,
        },
        _ => None,
    })
}

/// Refuses a `Backend` behind a reference or a shared pointer.
fn refuse_pointers(source: &Source, block: &ItemImpl, findings: &mut Findings) {
    let is_behind = match &*block.self_ty {
        Type::Reference(_) | Type::Ptr(_) => true,
        Type::Path(path) => last_of(path).is_some_and(|name| is_pointer(&name)),
        _ => false,
    };
    if is_behind && trait_of(block).as_deref() == Some("Backend") {
        let line = block.impl_token.span.start().line;
        findings.complain(&source.path, line, "a `Backend` behind a pointer can be commanded beside its engine");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(text: &str) -> Vec<String> {
        let memory = "pub struct M; impl Backend for M {} impl M { pub fn window(&self) {} }";
        run(&Tree::of(&[("crates/m/src/m.rs", memory), ("crates/m/src/a.rs", text)])).complaints("authority")
    }

    #[test]
    fn functions_that_are_in_no_list_are_found() {
        let found = complaints("impl M {\n pub fn erase(&self) {} }");
        assert!(found[0].starts_with("crates/m/src/a.rs:2: authority: `M::erase` takes `&self`"), "{found:?}");
        let facts = "impl Describe for M { type Facts<'m> = F<'m>; }\nimpl F<'_> {\n pub fn erase(&self) {} }";
        assert!(complaints(facts)[0].starts_with("crates/m/src/a.rs:3: authority: `F::erase`"));
        assert!(complaints("impl Control {\n pub fn erase(&self) {} }")[0].contains("`Control::erase`"));
    }

    #[test]
    fn every_command_is_found_whatever_the_lists_say_of_its_name() {
        for command in COMMANDS {
            for of in ["M", "Control"] {
                let found = complaints(&format!("impl {of} {{\n pub fn {command}(&self) {{}} }}"));
                let wanted = format!("crates/m/src/a.rs:2: authority: `{of}::{command}` takes `&self`");
                assert!(found[0].starts_with(&wanted) && found[0].contains("called like a command"), "{found:?}");
            }
        }
        let facts = "impl Describe for M { type Facts<'m> = Facts<'m>; } impl Facts<'_> { pub fn publish(&self) {} }";
        assert_eq!(complaints(facts), Vec::<String>::new());
    }

    #[test]
    fn what_nobody_else_has_or_can_call_is_free() {
        let free = "impl M { fn erase(&self) {} pub(crate) fn a(&self) {} pub fn b(&mut self) {} pub fn c(self) {} }
                    impl Other { pub fn erase(&self) {} }";
        assert_eq!(complaints(free), Vec::<String>::new());
    }

    #[test]
    fn memory_behind_pointers_is_found() {
        for of in ["&B", "Arc<B>", "std::sync::Arc<B>", "&'a mut B", "Box<dyn Backend>"] {
            let found = complaints(&format!("\nimpl<B: Backend> Backend for {of} {{}}"));
            assert!(found[0].starts_with("crates/m/src/a.rs:2: authority: a `Backend` behind"), "{found:?}");
        }
    }
}
