//! What happens, in order: the same events for every policy.

use std::collections::BTreeSet;

use execmem_sim::Random;

use crate::workload;

/// Start of the random numbers by which victims and their successors are chosen.
const CHURN_SEED: u64 = 5;

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Step {
    /// The load of this number comes, under a name of its own.
    Load { id: u64, load: usize },
    /// It goes, if it came.
    Unload { id: u64 },
    /// A part of the run is over: everything under way is finished.
    Mark(&'static str),
    /// Translation caches are looked at.
    Look,
    /// What is kept for later goes back.
    Settle,
}

/// Everything that happens.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    /// With the moment in seconds, where there is one.
    pub(crate) steps: Vec<(Option<f64>, Step)>,
    /// The part at whose end the values of a moment are read.
    pub(crate) moment: &'static str,
    next: u64,
}

impl Script {
    /// Loads and unloads.
    pub(crate) fn events(&self) -> usize {
        let is_event = |step: &Step| matches!(step, Step::Load { .. } | Step::Unload { .. });
        self.steps.iter().filter(|(_, step)| is_event(step)).count()
    }

    /// A script that begins at boot.
    pub(crate) fn new() -> Self {
        Script { steps: vec![(None, Step::Mark("boot"))], moment: "boot", next: 0 }
    }

    /// Adds a step that has no time.
    pub(crate) fn step(&mut self, step: Step) {
        self.steps.push((None, step));
    }

    /// Adds a load, and returns the name it has.
    pub(crate) fn load(&mut self, seconds: Option<f64>, load: usize) -> u64 {
        let id = self.next;
        self.next += 1;
        self.steps.push((seconds, Step::Load { id, load }));
        id
    }

    /// Adds the loads of a part and its mark, unless there are none.
    pub(crate) fn part(&mut self, mark: &'static str, loads: impl Iterator<Item = usize>) {
        let before = self.steps.len();
        for load in loads {
            self.load(None, load);
        }
        if self.steps.len() > before {
            self.step(Step::Mark(mark));
            if self.moment == "boot" {
                self.moment = mark;
            }
        }
    }

    /// Replaces `count` of what is there by others of the same list; the first `candidates` loads have names equal to
    /// their numbers.
    pub(crate) fn churn(&mut self, count: u32, candidates: &[usize]) {
        let Ok(bound) = u32::try_from(candidates.len()) else { return };
        if count == 0 || bound == 0 {
            return;
        }
        let mut live: Vec<u64> = (0..u64::from(bound)).collect();
        let mut random = Random::new(CHURN_SEED);
        let mut pick = || usize::try_from(workload::below(&mut random, bound)).unwrap_or(0);
        for _ in 0..count {
            let (victim, load) = (pick(), candidates[pick()]);
            self.step(Step::Unload { id: live[victim] });
            live[victim] = self.load(None, load);
        }
        self.step(Step::Mark("churn"));
    }

    /// Unloads everything that is there, in the order it came, and ends.
    pub(crate) fn unload(&mut self) {
        let mut live = BTreeSet::new();
        for (_, step) in &self.steps {
            match step {
                Step::Load { id, .. } => drop(live.insert(*id)),
                Step::Unload { id } => drop(live.remove(id)),
                _ => {}
            }
        }
        for id in live {
            self.step(Step::Unload { id });
        }
        self.step(Step::Settle);
        self.step(Step::Mark("unloaded"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_without_loads_have_no_mark_and_the_first_is_the_moment() {
        let mut script = Script::new();
        script.part("modules", 0..0);
        script.part("programs", 0..2);
        script.churn(3, &[0, 1]);
        script.unload();
        let marks: Vec<_> = script
            .steps
            .iter()
            .filter_map(|(_, step)| if let Step::Mark(mark) = step { Some(*mark) } else { None })
            .collect();
        assert_eq!((marks, script.moment), (vec!["boot", "programs", "churn", "unloaded"], "programs"));
        let unloads = script.steps.iter().filter(|(_, step)| matches!(step, Step::Unload { .. })).count();
        assert_eq!(unloads, 5, "every load is unloaded once");
    }
}
