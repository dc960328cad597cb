//! Surveys a machine by the files of its system: this one, or another whose root is a folder here.
//!
//! Root is not needed. What others may not read is listed as missing, with what to do about it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use execmem_sim::policy::Release;

use super::facts::{MachineFacts, ProcessFacts, ProcessorFacts, Survey};
use super::gather::{Gathered, add_programs, add_sections, add_symbols, missing};
use crate::inputs::{self, bpftool, kallsyms, maps, perf_map, proc_modules};
use crate::release::release_of;

/// Reads what is readable below a root, of the kernel or of a process. `is_here`: it is the root of this machine, which can
/// also be asked by calls.
pub(crate) fn read(root: &Path, is_here: bool, pid: Option<u32>) -> Result<Gathered> {
    let mut survey = Survey::new();
    survey.machine = machine(root, is_here);
    if let Some(pid) = pid {
        read_process(&mut survey, root, pid);
        survey.escape_texts();
        return Ok(Gathered { survey, unreadable: Vec::new() });
    }
    read_modules(&mut survey, root);
    match inputs::read(&root.join("proc/kallsyms"), kallsyms::parse) {
        Ok(symbols) => add_symbols(&mut survey, symbols),
        Err(error) => survey.missing.push(missing("where code lies now", format!("{error:#}"), "")),
    }
    if is_here {
        match programs() {
            Ok(programs) => add_programs(&mut survey, programs),
            Err(error) => survey.missing.push(missing(
                "BPF programs",
                format!("{error:#}"),
                "as root: bpftool prog show -j > FILE, and survey --bpftool FILE",
            )),
        }
    }
    let release: Option<Release> = survey.machine.release.as_deref().and_then(release_of);
    let folder = survey.machine.release.as_ref().map(|release| root.join("lib/modules").join(release));
    let mut gathered = Gathered { survey, unreadable: Vec::new() };
    let wants = gathered.survey.modules.iter().any(|module| module.sections.is_none());
    if let (Some(folder), Some(release), true) = (folder, release, wants) {
        let outcome = add_sections(&mut gathered, &folder, release);
        if let Err(error) = outcome {
            let what = "the sections of modules";
            gathered.survey.missing.push(missing(
                what,
                format!("{error:#}"),
                "give the tree of module files as --modules",
            ));
        }
    }
    gathered.survey.escape_texts();
    Ok(gathered)
}

fn read_modules(survey: &mut Survey, root: &Path) {
    match inputs::read(&root.join("proc/modules"), proc_modules::parse) {
        Ok((modules, places)) => {
            if places.is_empty() {
                survey.missing.push(missing("addresses of modules", "they read as zero", "read /proc/modules as root"));
            }
            (survey.modules, survey.places) = (modules, places);
        }
        Err(error) => {
            survey.missing.push(missing("modules", format!("{error:#}"), "a kernel without modules has no such file"));
        }
    }
}

fn read_process(survey: &mut Survey, root: &Path, pid: u32) {
    let mut process = ProcessFacts::default();
    match inputs::read(&root.join(format!("proc/{pid}/maps")), maps::parse) {
        Ok(regions) => process.regions = regions,
        Err(error) => {
            let how = "call survey as the user of the process, or as root";
            survey.missing.push(missing(format!("mappings of process {pid}"), format!("{error:#}"), how));
        }
    }
    match inputs::read(&root.join(format!("tmp/perf-{pid}.map")), perf_map::parse) {
        Ok(functions) => process.functions = functions,
        Err(error) => {
            let how = "start the JIT so that it writes one (node: --perf-basic-prof)";
            survey.missing.push(missing(format!("functions of process {pid}"), format!("{error:#}"), how));
        }
    }
    survey.process = Some(process);
}

/// What bpftool says, if it is there and may.
fn programs() -> Result<bpftool::Programs> {
    let output = Command::new("bpftool").args(["prog", "show", "-j"]).output();
    let output = output.map_err(|error| anyhow::anyhow!("bpftool cannot be called: {error}"))?;
    bpftool::parse(&String::from_utf8_lossy(&output.stdout))
}

fn machine(root: &Path, is_here: bool) -> MachineFacts {
    let text = |path: &str| inputs::read_text(&root.join(path)).ok();
    let system = rustix::system::uname();
    let memory = text("proc/meminfo").unwrap_or_default();
    let nodes = std::fs::read_dir(root.join("sys/devices/system/node")).into_iter().flatten().flatten();
    let is_node = |name: &str| name.strip_prefix("node").is_some_and(|number| number.parse::<u32>().is_ok());
    let nodes = nodes.filter(|entry| entry.file_name().to_str().is_some_and(is_node)).count() as u64;
    MachineFacts {
        architecture: is_here.then(|| system.machine().to_string_lossy().into_owned()),
        page_bytes: is_here.then(|| rustix::param::page_size() as u64),
        release: text("proc/sys/kernel/osrelease").map(|release| release.trim().to_owned()),
        memory_bytes: kib_of(&memory, "MemTotal"),
        nodes: (nodes > 0).then_some(nodes),
        direct_map: direct_map(&memory),
        processor: text("proc/cpuinfo").and_then(|text| processor(&text)),
    }
}

/// A figure of `/proc/meminfo`, in bytes.
fn kib_of(memory: &str, name: &str) -> Option<u64> {
    let line = memory.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

fn direct_map(memory: &str) -> BTreeMap<u64, u64> {
    let sizes = [("DirectMap4k", 4 << 10), ("DirectMap2M", 2 << 20), ("DirectMap1G", 1 << 30)];
    sizes.into_iter().filter_map(|(name, size)| Some((size, kib_of(memory, name)?))).collect()
}

fn processor(text: &str) -> Option<ProcessorFacts> {
    let field = |name: &str| {
        text.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            (found.trim() == name).then(|| value.trim().to_owned())
        })
    };
    let name = field("model name").or_else(|| field("uarch")).or_else(|| field("CPU part"))?;
    let number = |name| field(name).and_then(|number| number.parse().ok());
    Some(ProcessorFacts { name: crate::output::printable(&name), family: number("cpu family"), model: number("model") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_memory_and_processor_are_found() {
        let memory = "MemTotal:       16000 kB\nDirectMap4k:       100 kB\nDirectMap2M:     8 kB\n";
        assert_eq!(kib_of(memory, "MemTotal"), Some(16000 * 1024));
        assert_eq!(direct_map(memory), BTreeMap::from([(4096, 102_400), (2 << 20, 8192)]));
        let found = processor("processor\t: 0\ncpu family\t: 6\nmodel\t\t: 85\nmodel name\t: A CPU\n").expect("a name");
        assert_eq!((found.name.as_str(), found.family, found.model), ("A CPU", Some(6), Some(85)));
        assert_eq!(processor("nothing"), None);
    }
}
