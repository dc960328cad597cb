//! Printed samples in the documentation, against what the command prints.
//!
//! A sample is a `text` block after `<!-- sample: COMMAND -->`. Its lines are lines of the output, in that order; `...` stands
//! for any lines, and at the end of a line for the rest of it.

use super::support::{command, text};

skip::tests! {
    every_printed_sample_is_what_the_command_prints
}

/// Files with samples.
const FILES: [&str; 1] = ["README.md"];
/// Columns that samples are printed in.
const COLUMNS: &str = "140";
/// Starts of lines whose numbers are of the machine that ran the command: whether it has large pages, and where they are.
const VARYING: [&str; 3] = ["│ text ", "page-table entries ", "text in 2M pages "];

fn every_printed_sample_is_what_the_command_prints() {
    let mut samples = 0;
    for name in FILES {
        let path = format!("{}/../../{name}", env!("CARGO_MANIFEST_DIR"));
        let page = std::fs::read_to_string(&path).expect("a page");
        for part in page.split("<!-- sample: ").skip(1) {
            let (arguments, rest) = part.split_once(" -->\n```text\n").expect("a command and a block");
            let (sample, _) = rest.split_once("```").expect("the end of the block");
            check(name, arguments, sample);
            samples += 1;
        }
    }
    assert!(samples >= 2, "{samples} samples");
}

fn check(file: &str, arguments: &str, sample: &str) {
    let arguments: Vec<_> = arguments.split(' ').skip(1).collect();
    let output = command(&arguments).env("COLUMNS", COLUMNS).output().expect("the command");
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    let printed = text(&output.stdout);
    let mut lines = printed.lines();
    let mut is_next = false;
    for wanted in sample.lines() {
        if wanted == "..." {
            is_next = false;
            continue;
        }
        let found = if is_next {
            lines.next().is_some_and(|line| agrees(line, wanted))
        } else {
            lines.any(|line| agrees(line, wanted))
        };
        assert!(found, "{file}: `execmem {}` does not print\n{wanted}\nit prints\n{printed}", arguments.join(" "));
        is_next = true;
    }
}

fn agrees(line: &str, wanted: &str) -> bool {
    match wanted.strip_suffix("...") {
        Some(start) => line.starts_with(start),
        None if VARYING.iter().any(|start| wanted.starts_with(start)) => shape(line) == shape(wanted),
        None => line == wanted,
    }
}

/// A line without the numbers in it, and without what they take in width.
fn shape(line: &str) -> String {
    let words = line.split_whitespace().filter(|word| !word.starts_with(|char: char| char.is_ascii_digit()));
    let words = words.filter(|word| !matches!(*word, "×" | "+") && !word.ends_with("iB") && !word.ends_with(')'));
    words.filter(|word| !word.starts_with('(')).collect::<Vec<_>>().join(" ")
}
