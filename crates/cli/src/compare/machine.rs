//! Machines to compare on: `data/machines`, embedded, each for the architectures it is one of.

use anyhow::{Context as _, Result, bail, ensure};
use execmem::{PageSize, Table};
use execmem_sim::{KnownProcessor, Merge, Options, Sim, parse_size};
use serde::Deserialize;

use crate::survey::facts::MachineFacts;

/// Every machine, by name. The first that is for an architecture is its default; the last is for all.
pub(crate) const MACHINES: [(&str, &str); 5] = [
    ("guest", include_str!("../../data/machines/guest.toml")),
    ("server", include_str!("../../data/machines/server.toml")),
    ("board", include_str!("../../data/machines/board.toml")),
    ("riscv-board", include_str!("../../data/machines/riscv-board.toml")),
    ("plain", include_str!("../../data/machines/plain.toml")),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MachineFile {
    about: String,
    #[serde(rename = "for")]
    architectures: Vec<String>,
    processor: Option<String>,
    memory: MemoryFile,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct MemoryFile {
    nodes: u64,
    node: String,
    direct_map: Option<String>,
    /// Why there is none to look at.
    no_direct_map: Option<String>,
    fragmented_units: u64,
}

/// A machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) about: String,
    /// Where the geometry of the translation caches is from. `None`: it is not known, and they are left out.
    pub(crate) source: Option<String>,
    pub(crate) memory_bytes: u64,
    /// What is left out, and why.
    pub(crate) notes: Vec<String>,
    options: Options,
    fragmented_units: u64,
}

/// Start of the random numbers by which memory is in partial use.
const FRAGMENT_SEED: u64 = 1;
/// The least and the most memory that a machine is given.
const MEMORY: std::ops::RangeInclusive<u64> = 256 << 20..=8 << 40;

impl Machine {
    /// The machine of a name, or the first for the table's architecture.
    ///
    /// # Errors
    ///
    /// It is a machine of another architecture.
    pub(crate) fn choose(name: Option<&str>, table: &Table) -> Result<Self> {
        let architecture = table.machine().name;
        let mut fitting = Vec::new();
        for (known, text) in MACHINES {
            let file: MachineFile = toml::from_str(text).with_context(|| format!("machine {known}"))?;
            if file.architectures.is_empty() || file.architectures.iter().any(|other| other == architecture) {
                fitting.push((known, file));
            }
        }
        let names = fitting.iter().map(|(known, _)| *known).collect::<Vec<_>>().join(", ");
        let found = fitting.into_iter().find(|(known, _)| name.is_none_or(|name| name == *known));
        let Some((known, file)) = found else {
            bail!("the machine {} is none of {architecture}; of that there are {names}", name.unwrap_or("?"));
        };
        Machine::new(known, file, architecture)
    }

    fn new(name: &str, file: MachineFile, architecture: &str) -> Result<Self> {
        let processors = KnownProcessor::all().context("processors")?;
        let processor = file.processor.map(|name| processors.get(&name).with_context(|| format!("processor {name}")));
        let processor = processor.transpose()?;
        let bytes_per_node = size(&file.memory.node)?.bytes();
        ensure!(file.memory.nodes > 0, "machine {name} has no memory");
        let mut notes = Vec::new();
        if processor.is_none() {
            notes.push(format!("no translation caches of {architecture} are known here, so none are simulated"));
        }
        notes.extend(file.memory.no_direct_map.map(|why| format!("the direct map is not simulated: {why}")));
        let options = Options {
            nodes: file.memory.nodes,
            bytes_per_node,
            direct_leaf: file.memory.direct_map.as_deref().map(size).transpose()?,
            processor: processor.map(KnownProcessor::processor).unwrap_or_default(),
            ..Options::default()
        };
        Ok(Machine {
            name: name.to_owned(),
            about: file.about,
            source: processor.map(|processor| processor.source.clone()),
            memory_bytes: bytes_per_node * file.memory.nodes,
            notes,
            options,
            fragmented_units: file.memory.fragmented_units,
        })
    }

    /// Gives it the memory, direct map and translation caches that a survey says, as far as it does.
    pub(crate) fn like(mut self, facts: &MachineFacts) -> Result<Self> {
        let Some(memory_bytes) = facts.memory_bytes else { return Ok(self) };
        let nodes = facts.nodes.unwrap_or(1).clamp(1, 64);
        let unit = 1 << 30;
        let bytes_per_node = (memory_bytes.clamp(*MEMORY.start(), *MEMORY.end()) / nodes).max(unit) / unit * unit;
        (self.options.nodes, self.options.bytes_per_node) = (nodes, bytes_per_node);
        self.memory_bytes = nodes * bytes_per_node;
        let leaves = facts.direct_map.iter().rev().filter(|(_, bytes)| **bytes > 0);
        let largest = leaves.map(|(size, _)| *size).find_map(PageSize::from_bytes);
        if self.options.direct_leaf.is_some() {
            self.options.direct_leaf = largest.or(self.options.direct_leaf);
        }
        let leaf =
            self.options.direct_leaf.map_or(String::new(), |leaf| format!(", a direct map in {leaf} leaves at boot"));
        self.name = "surveyed".to_owned();
        self.about = format!("a machine like the surveyed one: {nodes} × {} GiB{leaf}", bytes_per_node >> 30);
        self.know_processor(facts)?;
        Ok(self)
    }

    fn know_processor(&mut self, facts: &MachineFacts) -> Result<()> {
        let Some(processor) = &facts.processor else { return Ok(()) };
        let known = KnownProcessor::all().context("processors")?;
        let (family, model) = (processor.family.unwrap_or(0), processor.model.unwrap_or(0));
        match known.values().find(|known| known.is_model(family, model)) {
            Some(known) => {
                self.options.processor = known.processor();
                self.source = Some(known.source.clone());
            }
            None if self.source.is_some() => self.notes.push(format!(
                "the translation caches of the {} are not known here; those of another processor stand for them",
                processor.name
            )),
            None => {}
        }
        Ok(())
    }

    /// What a process sees of it: pages and translation caches, and no direct map.
    pub(crate) fn of_a_process(mut self) -> Self {
        self.options.direct_leaf = None;
        self.notes.retain(|note| !note.contains("direct map"));
        self.about = "the memory of a process".to_owned();
        self
    }

    /// Takes memory from a cache of frames that the direct map does not show.
    ///
    /// # Errors
    ///
    /// It has no direct map.
    pub(crate) fn unmapped(mut self) -> Result<Self> {
        ensure!(self.has_direct_map(), "--unmapped needs a machine with a direct map; {} has none", self.name);
        self.options.is_unmapped = true;
        Ok(self)
    }

    /// Whether a direct map is simulated.
    pub(crate) const fn has_direct_map(&self) -> bool {
        self.options.direct_leaf.is_some()
    }

    /// A machine like it that has just booted, for the page sizes of a table. At most so many large pages can be had.
    pub(crate) fn boot(&self, table: &Table, merge: Merge, large_pages: Option<u64>) -> Sim {
        let sim = Sim::with_options(table.machine(), &Options { merge, ..self.options.clone() });
        sim.fragment(self.fragmented_units, FRAGMENT_SEED);
        large_pages.into_iter().for_each(|left| sim.limit_large_pages(left));
        sim
    }
}

fn size(text: &str) -> Result<PageSize> {
    parse_size(text).with_context(|| format!("{text} is no size: a power of two and K, M or G"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch;

    #[test]
    fn every_table_has_a_machine_and_none_has_the_caches_of_another_architecture() {
        for named in arch::all() {
            let machine = Machine::choose(None, &named.table).expect(named.name);
            let source = machine.source.clone().unwrap_or_default();
            let maker = [("x86", "Intel"), ("arm64", "Arm"), ("riscv64", "Microchip")];
            for (architecture, maker) in maker {
                let is_its = named.name.starts_with(architecture) && named.name != "x86-32";
                assert_eq!(source.contains(maker), is_its, "{}: {source}", named.name);
            }
            assert_eq!(source.is_empty(), machine.notes.iter().any(|note| note.contains("translation caches")));
        }
    }

    #[test]
    fn a_machine_of_another_architecture_is_refused() {
        let table = &arch::table("s390").expect("a table").table;
        let error = Machine::choose(Some("guest"), table).expect_err("x86").to_string();
        assert_eq!(error, "the machine guest is none of s390; of that there are plain");
        for (name, _) in MACHINES {
            assert!(arch::all().any(|named| Machine::choose(Some(name), &named.table).is_ok()), "{name}");
        }
    }

    #[test]
    fn a_surveyed_machine_has_its_own_memory_and_known_caches() {
        let table = &arch::table("x86").expect("a table").table;
        let mut facts = MachineFacts { memory_bytes: Some(33 << 30), nodes: Some(2), ..MachineFacts::default() };
        facts.direct_map = [(4096, 1), (2 << 20, 1), (1 << 30, 1 << 30)].into();
        let processor = |family, model| crate::survey::facts::ProcessorFacts {
            name: "a CPU".to_owned(),
            family: Some(family),
            model: Some(model),
        };
        facts.processor = Some(processor(6, 143));
        let machine = Machine::choose(None, table).and_then(|machine| machine.like(&facts)).expect("a machine");
        assert_eq!(machine.memory_bytes, 32 << 30);
        assert!(machine.about.contains("2 × 16 GiB, a direct map in 1G leaves"), "{}", machine.about);
        assert!(machine.source.as_ref().is_some_and(|source| source.contains("i9-12900")) && machine.notes.is_empty());
        facts.processor = Some(processor(25, 1));
        let machine = Machine::choose(None, table).and_then(|machine| machine.like(&facts)).expect("a machine");
        assert!(machine.notes.iter().any(|note| note.contains("a CPU are not known")), "{:?}", machine.notes);
    }
}
