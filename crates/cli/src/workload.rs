//! What to load: TOML files of `data/workloads`, the default one embedded.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use execmem::Kind;
use execmem_sim::Random;
use serde::Deserialize;

const DEFAULT: &str = include_str!("../data/workloads/default.toml");

/// The module sets, by name: CSV files that say in their first lines where they are from.
const MODULE_SETS: &[(&str, &str)] = &[
    ("workstation-6.1", include_str!("../data/workloads/modules/workstation-6.1.csv")),
    ("server-6.1", include_str!("../data/workloads/modules/server-6.1.csv")),
    ("laptop-6.1", include_str!("../data/workloads/modules/laptop-6.1.csv")),
    ("workstation-7.2", include_str!("../data/workloads/modules/workstation-7.2.csv")),
    ("server-7.2", include_str!("../data/workloads/modules/server-7.2.csv")),
    ("laptop-7.2", include_str!("../data/workloads/modules/laptop-7.2.csv")),
];

/// A load.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Workload {
    pub(crate) about: String,
    #[serde(default)]
    pub(crate) functions: Functions,
    #[serde(default)]
    pub(crate) objects: Objects,
    pub(crate) modules: Option<Modules>,
    pub(crate) callers: Option<Callers>,
}

/// The four callers together.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Callers {
    /// Start of the random numbers; not zero.
    pub(crate) seed: u64,
    pub(crate) modules: u32,
    pub(crate) kprobes: u32,
    #[serde(default)]
    pub(crate) kprobe_churn: u32,
    pub(crate) tracers: u32,
    pub(crate) bpf: Programs,
}

/// BPF programs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Programs {
    #[serde(default)]
    pub(crate) policy: Policy,
    /// How many are live at once.
    pub(crate) count: u32,
    /// How many of them are freed and replaced after that.
    #[serde(default)]
    pub(crate) churn: u32,
    /// Size classes: share in percent, first size, first size beyond.
    pub(crate) sizes: Vec<(u32, u32, u32)>,
}

/// What places BPF programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Policy {
    /// The engine, each by itself.
    #[default]
    Engine,
    /// Packs, as before there was an engine.
    #[serde(alias = "prog_pack")]
    ProgPack,
}

/// Generated functions.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Functions {
    /// How many are live at once.
    pub(crate) count: u32,
    /// How many of them are freed and replaced after that.
    #[serde(default)]
    pub(crate) churn: u32,
    /// Start of the random numbers; not zero.
    pub(crate) seed: u64,
    /// Size classes: share in percent, first size, first size beyond.
    pub(crate) sizes: Vec<(u32, u32, u32)>,
}

/// Relocatable objects of ours.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Objects {
    pub(crate) count: u32,
}

/// A set of modules known by their sizes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Modules {
    pub(crate) set: String,
}

impl Workload {
    /// The load of a file, or the default one.
    pub(crate) fn read(file: Option<&Path>) -> Result<Self> {
        let (text, name) = match file {
            Some(path) => {
                let name = path.display().to_string();
                (std::fs::read_to_string(path).with_context(|| format!("reading {name}"))?, name)
            }
            None => (DEFAULT.to_owned(), "the default workload".to_owned()),
        };
        Workload::parse(&text).with_context(|| format!("in {name}"))
    }

    /// The load that a text describes.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let workload: Workload = toml::from_str(text)?;
        workload.check()?;
        Ok(workload)
    }

    fn check(&self) -> Result<()> {
        if self.functions.count > 0 {
            ensure!(self.functions.seed != 0, "functions.seed is 0, from which no random numbers follow");
            check_sizes("functions.sizes", &self.functions.sizes)?;
        }
        check_churn("functions", self.functions.count, self.functions.churn)?;
        if let Some(callers) = &self.callers {
            ensure!(callers.seed != 0, "callers.seed is 0, from which no random numbers follow");
            check_sizes("callers.bpf.sizes", &callers.bpf.sizes)?;
            check_churn("callers.bpf", callers.bpf.count, callers.bpf.churn)?;
            check_churn("callers.kprobes", callers.kprobes, callers.kprobe_churn)?;
        }
        Ok(())
    }
}

