//! Runs the script on a policy, and looks at it in between.

use std::collections::{BTreeMap, HashMap, VecDeque};

use anyhow::{Context as _, Result};
use execmem::Kind;
use execmem_sim::Refusal;
use execmem_sim::policy::{Load, Policy};
use execmem_sim::trace::Trace;
use indicatif::ProgressBar;

use super::layout::{Recorder, State, entries};
use super::load::Loads;
use super::outcome::{DirectOutcome, Mark, Outcome, Sample, TlbOutcome, by_bytes, splits_and_merges};
use super::script::Step;

/// Events between two looks at the direct map.
const EVENTS_PER_SAMPLE: u64 = 16;

/// The trace for the translation caches. Zipf's exponent of one is what function profiles of kernels come close to.
const TRACE: Trace = Trace {
    calls: 0,
    exponent: 1.0,
    seed: 11,
    competing_pages: 0,
    only: None,
    direct_base: 0xffff_8880_0000_0000,
    physical_bytes: 0,
};
/// Pages of code, and as many of data, of a program that competes.
const COMPETING_PAGES: u64 = 300;

/// How the script is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Calls in each trace.
    pub(crate) calls: u64,
    /// Memory of the machine.
    pub(crate) physical_bytes: u64,
    /// Loads under way at once.
    pub(crate) parallel: usize,
    /// Memory runs short after so many events.
    pub(crate) pressure: Option<u64>,
    /// The machine has a direct map.
    pub(crate) has_direct_map: bool,
    /// The machine's translation caches are known.
    pub(crate) has_tlbs: bool,
}

