//! Steps run one after the other until one fails.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::workspace;

/// One thing to do, and what it is called when it fails.
#[derive(Debug)]
pub(crate) struct Step {
    name: &'static str,
    action: Action,
}

#[derive(Debug)]
enum Action {
    Cargo { args: &'static [&'static str], environment: &'static [(&'static str, &'static str)] },
    Built { program: &'static str, args: &'static [&'static str] },
    Task(fn() -> Result<()>),
}

impl Step {
    /// A call of cargo.
    pub(crate) const fn cargo(name: &'static str, args: &'static [&'static str]) -> Self {
        Step { name, action: Action::Cargo { args, environment: &[] } }
    }

    /// A call of cargo with more environment.
    pub(crate) const fn cargo_with(
        name: &'static str,
        args: &'static [&'static str],
        environment: &'static [(&'static str, &'static str)],
    ) -> Self {
        Step { name, action: Action::Cargo { args, environment } }
    }

    /// A call of a program that was built with the tests.
    pub(crate) const fn built(name: &'static str, program: &'static str, args: &'static [&'static str]) -> Self {
        Step { name, action: Action::Built { program, args } }
    }

    /// A task of this program.
    pub(crate) const fn task(name: &'static str, task: fn() -> Result<()>) -> Self {
        Step { name, action: Action::Task(task) }
    }

    fn run(&self) -> Result<()> {
        println!("== {}", self.name);
        match self.action {
            Action::Cargo { args, environment } => workspace::run_with("cargo", args, environment),
            Action::Built { program, args } => workspace::run(&workspace::built(program), args),
            Action::Task(task) => task(),
        }
    }
}

/// Runs steps up to the first that fails, and prints how long each took.
pub(crate) fn run<'a>(steps: impl IntoIterator<Item = &'a Step>) -> Result<()> {
    let mut times = Vec::new();
    let outcome = steps.into_iter().try_for_each(|step| {
        let start = Instant::now();
        let outcome = step.run().with_context(|| format!("step `{}` failed", step.name));
        times.push((step.name, start.elapsed()));
        outcome
    });
    print_times(&times);
    outcome
}

fn print_times(times: &[(&str, Duration)]) {
    println!("== seconds");
    for (name, time) in times {
        println!("{:8.1}  {name}", time.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn the_first_failure_stops_and_is_named() {
        let steps = [
            Step::task("first", || Ok(())),
            Step::task("second", || bail!("no")),
            Step::task("third", || panic!("the second failed")),
        ];
        let error = run(&steps).unwrap_err();
        assert_eq!(format!("{error:#}"), "step `second` failed: no");
    }
}
