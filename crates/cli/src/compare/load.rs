//! What is loaded: modules of a set or of a folder, BPF programs, probes, trampolines.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use execmem::{Engine, Kind, Table};
use execmem_clients::module::Loader;
use execmem_sim::Sim;
use execmem_sim::policy::Load;

use crate::args::LoadOptions;
use crate::run::modules::{module_files, read, synthetic_address};
use crate::run::progress;
use crate::workload::{ModuleSizes, module_set};

/// Sizes of 1000 BPF programs.
const PROGRAMS: &str = include_str!("../../../../configs/workloads/bpf/mix.txt");

/// As in the guests that were measured: 500 probes, of which 410 were optimised and have a longer slot, and 50
/// trampolines, each with an instance of ftrace whose buffers take memory: so much that the direct map of 6.1 loses the 21
/// large leaves that were measured.
const PROBES: [(u32, u64); 2] = [(90, 16), (410, 140)];
const TRAMPOLINES: u32 = 50;
const TRAMPOLINE_BYTES: u64 = 220;
const INSTANCE_BYTES: u64 = 860_000;

/// Everything that is loaded, in order.
#[derive(Debug)]
pub(crate) struct Loads {
    /// What the modules are called together.
    pub(crate) name: String,
    pub(crate) modules: Vec<Load>,
    pub(crate) programs: Vec<Load>,
    pub(crate) probes: Vec<Load>,
    pub(crate) trampolines: Vec<Load>,
}

impl Loads {
    /// The loads that the options ask for.
    pub(crate) fn read(options: &LoadOptions, table: &Table) -> Result<Self> {
        let (name, modules) = match &options.modules {
            Some(folder) => (folder.display().to_string(), folder_modules(folder, table)?),
            None => {
                let name = format!("{}-{}", options.set, options.kernel);
                // Linux 6.1 keeps symbol tables on pages of their own, later ones after the data.
                let modules =
                    module_set(&name)?.iter().map(|sizes| set_module(sizes, options.kernel == "6.1")).collect();
                (name, modules)
            }
        };
        let sizes = program_sizes()?;
        let program = |(index, bytes): (usize, &u64)| single(format!("program {index}"), Kind::Bpf, *bytes);
        let probes = PROBES.iter().flat_map(|&(count, bytes)| (0..count).map(move |_| bytes));
        let trampoline = |index| Load {
            resident_bytes: INSTANCE_BYTES,
            ..single(format!("trampoline {index}"), Kind::Ftrace, TRAMPOLINE_BYTES)
        };
        Ok(Loads {
            name,
            modules,
            programs: sizes.iter().cycle().take(options.programs).enumerate().map(program).collect(),
            probes: probes.map(|bytes| single("probe".to_owned(), Kind::Kprobe, bytes)).collect(),
            trampolines: (0..TRAMPOLINES).map(trampoline).collect(),
        })
    }
}

fn single(name: String, kind: Kind, bytes: u64) -> Load {
    Load { name, parts: vec![(kind, bytes)], temporary_bytes: 0, resident_bytes: 0 }
}

fn program_sizes() -> Result<Vec<u64>> {
    let lines = PROGRAMS.lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(str::split_whitespace).map(|size| size.parse().context("a size")).collect()
}

fn set_module(sizes: &ModuleSizes, is_table_apart: bool) -> Load {
    let mut parts: Vec<_> = Kind::MODULE.into_iter().zip(sizes.bytes).collect();
    match parts.iter_mut().find(|(kind, _)| *kind == Kind::Data && !is_table_apart) {
        Some((_, bytes)) => *bytes += sizes.symbol_table_bytes,
        None => parts.push((Kind::Data, sizes.symbol_table_bytes)),
    }
    parts.retain(|(_, bytes)| *bytes > 0);
    Load { name: sizes.name.clone(), parts, temporary_bytes: sizes.file_bytes, resident_bytes: 0 }
}

/// The sizes of real modules, by loading each. Their symbol tables are not counted.
fn folder_modules(folder: &Path, table: &Table) -> Result<Vec<Load>> {
    let files = module_files(folder)?;
    ensure!(!files.is_empty(), "no .ko, .ko.xz or .ko.zst below {}", folder.display());
    let engine = Engine::new(*table, Sim::new(table.machine()))?;
    let loader = Loader::new(&engine)?;
    let requested = || engine.stats().kinds.map(|kind| kind.bytes_requested);
    let bar = progress(files.len() as u64, "reading");
    let mut loads = Vec::new();
    for file in &files {
        let data = read(file)?;
        let before = requested();
        let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or("?").trim_end_matches(".ko").to_owned();
        // A module that the loader does not understand cannot be compared.
        let Ok(coming) = loader.load(&data, &|name: &str| Some(synthetic_address(name))) else { continue };
        let after = requested();
        let parts = Kind::ALL.map(|kind| (kind, after[kind.index()] - before[kind.index()]));
        let parts = parts.into_iter().filter(|(_, bytes)| *bytes > 0).collect();
        coming.unload(&engine);
        loads.push(Load { name, parts, temporary_bytes: data.len() as u64, resident_bytes: 0 });
        bar.inc(1);
    }
    bar.finish_and_clear();
    ensure!(!loads.is_empty(), "none of the {} modules could be read", files.len());
    Ok(loads)
}
