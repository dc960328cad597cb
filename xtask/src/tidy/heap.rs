//! What asks for heap can be refused: nothing in the crates of kernels aborts where there is none.
//!
//! A call that cannot fail for lack of heap is a violation. One that makes a collection longer is one unless something was
//! reserved before it in the same function: whether that was enough is what `cargo xtask refuse` proves.

use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ExprCall, ExprMethodCall, ImplItemFn, ItemFn, ItemMod, Macro, Path, Stmt};

use super::findings::Findings;
use super::tree::{Source, Tree};

/// Where the rule holds, tests aside.
const FOLDERS: [&str; 4] = ["crates/clients/src/", "crates/engine/src/", "crates/range/src/", "crates/types/src/"];

/// Calls after which a collection may become longer.
const RESERVING: [&str; 4] = ["try_reserve", "try_reserve_exact", "try_extend", "reserve"];

/// Methods that make a collection longer, and how many arguments they have. Others of these names are the crates' own.
const GROWING: [(&str, usize); 10] = [
    ("append", 1),
    ("extend", 1),
    ("extend_from_slice", 1),
    ("insert", 2),
    ("insert_str", 2),
    ("push", 1),
    ("push_back", 1),
    ("push_str", 1),
    ("resize", 2),
    ("resize_with", 2),
];

/// Methods that make a collection, or move one.
const MAKING: [&str; 10] =
    ["clone", "collect", "concat", "join", "repeat", "shrink_to", "shrink_to_fit", "to_owned", "to_string", "to_vec"];

/// The ends of paths that do.
const MAKERS: [[&str; 2]; 11] = [
    ["Arc", "from"],
    ["Arc", "new"],
    ["Box", "from"],
    ["Box", "new"],
    ["Rc", "from"],
    ["Rc", "new"],
    ["String", "from"],
    ["String", "with_capacity"],
    ["Vec", "from"],
    ["Vec", "with_capacity"],
    ["Vec", "from_iter"],
];

/// Collections that cannot grow without aborting.
const TYPES: [&str; 5] = ["BTreeMap", "BTreeSet", "BinaryHeap", "LinkedList", "VecDeque"];

const MACROS: [&str; 2] = ["format", "vec"];

/// What is allowed all the same: file or folder, function, call, reason. A function or call `*` is any.
const ALLOWED: &[(&str, &str, &str, &str)] = &[
    ("crates/clients/src/module/load.rs", "publish", "clone", "a way to the engine"),
    ("crates/clients/src/module/stages.rs", "seal", "push", "back where it was taken from"),
    ("crates/clients/src/module/names.rs", "add", "push_str", "`new` reserved room for all names"),
    ("crates/clients/src/module/per_cpu.rs", "new", "clone", "a way to the caller's memory"),
    ("crates/clients/src/module/plt.rs", "detour", "append", "its own, which reserves"),
    ("crates/clients/src/module/plt.rs", "next", "append", "its own, which reserves"),
    ("crates/clients/src/module/rules.rs", "insert", "insert", "bits into a field"),
    ("crates/clients/src/bpf/binary.rs", "image_mut", "clone", "a range"),
    ("crates/clients/src/bpf/dirty.rs", "add", "insert", "only where there is room"),
    ("crates/engine/src/api/group.rs", "publish_all", "collect", "into a list of its own that is long enough"),
    ("crates/engine/src/api/group.rs", "free_group", "collect", "into a list of its own that is long enough"),
    ("crates/engine/src/pool/retire.rs", "withheld", "collect", "into a list of its own that is long enough"),
    ("crates/engine/src/pool/retire.rs", "retire_withheld", "collect", "into a list of its own that is long enough"),
    ("crates/range/src/holes/records.rs", "insert_at_end", "push", "the line before asserts that there is room"),
    ("crates/range/src/holes/upkeep.rs", "rebuild", "clone", "a range"),
    ("crates/range/src/live_map.rs", "*", "clone", "a range"),
    ("crates/types/src/template.rs", "*", "push", "into an array, which may be full"),
];

