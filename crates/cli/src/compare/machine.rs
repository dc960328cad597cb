//! Machines to compare on: `configs/machines`, embedded.

use anyhow::{Context as _, Result, ensure};
use execmem::{PageSize, Table};
use execmem_sim::{KnownProcessor, Merge, Options, Sim, parse_size};
use serde::Deserialize;

use crate::args::CompareOptions;

const MACHINES: &[(&str, &str)] = &[
    ("guest", include_str!("../../../../configs/machines/guest.toml")),
    ("server", include_str!("../../../../configs/machines/server.toml")),
    ("board", include_str!("../../../../configs/machines/board.toml")),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MachineFile {
    about: String,
    processor: String,
    memory: MemoryFile,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct MemoryFile {
    nodes: u64,
    node: String,
    direct_map: String,
    fragmented_units: u64,
}

/// A machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    pub(crate) about: String,
    /// Where the geometry of the translation caches is from.
    pub(crate) source: String,
    pub(crate) memory_bytes: u64,
    options: Options,
    fragmented_units: u64,
    /// Large pages that can be had.
    large_pages: Option<u64>,
}

/// Start of the random numbers by which memory is in partial use.
const FRAGMENT_SEED: u64 = 1;

impl Machine {
    /// The machine that the options ask for.
    pub(crate) fn read(options: &CompareOptions) -> Result<Self> {
        let mut machine = Machine::named(&options.load.machine)?;
        machine.options.is_unmapped = options.unmapped;
        machine.large_pages = options.large_pages;
        Ok(machine)
    }

    /// The machine of a name.
    fn named(name: &str) -> Result<Self> {
        let names: Vec<_> = MACHINES.iter().map(|(name, _)| *name).collect();
        let found = MACHINES.iter().find(|(known, _)| *known == name);
        let (name, text) = found.with_context(|| format!("no machine {name}; there are {}", names.join(", ")))?;
        let file: MachineFile = toml::from_str(text).with_context(|| format!("machine {name}"))?;
        let processors = KnownProcessor::all().context("processors")?;
        let processor = processors.get(&file.processor).context("the processor of the machine")?;
        let bytes_per_node = size(&file.memory.node)?.bytes();
        ensure!(file.memory.nodes > 0, "machine {name} has no memory");
        let options = Options {
            nodes: file.memory.nodes,
            bytes_per_node,
            direct_leaf: Some(size(&file.memory.direct_map)?),
            processor: processor.processor(),
            ..Options::default()
        };
        Ok(Machine {
            name,
            about: file.about,
            source: processor.source.clone(),
            memory_bytes: bytes_per_node * file.memory.nodes,
            options,
            fragmented_units: file.memory.fragmented_units,
            large_pages: None,
        })
    }

    /// A machine like it that has just booted, for the page sizes of a table.
    pub(crate) fn boot(&self, table: &Table, merge: Merge) -> Sim {
        let sim = Sim::with_options(table.machine(), &Options { merge, ..self.options.clone() });
        sim.fragment(self.fragmented_units, FRAGMENT_SEED);
        self.large_pages.into_iter().for_each(|left| sim.limit_large_pages(left));
        sim
    }
}

fn size(text: &str) -> Result<PageSize> {
    parse_size(text).with_context(|| format!("{text} is no size: a power of two and K, M or G"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_is_readable() {
        for (name, _) in MACHINES {
            let machine = Machine::named(name).expect(name);
            assert!(machine.memory_bytes >= 4 << 30 && !machine.source.is_empty());
        }
        assert!(Machine::named("none").is_err() && size("4X").is_err());
    }
}
