//! The README stays short and says how to run and test.

use super::findings::Findings;
use super::tree::Tree;

const PATH: &str = "README.md";
const LINES: usize = 120;

/// What it must contain.
const COMMANDS: [&str; 2] = ["cargo run --release -- run", "cargo test --workspace"];

pub(super) fn run(tree: &Tree) -> Findings {
    let mut findings = Findings::default();
    let Some(text) = tree.text(PATH) else {
        findings.complain(PATH, 1, "the file is missing; write it");
        return findings;
    };
    let lines = text.lines().count();
    findings.saw("lines", lines);
    if lines > LINES {
        findings.complain(PATH, LINES, format!("the file has {lines} lines, the limit is {LINES}; move detail away"));
    }
    for command in COMMANDS.iter().filter(|command| !text.contains(**command)) {
        findings.complain(PATH, 1, format!("`{command}` is missing; say how to use it"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_short_and_has_the_commands() {
        let good = "`cargo run --release -- run`\n`cargo test --workspace`\n";
        let complaints = |text: &str| run(&Tree::of(&[("README.md", text)])).complaints("readme");
        assert_eq!(complaints(good), Vec::<String>::new());
        assert!(complaints(&good.replace("test", "build"))[0].contains("`cargo test --workspace` is missing"));
        assert!(complaints(&good.replace("-- run", ""))[0].contains("-- run` is missing"));
        assert!(complaints(&format!("{good}{}", "\n".repeat(LINES)))[0].contains("has 122 lines"));
    }
}
