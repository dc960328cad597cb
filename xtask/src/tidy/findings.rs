//! What a rule has to say.

/// What a rule looked at, and what is wrong.
#[derive(Debug, Default)]
pub(super) struct Findings {
    counts: Vec<(&'static str, usize)>,
    violations: Vec<Violation>,
}

#[derive(Debug)]
struct Violation {
    path: String,
    line: usize,
    /// What is wrong, and what to do.
    message: String,
}

impl Findings {
    /// Notes that `count` things were looked at. Every call stands for something that must exist.
    pub(super) fn saw(&mut self, things: &'static str, count: usize) {
        self.counts.push((things, count));
    }

    /// Notes that something is wrong.
    pub(super) fn complain(&mut self, path: &str, line: usize, message: impl Into<String>) {
        self.violations.push(Violation { path: path.to_owned(), line, message: message.into() });
    }

    /// What was looked at, for people.
    pub(super) fn looked_at(&self) -> String {
        let counts: Vec<_> = self.counts.iter().map(|(things, count)| format!("{count} {things}")).collect();
        if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") }
    }

    /// A line for everything that is wrong, including things to look at that do not exist.
    pub(super) fn complaints(&self, rule: &str) -> Vec<String> {
        let wrong = self.violations.iter();
        let wrong = wrong.map(|Violation { path, line, message }| format!("{path}:{line}: {rule}: {message}"));
        let missing = self.counts.iter().filter(|(_, count)| *count == 0).map(|(things, _)| {
            format!("xtask/src/tidy.rs:1: {rule}: the rule found no {things} to look at; bring it up to date")
        });
        wrong.chain(missing).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_of_zero_is_a_complaint() {
        let mut findings = Findings::default();
        findings.saw("files", 3);
        assert_eq!(findings.complaints("rule"), Vec::<String>::new());
        findings.saw("edges", 0);
        assert!(findings.complaints("rule")[0].contains("found no edges"));
    }
}
