//! Where `unsafe` may be written.

use syn::AttrStyle;

use super::findings::Findings;
use super::tree::{Source, Tree};

/// Files and folders with `unsafe`, and why.
const ALLOWED: &[(&str, &str)] = &[
    ("crates/linux/src/view.rs", "maps and unmaps memory"),
    ("crates/linux/src/advice.rs", "tells the kernel about ranges of addresses"),
    ("crates/linux/src/auxv.rs", "calls the C library, asks the processor"),
    ("crates/linux/src/file.rs", "makes a descriptor by number"),
    ("crates/linux/src/fork.rs", "maps a page that children see wiped, registers handlers"),
    ("crates/linux/src/program.rs", "is called back by the dynamic linker"),
    ("crates/linux/src/window.rs", "accesses memory by address"),
    ("crates/linux/src/copy.rs", "accesses memory by address"),
    ("crates/linux/src/icache.rs", "cache instructions"),
    ("crates/linux/src/call.rs", "executes generated code"),
    ("crates/linux/src/front/function.rs", "makes function pointers"),
    ("crates/linux/examples/", "calls generated code"),
    ("crates/linux/src/vouch.rs", "accesses code by address"),
    ("crates/linux/src/symbol.rs", "calls the dynamic linker"),
    ("crates/linux/src/tools/", "shares memory with profilers, debuggers and unwinders"),
    ("crates/bare/src/kernel", "a kernel commands the processor and its memory"),
    ("crates/bare/module/", "the loader looks for functions by name"),
    ("crates/capi/src/", "C passes pointers"),
    ("crates/closure-ffi/src/memory.rs", "implements unsafe functions of a trait"),
    ("crates/closure-ffi/examples/", "calls generated code"),
    ("crates/closure-ffi/tests/", "calls generated code"),
    ("crates/cranelift/src/provider.rs", "implements an unsafe function of a trait"),
    ("crates/cranelift/src/frames.rs", "unwinders believe what they are told"),
    ("crates/cranelift/src/jit.rs", "has an unsafe function because Cranelift has one"),
    ("crates/cranelift/src/typed.rs", "makes function pointers"),
    ("crates/cranelift/examples/", "calls generated code"),
    ("crates/cranelift/tests/", "calls generated code"),
    ("crates/wasmtime/src/foreign.rs", "changes rights of memory that Wasmtime mapped"),
    ("crates/wasmtime/src/place.rs", "Wasmtime executes the images it is given"),
    ("crates/wasmtime/tests/programs.rs", "deserializes what it serialized"),
    ("tests/engine/contexts.rs", "a lock that notes that it is held: an unsafe trait"),
    ("tests/module/heap.rs", "a global allocator is an unsafe trait"),
    ("tests/linux/", "calls generated code"),
    ("tests/bench/", "calls generated code"),
    ("tests/inkwell/", "calls generated code"),
    ("tests/fuzz/src/counters.rs", "the compiler counts in memory of its own"),
    ("tests/fuzz/src/heap.rs", "is a global allocator"),
    ("tests/instructions/src/work.rs", "valgrind looks for functions by name"),
    ("tests/refuse/src/facts.rs", "a lock that notes that it is taken: an unsafe trait"),
    ("tests/refuse/src/heap.rs", "is a global allocator"),
    ("tests/refuse/src/paint.rs", "reads the stack below its own"),
    ("crates/cli/src/execute.rs", "calls generated code"),
];

/// The packages that have no lint in their crate root, since [`ALLOWED`] has files of them.
const UNSAFE_PACKAGES: [&str; 2] = ["crates/linux/", "crates/capi/"];
/// The packages that open one file, which `forbid` would not let them do.
const DENYING_PACKAGES: [&str; 5] =
    ["crates/bare/", "crates/cli/", "crates/closure-ffi/", "crates/cranelift/", "crates/wasmtime/"];

