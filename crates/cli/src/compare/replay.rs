//! Runs the same events on a policy, and looks at it in between.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Context as _, Result};
use execmem::Kind;
use execmem_sim::Refusal;
use execmem_sim::policy::{Load, Policy};
use execmem_sim::trace::Trace;

use super::load::Loads;
use super::outcome::{DirectOutcome, Mark, Outcome, Sample, TlbOutcome, by_bytes, splits_and_merges};
use super::placement;
use crate::workload::Random;

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

/// How much is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Modules and programs that are replaced.
    pub(crate) churn: u32,
    /// Calls in each trace.
    pub(crate) calls: u64,
    /// Memory of the machine.
    pub(crate) physical_bytes: u64,
    /// Loads under way at once.
    pub(crate) parallel: usize,
    /// Memory runs short after so many events.
    pub(crate) pressure: Option<u64>,
}

/// A run of one policy.
pub(crate) struct Replay<'a> {
    policy: &'a mut dyn Policy,
    name: &'static str,
    plan: Plan,
    large_bytes_at_boot: u64,
    unit: u64,
    mark: &'static str,
    events: u64,
    refused: u64,
    /// What is loaded, and the bytes of it that stay after initialisation.
    live: BTreeMap<u64, &'a Load>,
    /// What is loaded and not initialised yet, oldest first.
    coming: VecDeque<u64>,
    marks: Vec<Mark>,
    history: Vec<Sample>,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(policy: &'a mut dyn Policy, name: &'static str, plan: Plan) -> Self {
        Replay {
            large_bytes_at_boot: policy.sim().direct_map().large_bytes,
            unit: policy.sim().large_page().bytes(),
            policy,
            name,
            plan,
            mark: "boot",
            events: 0,
            refused: 0,
            live: BTreeMap::new(),
            coming: VecDeque::new(),
            marks: Vec::new(),
            history: Vec::new(),
        }
    }

    /// Runs everything.
    pub(crate) fn run(mut self, loads: &'a Loads, about: &'static str) -> Result<Outcome> {
        let plan = self.plan;
        self.end("boot");
        let mut next = 0;
        let groups = [
            ("modules", &loads.modules),
            ("programs", &loads.programs),
            ("probes", &loads.probes),
            ("trampolines", &loads.trampolines),
        ];
        for (mark, group) in groups {
            self.mark = mark;
            for load in group {
                self.load(next, load)?;
                next += 1;
            }
            self.finish_all(0)?;
            self.end(mark);
        }
        let trace = Trace { calls: plan.calls, physical_bytes: plan.physical_bytes, ..TRACE };
        let idle = trace.run(&*self.policy);
        let competing = Trace { competing_pages: COMPETING_PAGES, ..trace }.run(&*self.policy);
        let programs = Trace { only: Some(Kind::Bpf), competing_pages: COMPETING_PAGES, ..trace }.run(&*self.policy);
        let (code_entries, data_entries) = placement::entries(&*self.policy);
        let map = placement::blocks(&*self.policy, &self.live);
        self.churn(loads, plan.churn, next)?;
        self.unload()?;
        let modules = self.marks.iter().find(|mark| mark.mark == "modules").context("the mark of modules")?.clone();
        let last = self.marks.last().context("a last mark")?;
        Ok(Outcome {
            name: self.name,
            about,
            mappings: modules.mappings,
            direct_map: DirectOutcome {
                leaves: modules.direct_map,
                lost: modules.direct_map_lost,
                lost_for_good: last.direct_map_lost,
            },
            splits: last.splits,
            merges: last.merges,
            flushes: last.flushes,
            bytes_mapped: modules.bytes_mapped,
            bytes_requested: modules.bytes_requested,
            itlb_misses: idle.fetch_misses,
            dtlb_misses: idle.load_misses,
            tlb: TlbOutcome {
                code_entries,
                data_entries,
                idle: idle.into(),
                competing: competing.into(),
                programs: programs.into(),
            },
            refused: self.refused,
            marks: self.marks,
            history: self.history,
            map,
        })
    }

    fn load(&mut self, id: u64, load: &'a Load) -> Result<()> {
        match self.policy.load(id, load) {
            Ok(()) => {
                self.live.insert(id, load);
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
        if let Some(load) = self.live.remove(&id) {
            self.policy.unload(id).with_context(|| format!("{}: {}", self.name, load.name))?;
            self.count();
        }
        Ok(())
    }

    /// Replaces modules and programs by others of the same list.
    fn churn(&mut self, loads: &'a Loads, churn: u32, mut next: u64) -> Result<()> {
        self.mark = "churn";
        let candidates: Vec<&Load> = loads.modules.iter().chain(&loads.programs).collect();
        let mut live: Vec<u64> = (0..candidates.len() as u64).collect();
        let mut random = Random::new(5);
        for _ in 0..churn {
            let victim = usize::try_from(random.below(u32::try_from(live.len())?))?;
            let load = candidates[usize::try_from(random.below(u32::try_from(candidates.len())?))?];
            self.free(live[victim])?;
            self.load(next, load)?;
            live[victim] = next;
            next += 1;
        }
        self.finish_all(0)?;
        self.end("churn");
        Ok(())
    }

    fn unload(&mut self) -> Result<()> {
        self.mark = "unloaded";
        while let Some((&id, _)) = self.live.first_key_value() {
            self.free(id)?;
        }
        self.policy.settle();
        self.end("unloaded");
        Ok(())
    }

    fn count(&mut self) {
        self.events += 1;
        if self.plan.pressure.is_some_and(|pressure| self.events.is_multiple_of(pressure)) {
            self.policy.settle();
        }
        if self.events.is_multiple_of(EVENTS_PER_SAMPLE) {
            self.sample();
        }
    }

    fn sample(&mut self) {
        let direct = self.policy.sim().direct_map();
        let small = self.policy.sim().machine().page();
        self.history.push(Sample {
            event: self.events,
            mark: self.mark,
            lost: (self.large_bytes_at_boot - direct.large_bytes) / self.unit,
            small_leaves: direct.leaves.get(&small).copied().unwrap_or(0),
        });
    }

    fn end(&mut self, mark: &'static str) {
        self.sample();
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
            direct_map_lost: (self.large_bytes_at_boot - direct.large_bytes) / self.unit,
            splits,
            merges,
            direct_map_splits: counts.direct_splits,
            direct_map_merges: counts.direct_merges,
            flushes: counts.global_flushes,
            permission_changes: counts.permission_changes,
            cached_bytes: sim.cached_bytes().0,
            wx_bytes: sim.wx_bytes(),
        });
    }
}
