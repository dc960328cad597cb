//! What is asked: which loads, on which machine, by which release's rules.

use std::path::Path;

use anyhow::{Result, ensure};
use execmem_sim::policy::{Release, Served, of_release, served};
use execmem_types::NamedTable;

use super::in_place::NOW;
use super::load::{Loads, Rules};
use super::machine::Machine;
use crate::args::{CompareOptions, DEFAULT_RELEASE, InputOptions, LoadOptions};
use crate::output::printable;
use crate::release::release_of;
use crate::survey::facts::{Place, Survey};
use crate::survey::gather::{Gathered, gather};
use crate::{arch, inputs};

/// A question.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) named: &'static NamedTable,
    pub(crate) machine: Machine,
    pub(crate) loads: Loads,
    /// The policies of Linux that serve the machine.
    pub(crate) served: Vec<Served>,
    /// Where the surveyed machine has everything now.
    pub(crate) places: Vec<Place>,
    /// The release of Linux that is asked about, if any is.
    release: Option<Release>,
    /// Module files that could not be read.
    pub(crate) unreadable: usize,
}

impl Question {
    /// Reads everything that the options name.
    pub(crate) fn read(options: &CompareOptions) -> Result<Self> {
        let load = &options.load;
        match survey(load)? {
            None => Question::of_set(options, load),
            Some(gathered) => Question::of_survey(options, load, gathered),
        }
    }

    fn of_set(options: &CompareOptions, load: &LoadOptions) -> Result<Self> {
        let named = load.arch.map_or_else(|| arch::table("x86"), Ok)?;
        let release = load.kernel.unwrap_or(DEFAULT_RELEASE);
        let rules = Rules { release, page: named.table.machine().page().bytes() };
        let mut loads = Loads::of_set(load, options.churn, rules)?;
        if !named.name.starts_with("x86") {
            loads.notes.push(format!("the sizes are those of x86-64 modules, laid out by the rules of {}", named.name));
        }
        let machine = Machine::choose(load.machine.as_deref(), &named.table)?;
        let machine = if options.unmapped { machine.unmapped()? } else { machine };
        let served = served(named.table.machine())?;
        Ok(Question { named, machine, loads, served, places: Vec::new(), release: Some(release), unreadable: 0 })
    }

    fn of_survey(options: &CompareOptions, load: &LoadOptions, gathered: Gathered) -> Result<Self> {
        let Gathered { survey, unreadable } = gathered;
        let facts = &survey.machine;
        let own = facts.architecture.as_deref().map(|name| arch::table_of(name, facts.page_bytes)).transpose()?;
        let named = load.arch.or(own).map_or_else(|| arch::table("x86"), Ok)?;
        let release = load.kernel.or_else(|| release_of(facts.release.as_deref()?));
        let rules = Rules { release: release.unwrap_or(DEFAULT_RELEASE), page: named.table.machine().page().bytes() };
        let mut loads = Loads::of_survey(&survey, name_of(load), load, options.churn, rules)?;
        let is_its_own = own.is_none_or(|own| own.table.machine().name == named.table.machine().name);
        if !is_its_own {
            let architecture = facts.architecture.as_deref().unwrap_or("?");
            loads.notes.push(format!(
                "the sizes are those of {}, laid out by the rules of {}",
                printable(architecture),
                named.name
            ));
        }
        if release.is_none() && loads.outcome.modules > 0 {
            let (major, minor) = DEFAULT_RELEASE;
            loads
                .notes
                .push(format!("modules are laid out as Linux {major}.{minor} does; --kernel says another release"));
        }
        loads.notes.extend(survey.missing.iter().map(|missing| format!("not read: {}", missing.sentence())));
        loads.notes.extend(unreadable.iter().map(|(path, error)| {
            format!("left out: {}: {}", printable(&path.display().to_string()), printable(error))
        }));
        let mut machine = Machine::choose(load.machine.as_deref(), &named.table)?;
        if is_its_own && load.machine.is_none() {
            machine = machine.like(facts)?;
        }
        if loads.process.is_some() {
            ensure!(!options.unmapped, "--unmapped is for memory of a kernel; a process has no direct map");
            machine = machine.of_a_process();
        } else if options.unmapped {
            machine = machine.unmapped()?;
        }
        let served = served(named.table.machine())?;
        let (places, unreadable) = (survey.places, unreadable.len());
        Ok(Question { named, machine, loads, served, places, release, unreadable })
    }

    /// The policy that is in use where the question comes from.
    pub(crate) fn today(&self) -> Option<&'static str> {
        if self.loads.process.is_some() {
            return Some(NOW);
        }
        of_release(&self.served, self.release?).map(|row| row.name)
    }
}

/// The survey that the options name, or that is made of their inputs.
fn survey(load: &LoadOptions) -> Result<Option<Gathered>> {
    if let Some(file) = &load.from {
        let survey = inputs::read(file, Survey::parse)?;
        return Ok(Some(Gathered { survey, unreadable: Vec::new() }));
    }
    let release = load.kernel.unwrap_or(DEFAULT_RELEASE);
    if load.inputs.is_empty() { Ok(None) } else { gather(&load.inputs, release).map(Some) }
}

/// What the loads are called together: the names of the files they are from.
fn name_of(load: &LoadOptions) -> String {
    let InputOptions { proc_modules, modules, kallsyms: _, bpftool, csv, trace, maps, perf_map } = &load.inputs;
    let files = [&load.from, trace, proc_modules, modules, bpftool, csv, perf_map, maps];
    let name = |path: &Path| printable(&path.display().to_string());
    files.into_iter().flatten().map(|path| name(path)).collect::<Vec<_>>().join(" + ")
}

#[cfg(test)]
mod tests {
    use execmem_sim::policy::Store;

    use super::*;

    #[test]
    fn a_release_has_the_policy_it_shipped_on_each_machine() {
        let found = |machine: &str, release| {
            let served = served(arch::table(machine).expect(machine).table.machine()).expect("the file");
            of_release(&served, release).map(|row| (row.name, row.text, row.bpf))
        };
        let (lump, pages, packs) = (Store::Lump, Store::Pages, Store::Blocks);
        assert_eq!(found("x86", (5, 10)), Some(("module_alloc", lump, pages)));
        assert_eq!(found("x86", (6, 1)), Some(("prog_pack", lump, packs)));
        assert_eq!(found("x86", (6, 12)), Some(("prog_pack", lump, packs)));
        assert_eq!(found("x86", (7, 2)), Some(("linux", Store::Cache, packs)));
        assert_eq!(found("x86-32", (7, 2)), Some(("linux", pages, pages)), "the cache is for 64 bits only");
        assert_eq!(found("arm64-64k", (7, 2)), Some(("linux", pages, packs)));
        assert_eq!(found("s390", (6, 1)), Some(("module_alloc", lump, pages)));
        assert!(arch::all().all(|named| served(named.table.machine()).is_ok_and(|served| served.len() >= 2)));
    }
}
