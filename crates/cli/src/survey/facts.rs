//! The survey as a file: what a machine has in executable memory, and what could not be read.
//!
//! One format for all inputs, so that a survey that is made on one machine is answered on another. JSON, one object.
//! `schema` changes when a reader of an older file would misread a newer one.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use execmem::Kind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::inputs::{MOST_BYTES, MOST_REGION_BYTES, check_bytes};
use crate::provenance::Provenance;

/// The name and version of the format.
pub(crate) const SCHEMA: &str = "execmem-survey-1";

/// Facts about one machine at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Survey {
    /// The format: `execmem-survey-1`.
    pub(crate) schema: String,
    /// What made the file.
    pub(crate) provenance: Provenance,
    /// The machine.
    #[serde(default)]
    pub(crate) machine: MachineFacts,
    /// Modules, in load order.
    #[serde(default)]
    pub(crate) modules: Vec<ModuleFacts>,
    /// BPF programs that are compiled, in load order.
    #[serde(default)]
    pub(crate) programs: Vec<Piece>,
    /// Slots of kprobes.
    #[serde(default)]
    pub(crate) probes: Vec<Piece>,
    /// Trampolines of ftrace.
    #[serde(default)]
    pub(crate) trampolines: Vec<Piece>,
    /// Where code and data of the kernel lie now.
    #[serde(default)]
    pub(crate) places: Vec<Place>,
    /// Executable memory of a process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) process: Option<ProcessFacts>,
    /// Loads and unloads, in order of time.
    #[serde(default)]
    pub(crate) events: Vec<Event>,
    /// What could not be read.
    #[serde(default)]
    pub(crate) missing: Vec<Missing>,
}

/// The machine, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MachineFacts {
    /// As `uname -m` has it.
    pub(crate) architecture: Option<String>,
    /// Bytes of a page.
    pub(crate) page_bytes: Option<u64>,
    /// As `uname -r` has it.
    pub(crate) release: Option<String>,
    /// Bytes of memory.
    pub(crate) memory_bytes: Option<u64>,
    /// Nodes of memory.
    pub(crate) nodes: Option<u64>,
    /// Bytes of the direct map by the size of their leaves, in bytes; x86 only.
    #[serde(default)]
    pub(crate) direct_map: BTreeMap<u64, u64>,
    /// The processor.
    pub(crate) processor: Option<ProcessorFacts>,
}

/// A processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProcessorFacts {
    /// What it is called.
    pub(crate) name: String,
    /// Family, as CPUID has it.
    pub(crate) family: Option<u32>,
    /// Model, as CPUID has it.
    pub(crate) model: Option<u32>,
}

/// A module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModuleFacts {
    /// Its name.
    pub(crate) name: String,
    /// Bytes that stay after initialisation, in whole pages, as `/proc/modules` has them.
    pub(crate) bytes: Option<u64>,
    /// Bytes by kind, if its file could be read.
    pub(crate) sections: Option<Sections>,
}

/// Bytes of a module by kind of memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Sections {
    pub(crate) text: u64,
    pub(crate) data: u64,
    pub(crate) rodata: u64,
    pub(crate) ro_after_init: u64,
    pub(crate) init_text: u64,
    pub(crate) init_data: u64,
    pub(crate) init_rodata: u64,
    /// The symbol table that the kernel keeps with the module's data.
    pub(crate) kallsyms: u64,
    /// The unpacked file.
    pub(crate) file: u64,
}

impl Sections {
    /// Bytes of a kind of module memory. `None` for kinds of other callers.
    pub(crate) const fn of_mut(&mut self, kind: Kind) -> Option<&mut u64> {
        match kind {
            Kind::Text => Some(&mut self.text),
            Kind::Data => Some(&mut self.data),
            Kind::RoData => Some(&mut self.rodata),
            Kind::RoAfterInit => Some(&mut self.ro_after_init),
            Kind::InitText => Some(&mut self.init_text),
            Kind::InitData => Some(&mut self.init_data),
            Kind::InitRoData => Some(&mut self.init_rodata),
            _ => None,
        }
    }

    /// Bytes in the order of [`Kind::MODULE`].
    pub(crate) fn by_kind(mut self) -> [u64; 7] {
        Kind::MODULE.map(|kind| self.of_mut(kind).map_or(0, |bytes| *bytes))
    }

    fn all(&self) -> impl Iterator<Item = u64> + use<> {
        self.by_kind().into_iter().chain([self.kallsyms, self.file])
    }
}

/// A piece of code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Piece {
    /// Its name.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) bytes: u64,
    /// Where it lies, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<Address>,
}

/// A stretch of memory that holds something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// The module, program or trampoline.
    pub(crate) name: String,
    /// `text`, `data`, `rodata`, `kprobe`, `ftrace` or `bpf`.
    pub(crate) kind: String,
    /// The first address that is known to be its.
    pub(crate) start: Address,
    /// Bytes up to the last address that is known to be its.
    pub(crate) bytes: u64,
}

