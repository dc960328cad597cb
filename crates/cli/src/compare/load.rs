//! What is loaded, and in which order: a set that was measured, or what a survey says.

mod replayed;
mod surveyed;

use anyhow::{Context as _, Result, bail, ensure};
use execmem::Kind;
use execmem_sim::policy::{Load, Release};

use super::outcome::LoadOutcome;
use super::script::{Script, Step};
use crate::args::LoadOptions;
use crate::inputs::module_file::has_table_apart;
use crate::survey::facts::{ProcessFacts, Sections, Survey};
use crate::workload::{ModuleSizes, module_set};

/// Sizes of 1000 BPF programs.
const PROGRAMS: &str = include_str!("../../data/workloads/bpf/mix.txt");

/// As in the guests that were measured: 500 probes, of which 410 were optimised and have a longer slot, and 50
/// trampolines, each with an instance of ftrace whose buffers take memory: so much that the direct map of 6.1 loses the 21
/// large leaves that were measured.
const PROBES: [(u32, u64); 2] = [(90, 16), (410, 140)];
const TRAMPOLINES: u32 = 50;
const TRAMPOLINE_BYTES: u64 = 220;
const INSTANCE_BYTES: u64 = 860_000;

/// What is replaced once a set is loaded.
const CHURN: u32 = 1000;
/// BPF programs beside a set.
const SET_PROGRAMS: u32 = 1000;

/// What the start of a symbol table is a multiple of.
const SYMBOL_ALIGN: u64 = 8;

/// The most bytes of a process's executable mappings: each page of them is simulated.
const MOST_OF_PROCESS: u64 = 4 << 30;

/// Everything that is loaded, and when.
#[derive(Debug)]
pub(crate) struct Loads {
    /// Each once, whatever happens to it.
    pub(crate) all: Vec<Load>,
    pub(crate) script: Script,
    pub(crate) outcome: LoadOutcome,
    /// What is assumed, and what is left out.
    pub(crate) notes: Vec<String>,
    /// Memory of a process, if that is the question.
    pub(crate) process: Option<ProcessFacts>,
}

/// How the modules of a release are laid out, in pages of a size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) release: Release,
    pub(crate) page: u64,
}

impl Loads {
    /// The loads of a set that was measured.
    pub(crate) fn of_set(options: &LoadOptions, churn: Option<u32>, rules: Rules) -> Result<Self> {
        let (major, minor) = rules.release;
        let name = format!("{}-{major}.{minor}", options.set.name());
        let modules: Vec<_> = module_set(&name)?.iter().map(|sizes| set_module(sizes, rules)).collect();
        let programs = mix(options.programs.unwrap_or(SET_PROGRAMS))?;
        let probes = PROBES.iter().flat_map(|&(count, bytes)| (0..count).map(move |_| bytes));
        let probes: Vec<_> = probes.map(|bytes| single("probe".to_owned(), Kind::Kprobe, bytes)).collect();
        let trampoline = |index| Load {
            resident_bytes: INSTANCE_BYTES,
            ..single(format!("trampoline {index}"), Kind::Ftrace, TRAMPOLINE_BYTES)
        };
        let trampolines: Vec<_> = (0..TRAMPOLINES).map(trampoline).collect();
        let parts = Parts { modules, programs, probes, trampolines };
        Ok(parts.loads(name, churn.unwrap_or(CHURN)))
    }

    /// The loads of a survey.
    pub(crate) fn of_survey(
        survey: &Survey,
        name: String,
        options: &LoadOptions,
        churn: Option<u32>,
        rules: Rules,
    ) -> Result<Self> {
        let is_replaced = churn.is_some_and(|churn| churn > 0);
        if let Some(process) = &survey.process {
            ensure!(!is_replaced, "--churn is for modules and programs; what a process has is not replaced");
            let is_kernel_empty = survey.modules.is_empty() && survey.programs.is_empty() && survey.events.is_empty();
            ensure!(is_kernel_empty, "a process and a kernel are two questions; ask one at a time");
            return Loads::of_process(process, name);
        }
        if !survey.events.is_empty() {
            ensure!(!is_replaced, "--churn is for what has no trace of its own");
            return replayed::loads(survey, name, rules);
        }
        let mut parts = surveyed::parts(survey, rules)?;
        parts.programs.extend(mix(options.programs.unwrap_or(0))?);
        if parts.is_empty() {
            bail!("nothing is loaded: neither modules nor programs, probes or trampolines were found");
        }
        let mut loads = parts.loads(name, churn.unwrap_or(CHURN));
        loads.notes = surveyed::notes(survey, rules);
        Ok(loads)
    }

