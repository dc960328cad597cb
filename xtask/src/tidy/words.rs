//! Comments name what acts: callers, threads, processors, blocks.

use super::findings::Findings;
use super::tree::{Source, Tree};

/// Words that name no one in particular.
const VAGUE: [&str; 5] = ["who", "whoever", "whom", "nobody", "somebody"];

/// How many of 10,000 words of comments may be such.
const MOST_IN_10_000: usize = 5;

pub(super) fn run(tree: &Tree) -> Findings {
    let mut findings = Findings::default();
    let (mut words, mut vague) = (0, Vec::new());
    for source in &tree.sources {
        for (line, comment) in comments(source) {
            for word in comment.split(|c: char| !(c.is_alphabetic() || c == '\'')).filter(|word| !word.is_empty()) {
                words += 1;
                if VAGUE.contains(&word.to_lowercase().as_str()) {
                    vague.push((&source.path, line, word));
                }
            }
        }
    }
    findings.saw("words of comments", words);
    if vague.len() * 10_000 > words * MOST_IN_10_000 {
        for (path, line, word) in vague {
            let message = format!("`{word}`: name the caller, thread or processor; there are too many such words");
            findings.complain(path, line, message);
        }
    }
    findings
}

/// The comments of a file by line, those behind code too.
fn comments(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(source.text.lines()).filter_map(|(line, text)| {
        let text = text.trim_start();
        let own = text.strip_prefix("//");
        let comment = own.or_else(|| text.split_once(" // ").map(|(_, comment)| comment))?;
        Some((line, comment))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(text: &str) -> Vec<String> {
        run(&Tree::of(&[("a.rs", text)])).complaints("words")
    }

    #[test]
    fn vague_words_in_comments_are_counted() {
        let [complaint] = &*complaints("//! Words.\nfn f() {} // Whoever calls it.") else { panic!("one") };
        assert!(complaint.starts_with("a.rs:2: words: `Whoever`"), "{complaint}");
        assert_eq!(complaints("//! The caller.\nfn who() { g(\"nobody\") }"), Vec::<String>::new());
        let enough = format!("//! {}\n//! Nobody.", "word ".repeat(2000));
        assert_eq!(complaints(&enough), Vec::<String>::new(), "five in 10,000");
    }
}
