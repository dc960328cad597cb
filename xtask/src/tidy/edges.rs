//! Which packages of the workspace may depend on which others.

use super::findings::Findings;
use super::tree::Tree;

/// What a package may use in code that ships. Tests and build scripts may use what they like.
#[derive(Debug, Clone, Copy)]
enum Uses {
    Only(&'static [&'static str]),
    Anything,
}

/// By package; a `*` at the end stands for any ending.
const EDGES: &[(&str, Uses)] = &[
    ("execmem-range", Uses::Only(&[])),
    ("execmem-types", Uses::Only(&[])),
    ("execmem", Uses::Only(&["execmem-range", "execmem-types"])),
    ("execmem-arch-*", Uses::Only(&["execmem-types"])),
    ("execmem-conformance", Uses::Only(&["execmem-types"])),
    ("execmem-sim", Uses::Only(&["execmem-types"])),
    ("execmem-linux", Uses::Only(&["execmem", "execmem-types", "execmem-arch-*"])),
    ("execmem-clients", Uses::Only(&["execmem", "execmem-range", "execmem-types"])),
    (
        "execmem-bare",
        Uses::Only(&["execmem", "execmem-arch-*", "execmem-clients", "execmem-conformance", "execmem-types"]),
    ),
    ("execmem-capi", Uses::Only(&["execmem", "execmem-linux"])),
    ("execmem-closure-ffi", Uses::Only(&["execmem", "execmem-linux"])),
    ("execmem-cranelift", Uses::Only(&["execmem", "execmem-linux", "execmem-types"])),
    ("execmem-wasmtime", Uses::Only(&["execmem", "execmem-linux", "execmem-types"])),
    ("execmem-syscalls", Uses::Only(&[])),
    ("execmem-cli", Uses::Anything),
    ("execmem-tests", Uses::Anything),
    ("execmem-bench", Uses::Anything),
    ("execmem-fuzz", Uses::Anything),
    ("execmem-instructions", Uses::Anything),
    ("execmem-model", Uses::Anything),
    ("execmem-refuse", Uses::Anything),
    ("execmem-skip", Uses::Only(&[])),
    ("xtask", Uses::Only(&["execmem-skip"])),
];

pub(super) fn run(tree: &Tree) -> Findings {
    let mut findings = Findings::default();
    findings.saw("packages", tree.packages.len());
    findings.saw("edges", tree.packages.iter().map(|package| package.uses.len()).sum());
    for package in &tree.packages {
        let Some(allowed) = allowed(&package.name) else {
            let message = format!("{} is not in the table of edges; say what it may use", package.name);
            findings.complain(&package.manifest, 1, message);
            continue;
        };
        let Uses::Only(allowed) = allowed else { continue };
        for (name, line) in
            package.uses.iter().filter(|(name, _)| !allowed.iter().any(|pattern| matches(pattern, name)))
        {
            let message = format!("{} must not depend on {name}; it may use {allowed:?}", package.name);
            findings.complain(&package.manifest, *line, message);
        }
    }
    findings
}

fn allowed(package: &str) -> Option<Uses> {
    EDGES.iter().find(|(pattern, _)| matches(pattern, package)).map(|(_, uses)| *uses)
}

fn matches(pattern: &str, package: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => package.starts_with(start),
        None => package == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Package;
    use super::*;

    fn complaints(name: &str, uses: &[&str]) -> Vec<String> {
        let uses = uses.iter().map(|name| ((*name).to_owned(), 7)).collect();
        let package = Package { name: name.to_owned(), manifest: "crates/a/Cargo.toml".to_owned(), uses };
        let mut tree = Tree::default();
        tree.packages.push(package);
        run(&tree).complaints("edges")
    }

    #[test]
    fn an_edge_that_is_not_in_the_table_is_refused() {
        assert_eq!(complaints("execmem", &["execmem-types"]), Vec::<String>::new());
        assert_eq!(complaints("execmem-arch-mips", &["execmem-types"]), Vec::<String>::new());
        assert_eq!(complaints("execmem-cli", &["execmem", "execmem-sim"]), Vec::<String>::new());
        let [complaint] = &*complaints("execmem-sim", &["execmem"]) else { panic!("one complaint") };
        assert!(complaint.starts_with("crates/a/Cargo.toml:7: edges: execmem-sim must not depend on execmem;"));
    }

    #[test]
    fn a_package_that_is_not_in_the_table_is_refused() {
        assert!(complaints("execmem-new", &["execmem"])[0].contains("not in the table"));
    }
}
