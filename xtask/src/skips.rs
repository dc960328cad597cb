//! What was skipped, for lack of something: by tests, which leave a record of it, and by tasks of this program.

use anyhow::{Context as _, Result, ensure};
use skip::{Need, Records, Skipped, Tool};

use crate::workspace;

/// The name under which tasks of this program leave records.
const TASKS: &str = "xtask";

/// The records of tests on this machine, and of those under emulation.
fn records() -> [Records; 2] {
    ["tmp", "cross/tmp"].map(|folder| Records::below(&workspace::output().join(folder)))
}

/// Forgets what was skipped earlier.
pub(crate) fn forget() -> Result<()> {
    records().iter().try_for_each(|records| records.forget("")).context("forgetting what was skipped")
}

/// Notes whether a task must be skipped. Returns whether it can be done.
pub(crate) fn note(task: &str, needs: &[Need]) -> Result<bool> {
    let missing = needs.iter().find_map(Need::missing);
    records()[0].note(TASKS, task, missing).context("noting what was skipped")?;
    Ok(missing.is_none())
}

/// Prints what was skipped, and why.
pub(crate) fn print() -> Result<Vec<Skipped>> {
    let mut all = Vec::new();
    for records in records() {
        all.extend(records.list().context("reading what was skipped")?);
    }
    println!("== {} skipped", all.len());
    all.iter().for_each(|skipped| println!("{skipped}"));
    Ok(all)
}

/// Fails if something that was installed or fetched was then reported missing.
pub(crate) fn check(skipped: &[Skipped], fetched: &[&str]) -> Result<()> {
    let is_installed = |need: &str| Tool::named(need).is_some_and(Tool::is_installed);
    let is_provided = |need: &str| fetched.contains(&need) || is_installed(need);
    let wrong: Vec<_> = skipped.iter().filter(|skipped| is_provided(&skipped.missing.need)).map(|s| &*s.test).collect();
    ensure!(wrong.is_empty(), "what these need was installed or fetched: {}", wrong.join(", "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use skip::Missing;

    use super::*;

    fn skipped(need: &str) -> Skipped {
        let missing = Missing { need: need.to_owned(), reason: "none".to_owned() };
        Skipped { test: format!("test of {need}"), missing }
    }

    #[test]
    fn what_ci_provides_may_not_be_missing() {
        let fetched = ["cargo xtask fetch-modules"];
        assert!(check(&[skipped(""), skipped("cargo xtask fetch-modules --arch arm64")], &fetched).is_ok());
        for need in ["as", "cargo xtask fetch-modules"] {
            let error = check(&[skipped(""), skipped(need)], &fetched).expect_err("provided").to_string();
            assert!(error.ends_with(&format!(": test of {need}")), "{error}");
        }
    }
}