/// A run of one policy.
pub(crate) struct Replay<'a> {
    policy: &'a mut dyn Policy,
    name: &'static str,
    plan: Plan,
    loads: &'a Loads,
    large_bytes_at_boot: u64,
    unit: u64,
    /// The part of the run that is under way, by the mark that will end it.
    mark: &'static str,
    seconds: Option<f64>,
    /// Loads and unloads that were done, and that were wanted.
    events: u64,
    wanted: u64,
    refused: u64,
    /// What is loaded: the number of the load.
    live: HashMap<u64, usize>,
    /// What is loaded and not initialised yet, oldest first.
    coming: VecDeque<u64>,
    tlb: Option<TlbOutcome>,
    marks: Vec<Mark>,
    history: Vec<Sample>,
    recorder: Recorder,
    bar: &'a ProgressBar,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(
        policy: &'a mut dyn Policy,
        name: &'static str,
        plan: Plan,
        loads: &'a Loads,
        bar: &'a ProgressBar,
    ) -> Self {
        Replay {
            large_bytes_at_boot: policy.sim().direct_map().large_bytes,
            unit: policy.sim().large_page().bytes(),
            policy,
            name,
            plan,
            loads,
            mark: "boot",
            seconds: None,
            events: 0,
            wanted: 0,
            refused: 0,
            live: HashMap::new(),
            coming: VecDeque::new(),
            tlb: None,
            marks: Vec::new(),
            history: Vec::new(),
            recorder: Recorder::new(loads.script.events()),
            bar,
        }
    }

    /// Runs everything.
    pub(crate) fn run(mut self, about: &'static str) -> Result<Outcome> {
        let loads = self.loads;
        let steps = &loads.script.steps;
        for (index, (seconds, step)) in steps.iter().enumerate() {
            self.seconds = seconds.or(self.seconds);
            match *step {
                Step::Load { id, load } => {
                    self.mark = next_mark(&steps[index..]);
                    self.load(id, load, &loads.all[load])?;
                    self.note_some();
                }
                Step::Unload { id } => {
                    self.mark = next_mark(&steps[index..]);
                    self.free(id)?;
                    self.note_some();
                }
                Step::Mark(mark) => {
                    self.finish_all(0)?;
                    self.end(mark);
                }
                Step::Look => self.tlb = self.plan.has_tlbs.then(|| self.look()),
                Step::Settle => self.policy.settle(),
            }
            self.bar.inc(1);
        }
        self.outcome(loads.script.moment, about)
    }

    fn outcome(self, moment: &str, about: &'static str) -> Result<Outcome> {
        let at = self.marks.iter().find(|mark| mark.mark == moment).context("the mark of the moment")?.clone();
        let last = self.marks.last().context("a last mark")?;
        let direct_map =
            DirectOutcome { leaves: at.direct_map, lost: at.direct_map_lost, lost_for_good: last.direct_map_lost };
        Ok(Outcome {
            name: self.name,
            about,
            is_comparable: self.refused == 0,
            mappings: at.mappings,
            direct_map: self.plan.has_direct_map.then_some(direct_map),
            splits: last.splits,
            merges: last.merges,
            flushes: last.flushes,
            code_syncs: last.code_syncs,
            bytes_mapped: at.bytes_mapped,
            bytes_requested: at.bytes_requested,
            itlb_misses: self.tlb.as_ref().map(|tlb| tlb.idle.itlb_misses),
            dtlb_misses: self.tlb.as_ref().map(|tlb| tlb.idle.dtlb_misses),
            tlb: self.tlb,
            refused: self.refused,
            marks: self.marks,
            history: self.history,
            layout: self.recorder.finish(),
        })
    }

    fn look(&self) -> TlbOutcome {
        let trace = Trace { calls: self.plan.calls, physical_bytes: self.plan.physical_bytes, ..TRACE };
        let competing = Trace { competing_pages: COMPETING_PAGES, ..trace };
        let programs = Trace { only: Some(Kind::Bpf), ..competing };
        let (code_entries, data_entries) = entries(&*self.policy);
        TlbOutcome {
            code_entries,
            data_entries,
            idle: trace.run(&*self.policy).into(),
            competing: competing.run(&*self.policy).into(),
            programs: programs.run(&*self.policy).into(),
        }
    }

    fn load(&mut self, id: u64, number: usize, load: &Load) -> Result<()> {
        match self.policy.load(id, load) {
            Ok(()) => {
                self.live.insert(id, number);
                self.coming.push_back(id);
                self.finish_all(self.plan.parallel - 1)?;
            }
            Err(Refusal::NoRoom { .. } | Refusal::Backend(_)) => self.refused += 1,
            Err(refusal) => return Err(refusal).with_context(|| format!("{}: {}", self.name, load.name)),
        }
        self.count();
        Ok(())
    }

    /// Initialises the oldest loads until `left` are under way.
    fn finish_all(&mut self, left: usize) -> Result<()> {
        while self.coming.len() > left {
            let Some(id) = self.coming.pop_front() else { break };
            self.policy.finish(id).with_context(|| format!("{}: load {id}", self.name))?;
        }
        Ok(())
    }

    fn free(&mut self, id: u64) -> Result<()> {
        if self.coming.contains(&id) {
            self.finish_all(0)?;
        }
        if self.live.remove(&id).is_some() {
            self.policy.unload(id).with_context(|| format!("{}: load {id}", self.name))?;
            self.count();
        }
        Ok(())
    }

    fn count(&mut self) {
        self.events += 1;
        if self.plan.pressure.is_some_and(|pressure| self.events.is_multiple_of(pressure)) {
            self.policy.settle();
        }
    }

    /// Notes the state after some of the events: the same for every policy, whatever it refused.
    fn note_some(&mut self) {
        self.wanted += 1;
        if self.wanted.is_multiple_of(EVENTS_PER_SAMPLE) {
            self.sample();
        }
        if self.recorder.wants(self.wanted) {
            self.note(None);
        }
    }

    fn note(&mut self, mark: Option<&'static str>) {
        let state = State { event: self.wanted, seconds: self.seconds, mark };
        self.recorder.note(&*self.policy, &self.live, state);
    }

    fn lost(&self, large_bytes: u64) -> u64 {
        (self.large_bytes_at_boot - large_bytes) / self.unit
    }

    fn sample(&mut self) {
        let direct = self.policy.sim().direct_map();
        let small = self.policy.sim().machine().page();
        self.history.push(Sample {
            event: self.wanted,
            seconds: self.seconds,
            mark: self.mark,
            lost: self.lost(direct.large_bytes),
            small_leaves: direct.leaves.get(&small).copied().unwrap_or(0),
        });
    }

    fn end(&mut self, mark: &'static str) {
        self.mark = mark;
        self.sample();
        self.note(Some(mark));
        let sim = self.policy.sim();
        let (direct, counts) = (sim.direct_map(), sim.counts());
        let mappings: BTreeMap<u64, u64> =
            sim.leaves().into_iter().map(|(size, count)| (size.bytes(), count)).collect();
        let (splits, merges) = splits_and_merges(&counts);
        self.marks.push(Mark {
            mark,
            bytes_mapped: mappings.iter().map(|(size, count)| size * count).sum(),
            bytes_requested: self.policy.placed().iter().map(|part| part.bytes).sum(),
            mappings,
            direct_map: by_bytes(&direct),
            direct_map_lost: self.lost(direct.large_bytes),
            refused: self.refused,
            splits,
            merges,
            direct_map_splits: counts.direct_splits,
            direct_map_merges: counts.direct_merges,
            flushes: counts.global_flushes,
            code_syncs: counts.code_syncs,
            permission_changes: counts.permission_changes,
            cached_bytes: sim.cached_bytes().0,
            wx_bytes: sim.wx_bytes(),
        });
    }
}

/// The mark that ends the part which these steps begin in.
fn next_mark(steps: &[(Option<f64>, Step)]) -> &'static str {
    let found = steps.iter().find_map(|(_, step)| match step {
        Step::Mark(mark) => Some(*mark),
        _ => None,
    });
    found.unwrap_or("end")
}
