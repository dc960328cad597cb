//! What was skipped, from the programs that run tests to the one that lists it: a file a test.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::need::Missing;

/// A test that was skipped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skipped {
    /// The program and the test.
    pub test: String,
    /// What it lacked.
    pub missing: Missing,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "skipped: {} — {}", self.test, self.missing.reason)
    }
}

/// The folder of records: `skipped/PROGRAM/TEST` in a folder that every program of tests knows, cargo's for their files.
#[derive(Debug, Clone)]
pub struct Records(PathBuf);

impl Records {
    /// The records below cargo's folder for the files of tests.
    #[must_use]
    pub fn below(folder: &Path) -> Self {
        Records(folder.join("skipped"))
    }

    /// Every test that was skipped when it ran last, in order. No folder means none.
    ///
    /// # Errors
    ///
    /// Of reading.
    pub fn list(&self) -> io::Result<Vec<Skipped>> {
        let mut found = Vec::new();
        for program in entries(&self.0)? {
            for file in entries(&program)? {
                let text = fs::read_to_string(&file)?;
                let (need, reason) = text.split_once('\n').unwrap_or(("", &text));
                let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let test = format!("{} {}", name(&program), name(&file));
                found.push(Skipped { test, missing: Missing { need: need.to_owned(), reason: reason.to_owned() } });
            }
        }
        found.sort();
        Ok(found)
    }

    /// Forgets every test of a program; of all without one.
    ///
    /// # Errors
    ///
    /// Of removing.
    pub fn forget(&self, program: &str) -> io::Result<()> {
        missing_is_fine(fs::remove_dir_all(self.0.join(program)))
    }

    /// Notes that a test was skipped, and for lack of what, or that it was not.
    ///
    /// # Errors
    ///
    /// Of writing.
    pub fn note(&self, program: &str, test: &str, missing: Option<&Missing>) -> io::Result<()> {
        let folder = self.0.join(program);
        let Some(Missing { need, reason }) = missing else {
            return missing_is_fine(fs::remove_file(folder.join(test)));
        };
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(test), format!("{need}\n{reason}"))
    }
}

fn missing_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    outcome.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// What is in a folder, nothing if there is none.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| Ok(entry?.path())).collect(),
    }
}
