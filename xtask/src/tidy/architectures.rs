//! The engine and the ranges below it know no architecture; types and the simulator name one only in docs, where it is
//! the source of a fact.

use super::findings::Findings;
use super::tokens::{Token, TokenKind};
use super::tree::{Source, Tree};

/// Where no architecture is named.
const FOLDERS: [&str; 2] = ["crates/engine/src/", "crates/range/src/"];

/// Where no code names an architecture, and docs may.
const CODE_FOLDERS: [&str; 2] = ["crates/sim/src/", "crates/types/src/"];

/// The names by which clients choose code of their own.
const NAMES_FILE: &str = "crates/types/src/isa.rs";

/// Where code may depend on the architecture it is compiled for.
const TARGET_FOLDERS: [&str; 3] = ["crates/bare/", "crates/linux/", "tests/"];

/// Names beside those of the files in configs/arch.
const NAMES: [&str; 14] = [
    "x86",
    "arm64",
    "aarch64",
    "arm",
    "powerpc",
    "ppc",
    "riscv",
    "mips",
    "s390",
    "s390x",
    "loongarch",
    "sparc",
    "nios2",
    "parisc",
];

/// The crate that examples take their table from.
const EXAMPLE_CRATE: &str = "execmem_arch_x86";

pub(super) fn run(tree: &Tree) -> Findings {
    let mut findings = Findings::default();
    let lies_in = |source: &Source, folders: &[&str]| folders.iter().any(|folder| source.path.starts_with(folder));
    let neutral: Vec<_> = tree.sources.iter().filter(|source| lies_in(source, &FOLDERS)).collect();
    let quiet: Vec<_> =
        tree.sources.iter().filter(|source| lies_in(source, &CODE_FOLDERS) && source.path != NAMES_FILE).collect();
    let portable: Vec<_> = tree.sources.iter().filter(|source| !lies_in(source, &TARGET_FOLDERS)).collect();
    findings.saw("files without architectures", neutral.len());
    findings.saw("files that name none in code", quiet.len());
    findings.saw("portable files", portable.len());
    findings.saw("files of facts", tree.architectures.len());
    let known: Vec<_> = tree.architectures.iter().flat_map(|name| name.split('-')).chain(NAMES).collect();
    let all = neutral.iter().flat_map(|source| source.tokens.iter().map(|token| (source.path.as_str(), token)));
    let code = quiet.iter().flat_map(|source| source.tokens.iter().map(|token| (source.path.as_str(), token)));
    for (path, token) in all.chain(code.filter(|(_, token)| token.kind != TokenKind::Doc)) {
        for (line, word) in named(token, &known) {
            let message = format!("`{word}` names an architecture; make the difference a row of its table");
            findings.complain(path, line, message);
        }
    }
    for source in portable {
        for line in source.tokens.iter().flat_map(target_lines) {
            let message =
                "`target_arch` outside crates/bare, crates/linux and tests/; make the difference a row of a table";
            findings.complain(&source.path, line, message);
        }
    }
    findings
}

/// The architectures named in a token.
fn named(token: &Token, known: &[&str]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, text) in token.lines() {
        for name in names(text).filter(|name| *name != EXAMPLE_CRATE) {
            let words = words(name).into_iter().map(|word| word.to_lowercase());
            found.extend(words.filter(|word| is_architecture(word, known)).map(|word| (line, word)));
        }
    }
    found
}

/// Where code or docs depend on the target. Strings may say so: they compile nothing.
fn target_lines(token: &Token) -> Vec<usize> {
    if token.kind == TokenKind::Literal {
        return Vec::new();
    }
    token.lines().filter(|(_, text)| names(text).any(|name| name == "target_arch")).map(|(line, _)| line).collect()
}

/// What could be identifiers in a text.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// The parts of `some_name`, and of those the parts of `SomeName`.
fn words(name: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for part in name.split('_') {
        words.push(part);
        let mut start = 0;
        for (index, pair) in part.as_bytes().windows(2).enumerate() {
            if !pair[0].is_ascii_uppercase() && pair[1].is_ascii_uppercase() {
                words.push(&part[start..=index]);
                start = index + 1;
            }
        }
        if start > 0 {
            words.push(&part[start..]);
        }
    }
    words
}

/// Whether a word is a name, or one with a number of bits behind it.
fn is_architecture(word: &str, known: &[&str]) -> bool {
    known.contains(&word) || known.contains(&word.trim_end_matches(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<String> {
        let others = [("crates/range/src/lib.rs", ""), ("crates/types/src/lib.rs", "")];
        run(&Tree::of(&[(path, text), others[0], others[1]])).complaints("architectures")
    }

    #[test]
    fn architectures_are_found_as_whole_words() {
        let named = [
            "\nfn is_arm64() {}",
            "\nstruct RiscvTable;",
            "\nstruct X86Boot;",
            "\nmod riscv64 {}",
            "\nconst TABLE: u8 = TABLE_X86;",
            "//! About\n//! PowerPC.",
            "const A: &str =\n \"on s390\";",
            "m! {\n \"sparc\" }",
        ];
        for text in named {
            let found = complaints("crates/engine/src/a.rs", text);
            assert!(found[0].starts_with("crates/engine/src/a.rs:2: architectures: `"), "{text}: {found:?}");
        }
        let free = "//! use execmem_arch_x86::TABLE; // an alarm, charm, 0x86\nfn disarmed() {}";
        assert_eq!(complaints("crates/engine/src/a.rs", free), Vec::<String>::new());
        assert_eq!(complaints("crates/clients/src/a.rs", "const X86: u8 = 1;"), Vec::<String>::new());
    }

    #[test]
    fn types_and_simulator_name_architectures_in_docs_only() {
        for path in ["crates/sim/src/a.rs", "crates/types/src/a.rs"] {
            assert_eq!(complaints(path, "//! Contiguous entries of arm64."), Vec::<String>::new());
            for text in
                ["\nconst X86: u8 = 1;", "\nfn f() { g(\"riscv64\") }", "\nstruct Alpha;", "\nmod quirks_8xx {}"]
            {
                assert!(complaints(path, text)[0].contains(":2: architectures: "), "{text}");
            }
        }
    }

    #[test]
    fn files_of_facts_add_names() {
        assert!(complaints("crates/engine/src/a.rs", "\nfn alpha() {}")[0].contains("`alpha` names an architecture"));
    }

    #[test]
    fn only_some_code_depends_on_the_target() {
        let text = "const A: &str = \"target_arch\";\n#[cfg(target_arch = \"x86_64\")] fn f() {}";
        assert!(complaints("crates/clients/src/a.rs", text)[0].starts_with("crates/clients/src/a.rs:2: "));
        assert_eq!(complaints("crates/clients/src/a.rs", text).len(), 1);
        assert_eq!(complaints("crates/linux/src/a.rs", text), Vec::<String>::new());
    }
}