/// Executable memory of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProcessFacts {
    /// Mappings that are executable and not of a program or library.
    pub(crate) regions: Vec<Region>,
    /// Functions, in the order they were made.
    pub(crate) functions: Vec<Piece>,
}

/// A mapping of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Region {
    /// Its first address.
    pub(crate) start: Address,
    /// Its bytes.
    pub(crate) bytes: u64,
    /// Whether it is writable as well as executable.
    pub(crate) is_writable: bool,
    /// What the kernel says it is.
    pub(crate) name: String,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Subject {
    Module,
    Program,
    Probe,
    Trampoline,
}

/// A load, or an unload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Event {
    /// When, from any beginning.
    pub(crate) seconds: f64,
    /// Of what.
    pub(crate) subject: Subject,
    /// A load; if not, an unload.
    pub(crate) is_load: bool,
    /// Its name.
    pub(crate) name: String,
    /// Its bytes, if the trace says them. Of a module, in whole pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bytes: Option<u64>,
    /// A module's bytes by kind, if the trace says them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sections: Option<Sections>,
}

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Missing {
    /// What.
    pub(crate) what: String,
    /// Of which modules, if not of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) names: Vec<String>,
    /// Why.
    pub(crate) why: String,
    /// What to do to have it.
    pub(crate) how: String,
}

/// An address, as text: JSON numbers lose the low bits of 64-bit values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub(crate) struct Address(pub(crate) u64);

impl From<Address> for String {
    fn from(address: Address) -> String {
        format!("{:#x}", address.0)
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.strip_prefix("0x").ok_or(format!("`{text}` is no address: it begins with 0x"))?;
        u64::from_str_radix(digits, 16).map(Address).map_err(|error| format!("`{text}` is no address: {error}"))
    }
}

impl Survey {
    /// An empty survey of this format.
    pub(crate) fn new() -> Self {
        Survey { schema: SCHEMA.to_owned(), provenance: Provenance::of_this_run(), ..Survey::default() }
    }

    /// Reads a survey from its file's text.
    ///
    /// # Errors
    ///
    /// It is of another format, or a number in it is out of range.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let value: serde_json::Value = serde_json::from_str(text).context("this is no JSON")?;
        let schema = value["schema"].as_str().unwrap_or("none");
        ensure!(
            schema == SCHEMA,
            "this is of the format `{schema}`; `{SCHEMA}` is wanted, as `execmem survey` writes it"
        );
        let mut survey: Survey = serde_json::from_value(value).context("this is no survey")?;
        survey.check()?;
        survey.escape_texts();
        Ok(survey)
    }

    fn check(&self) -> Result<()> {
        let modules = self.modules.iter().flat_map(|module| {
            let sections = module.sections.iter().flat_map(Sections::all).chain(module.bytes);
            sections.map(|bytes| (&module.name, bytes))
        });
        let pieces = self.programs.iter().chain(&self.probes).chain(&self.trampolines);
        let functions = self.process.iter().flat_map(|process| &process.functions);
        let pieces = pieces.chain(functions).map(|piece| (&piece.name, piece.bytes));
        let events = self.events.iter().flat_map(|event| {
            let sections = event.sections.iter().flat_map(Sections::all).chain(event.bytes);
            sections.map(|bytes| (&event.name, bytes))
        });
        for (name, bytes) in modules.chain(pieces).chain(events) {
            check_bytes(bytes, MOST_BYTES).with_context(|| name.escape_debug().to_string())?;
        }
        let regions = self.process.iter().flat_map(|process| &process.regions);
        let regions = regions.map(|region| (&region.name, region.bytes));
        let places = self.places.iter().map(|place| (&place.name, place.bytes));
        for (name, bytes) in regions.chain(places) {
            check_bytes(bytes, MOST_REGION_BYTES).with_context(|| name.escape_debug().to_string())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_survey_is_read_as_it_was_written() {
        let mut survey = Survey::new();
        survey.machine.architecture = Some("x86_64".to_owned());
        let sections = Some(Sections { text: 1, init_rodata: 2, kallsyms: 3, ..Sections::default() });
        survey.modules.push(ModuleFacts { name: "ext4".to_owned(), bytes: Some(4096), sections });
        let address = Some(Address(0xffff_ffff_c020_1000));
        survey.programs.push(Piece { name: "p".to_owned(), bytes: 9, address });
        let text = serde_json::to_string(&survey).expect("JSON");
        assert!(text.contains("\"0xffffffffc0201000\"") && text.contains("\"init-rodata\":2"), "{text}");
        assert_eq!(Survey::parse(&text).expect("a survey"), survey);
        let other = text.replace(SCHEMA, "execmem-survey-2");
        let error = format!("{:#}", Survey::parse(&other).expect_err("another format"));
        assert!(error.contains("`execmem-survey-2`") && error.contains(SCHEMA), "{error}");
        let huge = text.replace("\"bytes\":9", "\"bytes\":18446744073709551615");
        assert!(
            format!("{:#}", Survey::parse(&huge).expect_err("too large")).contains("p: 18446744073709551615 bytes")
        );
    }
}