    /// The functions of a JIT; if they are not known, its mappings.
    fn of_process(process: &ProcessFacts, name: String) -> Result<Self> {
        let bytes = process.regions.iter().map(|region| region.bytes).sum::<u64>();
        ensure!(bytes <= MOST_OF_PROCESS, "{} MiB are more executable memory than can be looked at", bytes >> 20);
        let mut notes = Vec::new();
        let all: Vec<_> = if process.functions.is_empty() {
            notes.push("the functions are not known, so each mapping counts as one; give --perf-map".to_owned());
            let region = |region: &crate::survey::facts::Region| {
                single(format!("mapping at {}", String::from(region.start)), Kind::Text, region.bytes)
            };
            process.regions.iter().map(region).collect()
        } else {
            process.functions.iter().map(|piece| single(piece.name.clone(), Kind::Text, piece.bytes)).collect()
        };
        if all.is_empty() {
            bail!("this process has no executable memory of a JIT, and no functions of one are listed");
        }
        let mut script = Script::new();
        script.part("functions", 0..all.len());
        script.step(Step::Look);
        script.unload();
        let outcome = LoadOutcome { modules_of: name, functions: all.len(), ..LoadOutcome::default() };
        Ok(Loads { all, script, outcome, notes, process: Some(process.clone()) })
    }
}

/// Loads by what they are, in load order each.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) modules: Vec<Load>,
    pub(crate) programs: Vec<Load>,
    pub(crate) probes: Vec<Load>,
    pub(crate) trampolines: Vec<Load>,
}

impl Parts {
    fn is_empty(&self) -> bool {
        [&self.modules, &self.programs, &self.probes, &self.trampolines].iter().all(|loads| loads.is_empty())
    }

    /// All of them one part after the other, then replacements, then nothing.
    fn loads(self, name: String, churn: u32) -> Loads {
        let outcome = LoadOutcome {
            modules_of: name,
            modules: self.modules.len(),
            programs: self.programs.len(),
            probes: self.probes.len(),
            trampolines: self.trampolines.len(),
            churn,
            ..LoadOutcome::default()
        };
        let mut script = Script::new();
        let mut all = Vec::new();
        let parts = [
            ("modules", self.modules),
            ("programs", self.programs),
            ("probes", self.probes),
            ("trampolines", self.trampolines),
        ];
        let mut candidates = 0;
        for (mark, loads) in parts {
            let first = all.len();
            all.extend(loads);
            script.part(mark, first..all.len());
            if matches!(mark, "modules" | "programs") {
                candidates = all.len();
            }
        }
        script.step(Step::Look);
        script.churn(churn, &(0..candidates).collect::<Vec<_>>());
        script.unload();
        Loads { all, script, outcome, notes: Vec::new(), process: None }
    }
}

/// A load of one part.
pub(crate) fn single(name: String, kind: Kind, bytes: u64) -> Load {
    Load { name, parts: vec![(kind, bytes)], temporary_bytes: 0, resident_bytes: 0 }
}

/// BPF programs of the mix, as many as wanted.
fn mix(count: u32) -> Result<Vec<Load>> {
    let lines = PROGRAMS.lines().filter(|line| !line.starts_with('#'));
    let sizes: Vec<u64> =
        lines.flat_map(str::split_whitespace).map(|size| size.parse().context("a size")).collect::<Result<_>>()?;
    let program = |(index, bytes): (u32, &u64)| single(format!("program {index}"), Kind::Bpf, *bytes);
    Ok((0..count).zip(sizes.iter().cycle()).map(program).collect())
}

fn set_module(sizes: &ModuleSizes, rules: Rules) -> Load {
    let mut sections = Sections { kallsyms: sizes.symbol_table_bytes, file: sizes.file_bytes, ..Sections::default() };
    for (kind, bytes) in Kind::MODULE.into_iter().zip(sizes.bytes) {
        sections.of_mut(kind).into_iter().for_each(|place| *place = bytes);
    }
    module(sizes.name.clone(), sections, rules)
}

/// A module as a release lays it out: its symbol table has pages of its own, or follows the data.
pub(crate) fn module(name: String, sections: Sections, rules: Rules) -> Load {
    let mut parts: Vec<_> = Kind::MODULE.into_iter().zip(sections.by_kind()).collect();
    match parts.iter_mut().find(|(kind, _)| *kind == Kind::Data && !has_table_apart(rules.release)) {
        Some((_, bytes)) if sections.kallsyms > 0 => *bytes = bytes.next_multiple_of(SYMBOL_ALIGN) + sections.kallsyms,
        Some(_) => {}
        None => parts.push((Kind::Data, sections.kallsyms)),
    }
    parts.retain(|(_, bytes)| *bytes > 0);
    Load { name, parts, temporary_bytes: sections.file, resident_bytes: 0 }
}
