//! What a test needs, and how it ends where that is missing.

use std::panic::resume_unwind;

use crate::tools::Tool;

/// Something a test needs: met, or missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need(Option<Missing>);

/// A need that is not met. Unwinds from a test to its harness.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// The program, or the command that fetches data. Empty for what no build task can bring.
    pub need: String,
    /// Why the test cannot run, and what to do.
    pub reason: String,
}

impl Need {
    fn new(is_met: bool, need: &str, reason: String) -> Self {
        Need((!is_met).then(|| Missing { need: need.to_owned(), reason }))
    }

    /// What is not there, `None` if the need is met.
    #[must_use]
    pub fn missing(&self) -> Option<&Missing> {
        self.0.as_ref()
    }
}

/// A program, or a file at a fixed place, of [`TOOLS`](crate::TOOLS).
///
/// # Panics
///
/// If the table has no such program: `cargo xtask install` would not install it.
#[must_use]
pub fn tool(file: &str) -> Need {
    let tool = Tool::named(file).unwrap_or_else(|| panic!("{file} is not in the table of tools; add it"));
    let reason = format!("{file} is not installed: apt-get install {}", tool.package);
    Need::new(tool.is_installed(), file, reason)
}

/// Data that a build task fetches, known by the command.
#[must_use]
pub fn fetched(is_there: bool, command: &str) -> Need {
    Need::new(is_there, command, format!("nothing is fetched: {command}"))
}

/// Anything else, such as a feature of the kernel. `reason` says what is missing if the condition does not hold.
#[must_use]
pub fn condition(holds: bool, reason: &str) -> Need {
    Need::new(holds, "", reason.to_owned())
}

/// Skips the test that calls this unless the need is met. Unwinds; in a program that [`run`](crate::run) does not run,
/// that fails the test.
pub fn unless(need: Need) {
    if let Some(missing) = need.0 {
        resume_unwind(Box::new(missing));
    }
}

/// Skips the test that calls this if the program of tests that printed `output` skipped one: a test whose body runs in a
/// process of its own hands on what came of it.
pub fn relay(output: &str) {
    let reason = output.lines().find_map(|line| line.split_once(" ... ignored (")?.1.strip_suffix(')'));
    unless(condition(reason.is_none(), reason.unwrap_or_default()));
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    fn skipped(test: impl FnOnce() + std::panic::UnwindSafe) -> Option<Missing> {
        catch_unwind(test).err().map(|payload| *payload.downcast::<Missing>().expect("not a panic"))
    }

    #[test]
    fn a_test_ends_where_its_first_need_is_missing() {
        let missing = skipped(|| {
            unless(condition(true, "one"));
            unless(condition(false, "two"));
            unreachable!("a need is missing");
        });
        assert_eq!(missing, Some(Missing { need: String::new(), reason: "two".to_owned() }));
        let command = skipped(|| unless(fetched(false, "cargo fetch"))).expect("missing");
        assert_eq!((&*command.need, &*command.reason), ("cargo fetch", "nothing is fetched: cargo fetch"));
    }

    #[test]
    fn a_program_that_is_in_no_table_is_a_mistake() {
        assert!(catch_unwind(|| tool("no-such-program")).is_err());
    }

    #[test]
    fn what_a_process_of_its_own_skipped_is_skipped() {
        assert_eq!(skipped(|| relay("test a ... ok\n")), None);
        let missing = skipped(|| relay("running 1 test\ntest a ... ignored (no (such) kernel)\n")).expect("skipped");
        assert_eq!(missing.reason, "no (such) kernel");
    }
}
