//! A trace as loads: every event at its time, and what was there before it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Result, ensure};
use execmem::Kind;
use execmem_sim::policy::Load;

use super::surveyed::{sections_of, split};
use super::{Loads, Rules, Script, Step, module, single};
use crate::compare::outcome::LoadOutcome;
use crate::output::printable;
use crate::survey::facts::{Event, Subject, Survey};

/// Names that an error lists.
const NAMES: usize = 5;

/// What is known by name, and what is loaded.
struct Replayed {
    rules: Rules,
    all: Vec<Load>,
    /// The load that a name stands for, where the trace does not say its size.
    known: HashMap<(Subject, String), usize>,
    /// What is live under a name, the latest last.
    live: BTreeMap<(Subject, String), Vec<u64>>,
    /// The loads of all, by the name they have in the script, and the bytes that are asked for.
    asked: HashMap<u64, u64>,
    bytes: u64,
    script: Script,
    /// Names whose size nothing says, and unloads of what was never there.
    unknown: BTreeSet<String>,
    strays: u64,
}

/// The loads of a trace.
///
/// # Errors
///
/// Names whose sizes neither the trace nor another input says.
pub(super) fn loads(survey: &Survey, name: String, rules: Rules) -> Result<Loads> {
    let mut replayed = Replayed::new(survey, rules)?;
    let before = replayed.load_what_was_there(survey);
    let mut fullest = (replayed.bytes, replayed.script.steps.len());
    for event in &survey.events {
        replayed.replay(event)?;
        if replayed.bytes > fullest.0 {
            fullest = (replayed.bytes, replayed.script.steps.len());
        }
    }
    let Replayed { all, mut script, unknown, strays, .. } = replayed;
    ensure!(
        unknown.is_empty(),
        "{} names of the trace have no size ({}): write it into the trace, or give --proc-modules, --modules, --csv or \
         --bpftool",
        unknown.len(),
        unknown.iter().take(NAMES).map(|name| printable(name)).collect::<Vec<_>>().join(", ")
    );
    script.step(Step::Mark("trace"));
    let at_fullest = [(None, Step::Mark("fullest")), (None, Step::Look)];
    script.steps.splice(fullest.1..fullest.1, at_fullest);
    script.moment = "fullest";
    script.unload();
    let count = |kind: Kind| all.iter().filter(|load| load.parts.first().is_some_and(|part| part.0 == kind)).count();
    let others = [Kind::Bpf, Kind::Kprobe, Kind::Ftrace].map(count);
    let outcome = LoadOutcome {
        modules_of: name,
        modules: all.len() - others.iter().sum::<usize>(),
        programs: others[0],
        probes: others[1],
        trampolines: others[2],
        events: survey.events.len(),
        ..LoadOutcome::default()
    };
    let mut notes = Vec::new();
    if before > 0 {
        notes.push(format!("{before} loads are listed and not loaded by the trace: they were there before it"));
    }
    if strays > 0 {
        notes.push(format!("{strays} unloads of the trace are of what was not there; they are passed over"));
    }
    Ok(Loads { all, script, outcome, notes, process: None })
}

impl Replayed {
    fn new(survey: &Survey, rules: Rules) -> Result<Self> {
        let mut replayed = Replayed {
            rules,
            all: Vec::new(),
            known: HashMap::new(),
            live: BTreeMap::new(),
            asked: HashMap::new(),
            bytes: 0,
            script: Script::new(),
            unknown: BTreeSet::new(),
            strays: 0,
        };
        for facts in &survey.modules {
            let load = module(facts.name.clone(), sections_of(facts, rules)?, rules);
            replayed.know(Subject::Module, load);
        }
        for (subject, kind, pieces) in [
            (Subject::Program, Kind::Bpf, &survey.programs),
            (Subject::Probe, Kind::Kprobe, &survey.probes),
            (Subject::Trampoline, Kind::Ftrace, &survey.trampolines),
        ] {
            for piece in pieces {
                replayed.know(subject, single(piece.name.clone(), kind, piece.bytes));
            }
        }
        Ok(replayed)
    }

    fn know(&mut self, subject: Subject, load: Load) {
        self.known.insert((subject, load.name.clone()), self.all.len());
        self.all.push(load);
    }

