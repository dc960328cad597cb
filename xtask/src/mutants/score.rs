//! How many mutants the tests noticed, how sure that is, and why others live.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::known::{self, Outcome};
use crate::workspace;

/// Mutants that live for a reason: name without lines, and the reason.
const REASONS: &str = "tests/mutants.toml";

/// What came of the mutants of a package.
#[derive(Debug)]
pub(super) struct Score {
    package: &'static str,
    /// A test failed or did not end.
    noticed: usize,
    /// Did not compile.
    unviable: usize,
    /// Not tried.
    open: usize,
    missed: Vec<String>,
}

impl Score {
    pub(super) fn of(package: &'static str, outcomes: &[(String, Outcome)]) -> Self {
        let count = |of: &[Outcome]| outcomes.iter().filter(|(_, outcome)| of.contains(outcome)).count();
        let is_missed = |outcome| matches!(outcome, Outcome::Missed);
        Score {
            package,
            noticed: count(&[Outcome::Caught, Outcome::Timeout]),
            unviable: count(&[Outcome::Unviable]),
            open: count(&[Outcome::Open, Outcome::MissedByOwn, Outcome::MissedByQuick]),
            missed: outcomes.iter().filter(|(_, outcome)| is_missed(*outcome)).map(|(name, _)| name.clone()).collect(),
        }
    }

    fn tried(&self) -> usize {
        self.noticed + self.missed.len()
    }
}

/// Prints each score with the mutants that live, and fails if one lives without a reason.
pub(super) fn print(scores: &[Score]) -> Result<()> {
    let reasons = reasons()?;
    let mut unexplained = 0;
    for score in scores {
        let (low, high) = interval(score.noticed, score.tried());
        println!(
            "\n{}: {} of {} mutants noticed, {:.1} % (95 %: {:.1} to {:.1}); {} do not compile, {} not tried",
            score.package,
            score.noticed,
            score.tried(),
            percent(score.noticed, score.tried()),
            low * 100.0,
            high * 100.0,
            score.unviable,
            score.open,
        );
        for name in &score.missed {
            let reason = reasons.get(&known::without_lines(name));
            unexplained += usize::from(reason.is_none());
            println!("  {name}\n    {}", reason.map_or("NO REASON", String::as_str));
        }
    }
    ensure!(unexplained == 0, "{unexplained} mutants live without a reason in {REASONS}");
    Ok(())
}

fn reasons() -> Result<BTreeMap<String, String>> {
    let text = fs::read_to_string(workspace::root().join(REASONS)).with_context(|| format!("reading {REASONS}"))?;
    toml::from_str(&text).with_context(|| format!("in {REASONS}"))
}

fn percent(part: usize, whole: usize) -> f64 {
    ratio(part, whole.max(1)) * 100.0
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

/// Where the share of all mutants lies, by Wilson's score interval at 95 %.
#[expect(clippy::cast_precision_loss, reason = "a few thousand")]
fn interval(noticed: usize, tried: usize) -> (f64, f64) {
    const Z: f64 = 1.96;
    if tried == 0 {
        return (0.0, 1.0);
    }
    let (share, count) = (ratio(noticed, tried), tried as f64);
    let middle = share + Z * Z / (2.0 * count);
    let spread = Z * (share * (1.0 - share) / count + Z * Z / (4.0 * count * count)).sqrt();
    let scale = 1.0 + Z * Z / count;
    ((middle - spread) / scale, (middle + spread) / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_tables() {
        // Wilson, 1927: 10 of 10 and 5 of 10.
        let (low, high) = interval(10, 10);
        assert!((low - 0.722).abs() < 0.001 && (high - 1.0).abs() < 0.001, "{low} {high}");
        let (low, high) = interval(5, 10);
        assert!((low - 0.237).abs() < 0.001 && (high - 0.763).abs() < 0.001, "{low} {high}");
        assert!(interval(0, 0).0.abs() < f64::EPSILON);
    }

    #[test]
    fn a_score_counts_what_was_tried() {
        let outcomes = [Outcome::Caught, Outcome::Timeout, Outcome::Unviable, Outcome::Missed, Outcome::Open];
        let named: Vec<_> = outcomes.iter().map(|outcome| (format!("{outcome:?}"), *outcome)).collect();
        let score = Score::of("a", &named);
        assert_eq!((score.noticed, score.tried(), score.unviable, score.open), (2, 3, 1, 1));
        assert_eq!(score.missed, ["Missed"]);
    }

    #[test]
    fn every_reason_names_a_file_that_is_there() {
        for (name, reason) in reasons().expect("the list") {
            let file = name.split(':').next().unwrap_or_default();
            assert!(workspace::root().join(file).is_file() && !reason.is_empty(), "{name}");
        }
    }
}