pub(super) fn run(tree: &Tree) -> Findings {
    let mut findings = Findings::default();
    let is_inside = |source: &&Source| {
        FOLDERS.iter().any(|folder| source.path.starts_with(folder)) && !source.path.contains("/tests/")
    };
    let sources: Vec<_> = tree.sources.iter().filter(is_inside).collect();
    findings.saw("files", sources.len());
    let mut used = vec![false; ALLOWED.len()];
    for source in &sources {
        let mut calls = Calls::default();
        calls.visit_file(&source.syntax);
        for call in calls.found {
            let entry = ALLOWED.iter().position(|entry| allows(entry, &source.path, &call));
            match entry {
                Some(index) => used[index] = true,
                None => findings.complain(&source.path, call.line, message(&call)),
            }
        }
    }
    let is_there = |path: &str| sources.iter().any(|source| source.path.starts_with(path));
    for ((path, function, name, _), is_used) in ALLOWED.iter().zip(used) {
        if !is_used && is_there(path) {
            findings.complain(path, 1, format!("`{name}` in `{function}` is allowed and not there; strike it off"));
        }
    }
    findings
}

fn allows(&(path, function, name, _): &(&str, &str, &str, &str), place: &str, call: &Call) -> bool {
    place.starts_with(path) && (function == "*" || function == call.function) && (name == "*" || name == call.name)
}

fn message(call: &Call) -> String {
    let Call { name, .. } = call;
    if call.is_growth {
        format!("`{name}` may ask for heap and cannot fail; call `try_reserve` before it in the same function")
    } else {
        format!("`{name}` asks for heap and cannot fail; use what can be refused, or allow it with a reason")
    }
}

/// A call that asks for heap.
#[derive(Debug)]
struct Call {
    line: usize,
    /// The function around it.
    function: String,
    name: String,
    is_growth: bool,
}

/// Collects calls that ask for heap.
#[derive(Default)]
struct Calls {
    found: Vec<Call>,
    /// The functions around, the innermost last, and whether something was reserved in each so far.
    functions: Vec<(String, bool)>,
}

impl Calls {
    fn add(&mut self, line: usize, name: &str, is_growth: bool) {
        let function = self.functions.last().map_or(String::new(), |(name, _)| name.clone());
        self.found.push(Call { line, function, name: name.to_owned(), is_growth });
    }

    fn note_call(&mut self, name: &str) {
        if RESERVING.contains(&name)
            && let Some((_, has_reserved)) = self.functions.last_mut()
        {
            *has_reserved = true;
        }
    }

    fn inside(&mut self, name: &syn::Ident, body: impl FnOnce(&mut Self)) {
        self.functions.push((name.to_string(), false));
        body(self);
        self.functions.pop();
    }
}

fn first_line(path: &Path) -> usize {
    path.segments.first().map_or(0, |segment| segment.ident.span().start().line)
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    let names_test = |attribute: &Attribute| attribute.parse_args::<Path>().is_ok_and(|path| path.is_ident("test"));
    attributes
        .iter()
        .any(|attribute| attribute.path().is_ident("test") || attribute.path().is_ident("cfg") && names_test(attribute))
}

