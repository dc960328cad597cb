//! What became of mutants, in a file that the next run goes on from.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::Pass;

/// What the tests made of a mutant, the more is known the later in this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// Not tried yet.
    Open,
    /// The package's own tests passed.
    MissedByOwn,
    /// So did what is quick of the suite.
    MissedByQuick,
    /// All tests passed.
    Missed,
    /// A test failed.
    Caught,
    /// Tests did not end: that fails, too.
    Timeout,
    /// It does not compile.
    Unviable,
}

/// The outcomes of a package, by the name of the mutant.
#[derive(Debug, Default)]
pub(super) struct Known {
    file: PathBuf,
    outcomes: BTreeMap<String, Outcome>,
}

/// The lists that cargo-mutants writes, each as it goes.
const LISTS: [(&str, Outcome); 4] = [
    ("caught.txt", Outcome::Caught),
    ("timeout.txt", Outcome::Timeout),
    ("unviable.txt", Outcome::Unviable),
    ("missed.txt", Outcome::Missed),
];

impl Known {
    /// Reads what earlier runs found.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let file = folder.join("known.toml");
        let Ok(text) = fs::read_to_string(&file) else { return Ok(Known { file, ..Known::default() }) };
        let outcomes = toml::from_str(&text).with_context(|| format!("in {}", file.display()))?;
        Ok(Known { file, outcomes })
    }

    /// Whether a pass has something to say about a mutant.
    pub(super) fn is_open(&self, name: &str, pass: Pass) -> bool {
        match self.of(name) {
            Outcome::Open => true,
            Outcome::MissedByOwn => pass == Pass::Quick,
            Outcome::MissedByQuick => pass == Pass::Whole,
            Outcome::Caught | Outcome::Timeout | Outcome::Unviable | Outcome::Missed => false,
        }
    }

    pub(super) fn of(&self, name: &str) -> Outcome {
        self.outcomes.get(name).copied().unwrap_or(Outcome::Open)
    }

    /// Adds what a pass wrote for a package, as far as nothing better is known, and keeps all of it.
    pub(super) fn absorb(&mut self, package: &Path, pass: Pass) -> Result<()> {
        for (list, outcome) in LISTS {
            let file = pass.folder(package).join("mutants.out").join(list);
            let Ok(text) = fs::read_to_string(file) else { continue };
            let outcome = match (outcome, pass) {
                (Outcome::Missed, Pass::Own) => Outcome::MissedByOwn,
                (Outcome::Missed, Pass::Quick) => Outcome::MissedByQuick,
                (outcome, _) => outcome,
            };
            for name in text.lines() {
                let known = self.outcomes.entry(name.to_owned()).or_insert(outcome);
                *known = outcome.max(*known);
            }
        }
        fs::write(&self.file, toml::to_string(&self.outcomes)?)
            .with_context(|| format!("writing {}", self.file.display()))
    }
}

/// A mutant's name without line and column: `FILE: what is changed`.
pub(super) fn without_lines(name: &str) -> String {
    let mut parts = name.splitn(4, ':');
    match (parts.next(), parts.nth(2)) {
        (Some(file), Some(change)) => format!("{file}:{change}"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_lines_keeps_the_rest() {
        assert_eq!(without_lines("a/b.rs:12:3: replace A::f with ()"), "a/b.rs: replace A::f with ()");
        assert_eq!(without_lines("nothing"), "nothing");
    }

    #[test]
    fn what_one_pass_missed_is_open_to_the_next_alone() {
        let folder = std::env::temp_dir().join(format!("execmem-mutants-{}", std::process::id()));
        let lists = Pass::Own.folder(&folder).join("mutants.out");
        fs::create_dir_all(&lists).expect("a folder");
        fs::write(lists.join("missed.txt"), "a\n").expect("a file");
        fs::write(lists.join("caught.txt"), "b\n").expect("a file");
        let mut known = Known::read(&folder).expect("nothing");
        known.absorb(&folder, Pass::Own).expect("files");
        let again = Known::read(&folder).expect("what was absorbed");
        fs::remove_dir_all(&folder).expect("ours");
        for known in [known, again] {
            let open = |name| Pass::ALL.map(|pass| known.is_open(name, pass));
            assert_eq!([open("a"), open("b"), open("c")], [[false, true, false], [false; 3], [true; 3]]);
            assert_eq!((known.of("a"), known.of("b")), (Outcome::MissedByOwn, Outcome::Caught));
        }
    }
}