    /// Loads what is listed and whose first event in the trace is not that it is loaded. Returns how many.
    fn load_what_was_there(&mut self, survey: &Survey) -> usize {
        let mut first: HashMap<(Subject, &str), bool> = HashMap::new();
        for event in &survey.events {
            first.entry((event.subject, event.name.as_str())).or_insert(event.is_load);
        }
        let listed: BTreeMap<usize, (Subject, String)> =
            self.known.iter().map(|(key, load)| (*load, key.clone())).collect();
        let mut before = 0;
        for (load, key) in listed {
            if first.get(&(key.0, key.1.as_str())) != Some(&true) {
                self.load(None, key, load);
                before += 1;
            }
        }
        if before > 0 {
            self.script.step(Step::Mark("before"));
        }
        before
    }

    fn load(&mut self, seconds: Option<f64>, key: (Subject, String), load: usize) {
        let id = self.script.load(seconds, load);
        let bytes = self.all[load].parts.iter().map(|part| part.1).sum();
        self.asked.insert(id, bytes);
        self.bytes += bytes;
        self.live.entry(key).or_default().push(id);
    }

    fn replay(&mut self, event: &Event) -> Result<()> {
        let key = (event.subject, event.name.clone());
        if event.is_load {
            match self.load_of(event)? {
                Some(load) => self.load(Some(event.seconds), key, load),
                None => drop(self.unknown.insert(event.name.clone())),
            }
            return Ok(());
        }
        match self.live.get_mut(&key).and_then(Vec::pop) {
            Some(id) => {
                self.bytes -= self.asked.get(&id).copied().unwrap_or(0);
                self.script.steps.push((Some(event.seconds), Step::Unload { id }));
            }
            None => self.strays += 1,
        }
        Ok(())
    }

    /// What an event loads: as it says, or as is known by name.
    fn load_of(&mut self, event: &Event) -> Result<Option<usize>> {
        let name = event.name.clone();
        let kind = match event.subject {
            Subject::Module => Kind::Text,
            Subject::Program => Kind::Bpf,
            Subject::Probe => Kind::Kprobe,
            Subject::Trampoline => Kind::Ftrace,
        };
        let load = match (event.subject, event.sections, event.bytes) {
            (Subject::Module, Some(sections), _) => module(name, sections, self.rules),
            (Subject::Module, None, Some(bytes)) => module(name, split(bytes, self.rules)?, self.rules),
            (_, _, Some(bytes)) => single(name, kind, bytes),
            _ => return Ok(self.known.get(&(event.subject, name)).copied()),
        };
        self.all.push(load);
        Ok(Some(self.all.len() - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::{csv, trace};

    const RULES: Rules = Rules { release: (6, 12), page: 4096 };

    fn survey(trace: &str, csv: &str) -> Survey {
        let mut survey = Survey::new();
        survey.events = trace::parse(trace).expect("a trace").events;
        csv::parse(csv, &mut survey).expect("a table");
        survey
    }

    #[test]
    fn events_follow_in_time_and_the_fullest_moment_is_marked() {
        let trace =
            "1 module_load a\n2 bpf_load p 700\n3 bpf_load p 700\n4 bpf_free p\n5 module_free old\n6 module_free x\n";
        let loads = loads(&survey(trace, "name,text\na,5000\nold,100\n"), "t".to_owned(), RULES).expect("known sizes");
        let steps: Vec<_> = loads.script.steps.iter().map(|(_, step)| *step).collect();
        let load = |id, load| Step::Load { id, load };
        let expected = [
            Step::Mark("boot"),
            load(0, 1),
            Step::Mark("before"),
            load(1, 0),
            load(2, 2),
            load(3, 3),
            Step::Mark("fullest"),
            Step::Look,
            Step::Unload { id: 3 },
            Step::Unload { id: 0 },
            Step::Mark("trace"),
        ];
        assert_eq!(steps[..expected.len()], expected);
        assert_eq!(loads.script.steps[3].0, Some(1.0));
        assert_eq!((loads.outcome.modules, loads.outcome.programs, loads.outcome.events), (2, 2, 6));
        assert!(loads.notes[0].starts_with("1 loads are listed") && loads.notes[1].starts_with("1 unloads"));
    }

    #[test]
    fn names_without_a_size_are_listed() {
        let survey = survey("1 module_load a\n2 module_load b 4096\n", "name,text\nc,1\n");
        let error = loads(&survey, "t".to_owned(), RULES).expect_err("a has no size").to_string();
        assert!(error.starts_with("1 names of the trace have no size (a): "), "{error}");
    }
}
