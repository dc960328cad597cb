//! Makes one survey of the files that the options name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use anyhow::Result;
use execmem_sim::policy::Release;

use super::facts::{Missing, ModuleFacts, Piece, ProcessFacts, Sections, Subject, Survey};
use crate::args::InputOptions;
use crate::inputs::module_file::Unreadable;
use crate::inputs::{self, bpftool, csv, kallsyms, maps, module_file, perf_map, proc_modules, trace};
use crate::output::printable;
use crate::run::progress;

/// Bytes of a trampoline of ftrace on x86, as measured; the symbol table says only where they are.
pub(crate) const TRAMPOLINE_BYTES: u64 = 220;
/// Names that are listed where many could be.
const NAMES: usize = 5;

/// A survey, and module files that could not be read.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) survey: Survey,
    pub(crate) unreadable: Vec<Unreadable>,
}

/// Reads every file that the options name; module files as a release of Linux lays them out.
///
/// # Errors
///
/// Which file cannot be read, and which of its lines makes no sense.
pub(crate) fn gather(options: &InputOptions, release: Release) -> Result<Gathered> {
    let mut gathered = Gathered { survey: Survey::new(), unreadable: Vec::new() };
    let survey = &mut gathered.survey;
    if let Some(file) = &options.proc_modules {
        (survey.modules, survey.places) = inputs::read(file, proc_modules::parse)?;
    }
    if let Some(file) = &options.kallsyms {
        add_symbols(survey, inputs::read(file, kallsyms::parse)?);
    }
    if let Some(file) = &options.bpftool {
        add_programs(survey, inputs::read(file, bpftool::parse)?);
    }
    if let Some(file) = &options.csv {
        inputs::read(file, |text| csv::parse(text, survey))?;
    }
    if let Some(file) = &options.trace {
        let trace = inputs::read(file, trace::parse)?;
        if trace.passed_over > 0 {
            let what = format!("{} lines of the trace", trace.passed_over);
            survey.missing.push(missing(what, "they are of other events", "nothing is needed"));
        }
        survey.events = trace.events;
    }
    if options.maps.is_some() || options.perf_map.is_some() {
        let regions = options.maps.as_deref().map(|file| inputs::read(file, maps::parse)).transpose()?;
        let functions = options.perf_map.as_deref().map(|file| inputs::read(file, perf_map::parse)).transpose()?;
        survey.process =
            Some(ProcessFacts { regions: regions.unwrap_or_default(), functions: functions.unwrap_or_default() });
    }
    if let Some(folder) = &options.modules {
        add_sections(&mut gathered, folder, release)?;
    }
    gathered.survey.escape_texts();
    Ok(gathered)
}

/// Something that could not be read.
pub(crate) fn missing(what: impl Into<String>, why: impl Into<String>, how: impl Into<String>) -> Missing {
    Missing { what: what.into(), names: Vec::new(), why: why.into(), how: how.into() }
}

/// Adds what the kernel's symbols tell: places, and trampolines.
pub(crate) fn add_symbols(survey: &mut Survey, symbols: kallsyms::Symbols) {
    if symbols.hidden > 0 {
        let what = format!("the addresses of {} symbols", symbols.hidden);
        survey.missing.push(missing(what, "they read as zero", "read /proc/kallsyms as root"));
    }
    if symbols.places.is_empty() {
        return;
    }
    let trampolines = symbols.places.iter().filter(|place| place.kind == "ftrace");
    let trampoline = |place: &super::facts::Place| Piece {
        name: place.name.clone(),
        bytes: TRAMPOLINE_BYTES,
        address: Some(place.start),
    };
    survey.trampolines.extend(trampolines.map(trampoline));
    survey.places = symbols.places;
}

/// Adds programs, with their addresses if the symbols told them.
pub(crate) fn add_programs(survey: &mut Survey, programs: bpftool::Programs) {
    if programs.interpreted > 0 {
        let what = format!("{} BPF programs", programs.interpreted);
        survey.missing.push(missing(what, "they are interpreted and have no executable memory", "nothing is needed"));
    }
    let placed: HashMap<&str, _> = survey
        .places
        .iter()
        .filter(|place| place.kind == "bpf")
        .map(|place| (place.name.as_str(), place.start))
        .collect();
    let with_address = |piece: Piece| Piece { address: placed.get(piece.name.as_str()).copied(), ..piece };
    let found: Vec<_> = programs.compiled.into_iter().map(with_address).collect();
    survey.programs.extend(found);
}

/// Adds the sections of modules from the files below a folder: of those that are listed or come in the trace, or if there
/// are none, of all.
pub(crate) fn add_sections(gathered: &mut Gathered, folder: &Path, release: Release) -> Result<()> {
    let (files, folders) = module_file::files_below(folder)?;
    gathered.unreadable.extend(folders);
    let of_trace = gathered.survey.events.iter().filter(|event| event.subject == Subject::Module);
    let listed = gathered.survey.modules.iter().filter(|module| module.sections.is_none());
    let wanted: BTreeSet<_> =
        of_trace.map(|event| event.name.clone()).chain(listed.map(|module| module.name.clone())).collect();
    let is_all = gathered.survey.modules.is_empty() && gathered.survey.events.is_empty();
    let chosen: Vec<_> = files
        .into_iter()
        .filter_map(|file| Some((module_file::name_of(&file)?, file)))
        .filter(|(name, _)| is_all || wanted.contains(name))
        .collect();
    let bar = progress(chosen.len() as u64, "modules");
    let mut found: BTreeMap<String, Sections> = BTreeMap::new();
    for (name, file) in chosen {
        match module_file::read(&file, release) {
            Ok(sections) if is_all => {
                gathered.survey.modules.push(ModuleFacts { name, bytes: None, sections: Some(sections) });
            }
            Ok(sections) => drop(found.insert(name, sections)),
            Err(error) => gathered.unreadable.push((file, format!("{error:#}"))),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if !is_all {
        spread(&mut gathered.survey, &found, wanted, folder);
    }
    Ok(())
}

/// Gives each module that is listed, and each that the trace names, what its file said.
fn spread(survey: &mut Survey, found: &BTreeMap<String, Sections>, wanted: BTreeSet<String>, folder: &Path) {
    for module in &mut survey.modules {
        module.sections = module.sections.or(found.get(&module.name).copied());
    }
    for event in survey.events.iter_mut().filter(|event| event.subject == Subject::Module && event.is_load) {
        event.sections = event.sections.or(found.get(&event.name).copied());
    }
    let without: Vec<_> = wanted.into_iter().filter(|name| !found.contains_key(name)).collect();
    if !without.is_empty() {
        let why = format!("no such file is below {}", printable(&folder.display().to_string()));
        let how = "give --modules the tree of the kernel that runs";
        survey.missing.push(Missing { names: without, ..missing("sections of modules", why, how) });
    }
}

impl Missing {
    /// As a sentence, with the first of the names.
    pub(crate) fn sentence(&self) -> String {
        let shown = self.names.iter().take(NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if self.names.len() > NAMES { ", …" } else { "" };
        let names = if shown.is_empty() { shown } else { format!(" ({}: {shown}{more})", self.names.len()) };
        let how = if self.how.is_empty() { String::new() } else { format!("; {}", self.how) };
        format!("{}{names}: {}{how}", self.what, self.why)
    }
}