fn check_churn(name: &str, count: u32, churn: u32) -> Result<()> {
    ensure!(count > 0 || churn == 0, "{name}: {churn} of 0 cannot be replaced; give a count, or no churn");
    Ok(())
}

fn check_sizes(name: &str, sizes: &[(u32, u32, u32)]) -> Result<()> {
    let shares: u64 = sizes.iter().map(|&(share, ..)| u64::from(share)).sum();
    ensure!(shares == 100, "the shares of {name} add up to {shares} %");
    for &(_, from, to) in sizes {
        ensure!(from < to && to <= 1 << 24, "{name}: {from}..{to} is empty or beyond 16 MiB");
    }
    Ok(())
}

/// The bytes of a module by kind.
#[derive(Debug, Clone)]
pub(crate) struct ModuleSizes {
    pub(crate) name: String,
    /// In the order of [`Kind::MODULE`].
    pub(crate) bytes: [u64; 7],
    /// The symbol table that is kept with its data.
    pub(crate) symbol_table_bytes: u64,
    /// The unpacked file.
    pub(crate) file_bytes: u64,
}

/// The modules of a set, in load order.
pub(crate) fn module_set(name: &str) -> Result<Vec<ModuleSizes>> {
    let Some((_, text)) = MODULE_SETS.iter().find(|(known, _)| *known == name) else {
        let names: Vec<_> = MODULE_SETS.iter().map(|(name, _)| *name).collect();
        bail!("no module set {name}; there are {}", names.join(", "));
    };
    let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(text.as_bytes());
    let headers = reader.headers()?.clone();
    let column = |name: &str| headers.iter().position(|found| found == name).with_context(|| format!("column {name}"));
    let kinds = Kind::MODULE.iter().map(|kind| column(kind.name())).collect::<Result<Vec<_>>>()?;
    let (symbol_table, file) = (column("kallsyms")?, column("file")?);
    let mut modules = Vec::new();
    for record in reader.records() {
        let record = record?;
        let number = |index: usize| -> Result<u64> { Ok(record.get(index).context("a field")?.parse()?) };
        let mut bytes = [0; 7];
        for (bytes, column) in bytes.iter_mut().zip(&kinds) {
            *bytes = number(*column)?;
        }
        let name = record.get(0).context("a name")?.to_owned();
        let (symbol_table_bytes, file_bytes) = (number(symbol_table)?, number(file)?);
        modules.push(ModuleSizes { name, bytes, symbol_table_bytes, file_bytes });
    }
    Ok(modules)
}

/// A number below `bound`: integers only, so that loads are the same everywhere.
pub(crate) fn below(random: &mut Random, bound: u32) -> u32 {
    let scaled = ((random.number() >> 32) * u64::from(bound)) >> 32;
    u32::try_from(scaled).unwrap_or(0)
}

/// A size from the classes of a load.
pub(crate) fn size(random: &mut Random, classes: &[(u32, u32, u32)]) -> u32 {
    let mut percent = below(random, 100);
    for &(share, from, to) in classes {
        if percent < share {
            return from + below(random, to - from);
        }
        percent -= share;
    }
    classes.last().map_or(0, |&(_, from, _)| from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_workload_and_every_set_are_readable() {
        let workload = Workload::read(None).expect("the default workload");
        assert!(workload.functions.count > 0 && workload.objects.count > 0);
        for (name, _) in MODULE_SETS {
            let set = module_set(name).expect(name);
            // libie of 7.2 has constants only.
            assert!(
                set.len() > 100 && set.iter().all(|module| module.bytes[0] > 0 || module.name == "libie"),
                "{name}"
            );
        }
        assert!(module_set("no such set").is_err());
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/workloads");
        let everything = Workload::read(Some(&folder.join("everything.toml"))).expect("a workload");
        assert!(everything.callers.is_some_and(|callers| callers.kprobes > 0 && callers.bpf.policy == Policy::Engine));
    }

    #[test]
    fn the_workstation_set_is_the_one_that_was_measured() {
        let set = module_set("workstation-6.1").expect("the set");
        let core = |module: &ModuleSizes| module.bytes[..4].iter().sum::<u64>() + module.symbol_table_bytes;
        assert_eq!(set.len(), 176);
        assert_eq!(set.iter().map(core).sum::<u64>(), 19_563_762);
    }
}