impl<'ast> Visit<'ast> for Calls {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !is_for_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        if !is_for_tests(&function.attrs) {
            self.inside(&function.sig.ident, |inside| visit::visit_item_fn(inside, function));
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            self.inside(&function.sig.ident, |inside| visit::visit_impl_item_fn(inside, function));
        }
    }

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        // The crates' own have an outcome that is looked at; that of a collection has none, and aborts.
        if let Stmt::Expr(Expr::MethodCall(call), Some(_)) = statement
            && (call.method == "reserve" || call.method == "reserve_exact")
        {
            self.add(call.method.span().start().line, &call.method.to_string(), false);
        }
        visit::visit_stmt(self, statement);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        // What it is called on and with comes first, as it is executed.
        visit::visit_expr_method_call(self, call);
        let (name, line) = (call.method.to_string(), call.method.span().start().line);
        self.note_call(&name);
        let grows = GROWING.iter().any(|(grown, arguments)| *grown == name && *arguments == call.args.len());
        let has_reserved = self.functions.last().is_some_and(|(_, has_reserved)| *has_reserved);
        if MAKING.contains(&name.as_str()) {
            self.add(line, &name, false);
        } else if grows && !has_reserved {
            self.add(line, &name, true);
        }
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        visit::visit_expr_call(self, call);
        if let Expr::Path(path) = &*call.func
            && let Some(last) = path.path.segments.last()
        {
            self.note_call(&last.ident.to_string());
        }
    }

    fn visit_path(&mut self, path: &'ast Path) {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let line = first_line(path);
        if let [.., of, name] = &names[..]
            && MAKERS.iter().any(|[maker, made]| maker == of && made == name)
        {
            self.add(line, &format!("{of}::{name}"), false);
        }
        if let Some(name) = names.iter().find(|name| TYPES.contains(&name.as_str())) {
            self.add(line, name, false);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        if let Some(name) = call.path.segments.last().map(|segment| segment.ident.to_string())
            && MACROS.contains(&name.as_str())
        {
            self.add(first_line(&call.path), &format!("{name}!"), false);
        }
        visit::visit_macro(self, call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<String> {
        run(&Tree::of(&[(path, text)])).complaints("heap")
    }

    #[test]
    fn what_cannot_fail_is_found() {
        let asking = [
            "fn f() {\n a.to_vec(); }",
            "fn f() {\n a.iter().collect::<Vec<_>>(); }",
            "fn f() {\n Box::new(1); }",
            "fn f() {\n alloc::sync::Arc::new(1); }",
            "fn f() {\n map(Box::new); }",
            "fn f() {\n alloc::vec![1]; }",
            "fn f() {\n format!(\"a\"); }",
            "fn f() {\n a.shrink_to_fit(); }",
            "struct A {\n a: BTreeMap<u8, u8> }",
            "fn f() {\n a.push(1); }",
            "fn f() {\n a.insert(0, 1); a.try_reserve(1)?; }",
            "fn f() { a.try_reserve(1)?; fn g() {\n a.push(1); } }",
            "impl A { fn f() {\n a.reserve(1); } }",
            "mod a { fn f() { g(||\n a.extend(b)); } }",
        ];
        for text in asking {
            let found = complaints("crates/engine/src/a.rs", text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].starts_with("crates/engine/src/a.rs:2: heap: `"), "{text}: {found:?}");
        }
    }

    #[test]
    fn what_can_be_refused_tests_and_other_crates_are_free() {
        let free = [
            "fn f() { a.try_reserve(1)?; a.push(1); g(|| a.extend(b)); }",
            "fn f() { memory::try_reserve_exact(&mut a, 1)?; a.resize(1, 0); }",
            "fn f() { self.records.reserve(1)?; a.insert(0, 1); }",
            "fn f() { lists.push(&mut a, 1); records.insert(); OnceBox::new(); let v = Vec::new(); }",
            "#[cfg(test)] mod tests { fn f() { a.to_vec(); } }",
        ];
        for text in free {
            assert_eq!(complaints("crates/clients/src/a.rs", text), Vec::<String>::new(), "{text}");
        }
        let text = "fn f() { a.to_vec(); }";
        let others =
            [("crates/range/src/tests/a.rs", text), ("crates/sim/src/a.rs", text), ("crates/range/src/a.rs", "")];
        assert_eq!(run(&Tree::of(&others)).complaints("heap"), Vec::<String>::new());
    }

    #[test]
    fn what_is_allowed_is_allowed_there_only_and_must_be_there() {
        let path = "crates/clients/src/bpf/dirty.rs";
        assert_eq!(complaints(path, "fn add() { runs.insert(0, 1); }"), Vec::<String>::new());
        assert_eq!(complaints(path, "fn add() { runs.insert(0, 1); runs.push(1); }").len(), 1);
        assert_eq!(complaints(path, "fn other() { runs.insert(0, 1); }").len(), 2);
        assert!(complaints(path, "fn add() {}")[0].contains("strike it off"));
    }
}