pub(super) fn run(tree: &Tree) -> Findings {
    let mut findings = Findings::default();
    let is_allowed = |source: &&Source| ALLOWED.iter().any(|(prefix, _)| source.path.starts_with(prefix));
    let (allowed, safe): (Vec<_>, Vec<_>) = tree.sources.iter().partition(is_allowed);
    findings.saw("files without unsafe", safe.len());
    findings.saw("files that may have it", allowed.len());
    for source in safe {
        for token in source.tokens.iter().filter(|token| token.is_ident("unsafe")) {
            let message = "unsafe code here is not allowed; use a safe interface, or one of the files that may have it";
            findings.complain(&source.path, token.line, message);
        }
    }
    let roots: Vec<_> = tree.sources.iter().filter(|source| is_safe_root(&source.path)).collect();
    findings.saw("crate roots", roots.len());
    for root in roots {
        let may_deny = DENYING_PACKAGES.iter().any(|package| root.path.starts_with(package));
        if !(sets_lint(root, "forbid") || may_deny && sets_lint(root, "deny")) {
            findings.complain(&root.path, 1, "a crate root without unsafe code says `#![forbid(unsafe_code)]`");
        }
    }
    findings
}

/// Whether a file is the root of a library or program that has no `unsafe`.
fn is_safe_root(path: &str) -> bool {
    let parts: Vec<_> = path.split('/').collect();
    let is_root = matches!(*parts, ["crates", _, "src", "lib.rs" | "main.rs"] | ["crates", _, "src", "bin", ..]);
    is_root && !UNSAFE_PACKAGES.iter().any(|package| path.starts_with(package))
}

/// Whether `#![level(unsafe_code)]` stands at the top of a file.
fn sets_lint(source: &Source, level: &str) -> bool {
    source.syntax.attrs.iter().any(|attribute| {
        let is_inner = matches!(attribute.style, AttrStyle::Inner(_));
        let names_lint = || attribute.parse_args::<syn::Path>().is_ok_and(|lint| lint.is_ident("unsafe_code"));
        is_inner && attribute.path().is_ident(level) && names_lint()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<String> {
        let others = [("crates/linux/src/copy.rs", "unsafe fn f() {}"), ("crates/a/src/b.rs", "")];
        let root = ("crates/a/src/lib.rs", "#![forbid(unsafe_code)]");
        run(&Tree::of(&[others[0], others[1], root, (path, text)])).complaints("unsafe")
    }

    #[test]
    fn unsafe_is_found_wherever_it_hides() {
        assert_eq!(complaints("tests/linux/a.rs", "fn f() { unsafe { g() } }"), Vec::<String>::new());
        assert_eq!(complaints("crates/a/src/c.rs", "//! unsafe\nconst A: &str = \"unsafe\";"), Vec::<String>::new());
        let hidden = [
            "\nfn f() { unsafe { g() } }",
            "\nunsafe fn f() {}",
            "\nunsafe impl Send for A {}",
            "\nunsafe trait A {}",
            "\nunsafe extern \"C\" {}",
            "\n#[unsafe(no_mangle)] fn f() {}",
            "\nmacro_rules! m { () => { unsafe { g() } } }",
        ];
        for text in hidden {
            let found = complaints("crates/linux/src/lib.rs", text);
            assert!(found[0].starts_with("crates/linux/src/lib.rs:2: unsafe: unsafe code here"), "{text}: {found:?}");
        }
    }

    #[test]
    fn crate_roots_forbid_it() {
        assert!(complaints("crates/b/src/lib.rs", "#![no_std]")[0].contains("`#![forbid(unsafe_code)]`"));
        assert!(complaints("crates/b/src/main.rs", "#![deny(unsafe_code)]")[0].contains("`#![forbid(unsafe_code)]`"));
        assert_eq!(complaints("crates/cli/src/main.rs", "#![deny(unsafe_code)]"), Vec::<String>::new());
        assert_eq!(complaints("crates/b/src/main.rs", "#![forbid(unsafe_code)]"), Vec::<String>::new());
    }
}
