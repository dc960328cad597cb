//! The facts as read, and as resolved.
//!
//! `Raw…` is what the file says and may make no sense; [`Config`] has every name resolved and every number parsed.

mod instructions;
mod kinds;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

pub(super) use instructions::{Instructions, Operand, Reach, Template};
pub(super) use kinds::{KindFacts, kinds};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    instructions: BTreeMap<String, instructions::RawInstructions>,
    machine: BTreeMap<String, RawMachine>,
    window: BTreeMap<String, RawWindow>,
    table: BTreeMap<String, RawTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawMachine {
    instructions: String,
    leaves: Vec<String>,
    leaves_source: String,
    anchor: Option<[String; 2]>,
    anchor_source: Option<String>,
    executable_segment: Option<String>,
    executable_segment_source: Option<String>,
    shadow_scale: Option<u8>,
    shadow_scale_source: Option<String>,
    feature: Option<String>,
    feature_source: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWindow {
    range: [String; 2],
    source: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTable {
    like: Option<String>,
    machine: Option<String>,
    about: String,
    #[serde(default)]
    legacy: bool,
    row: BTreeMap<String, toml::Table>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawRow {
    shares: Option<String>,
    windows: Option<Vec<String>>,
    placement: Option<String>,
    granularities: Option<Vec<String>>,
    growth: Option<String>,
    alignment: String,
    quantum: String,
    protection: Option<String>,
    fill: Option<String>,
    seal: Option<String>,
    #[serde(default)]
    anchored: bool,
    #[serde(default)]
    shadowed: bool,
    #[serde(default)]
    exclusive: bool,
    #[serde(default)]
    writable_and_executable: bool,
}

/// Everything one file says, resolved.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) instructions: Vec<Instructions>,
    pub(super) machines: Vec<Machine>,
    pub(super) windows: Vec<Window>,
    pub(super) tables: Vec<Table>,
}

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) name: String,
    /// Name of its instruction set.
    pub(super) instructions: String,
    pub(super) leaves_log2: Vec<u32>,
    pub(super) anchor: Option<(u64, u128)>,
    pub(super) executable_segment_log2: Option<u32>,
    pub(super) shadow_scale_log2: u8,
    /// Name of a constant of `Features`.
    pub(super) feature: &'static str,
    /// What is known from where.
    pub(super) sources: Vec<(&'static str, String)>,
}

#[derive(Debug)]
pub(super) struct Window {
    pub(super) name: String,
    pub(super) range: (u64, u128),
    pub(super) source: String,
}

#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) machine: String,
    pub(super) about: String,
    pub(super) is_legacy: bool,
    /// By kind, in table order.
    pub(super) rows: Vec<(&'static KindFacts, Row)>,
}

#[derive(Debug)]
pub(super) enum Row {
    Shares { with: &'static KindFacts, alignment_log2: u32, quantum_log2: u32 },
    Own(Box<Descriptor>),
}

#[derive(Debug)]
pub(super) struct Descriptor {
    pub(super) windows: Vec<String>,
    pub(super) granularities_log2: Vec<u32>,
    pub(super) alignment_log2: u32,
    pub(super) quantum_log2: u32,
    /// Rust paths of enum members: placement, growth, protection, fill, unused, seal.
    pub(super) placement: &'static str,
    pub(super) growth: &'static str,
    pub(super) protection: &'static str,
    pub(super) fill: &'static str,
    pub(super) unused: &'static str,
    pub(super) seal: &'static str,
    /// Flags: anchored, shadowed, exclusive, writable and executable.
    pub(super) flags: [bool; 4],
}

/// Reads and resolves a file.
pub(super) fn parse(text: &str) -> Result<Config> {
    let raw: RawConfig = toml::from_str(text)?;
    let instructions = raw
        .instructions
        .iter()
        .map(|(name, raw)| instructions::resolve(name, raw).with_context(|| format!("instructions {name}")));
    let instructions: Vec<_> = instructions.collect::<Result<_>>()?;
    let machines = raw.machine.iter().map(|(name, machine)| resolve_machine(name, machine, &instructions));
    let windows = raw.window.iter().map(|(name, window)| {
        let range = range(&window.range).with_context(|| format!("window {name}"))?;
        Ok(Window { name: name.clone(), range, source: window.source.clone() })
    });
    let tables = raw.table.keys().map(|name| resolve_table(&raw, name).with_context(|| format!("table {name}")));
    Ok(Config {
        machines: machines.collect::<Result<_>>()?,
        instructions,
        windows: windows.collect::<Result<_>>()?,
        tables: tables.collect::<Result<_>>()?,
    })
}

fn resolve_machine(name: &str, raw: &RawMachine, known: &[Instructions]) -> Result<Machine> {
    let instructions = known.iter().find(|set| set.name == raw.instructions);
    let instructions = instructions.with_context(|| format!("machine {name}: no instructions {}", raw.instructions))?;
    Ok(Machine {
        name: name.to_owned(),
        instructions: instructions.name.clone(),
        leaves_log2: raw.leaves.iter().map(|size| log2(size)).collect::<Result<_>>()?,
        anchor: raw.anchor.as_ref().map(range).transpose()?,
        executable_segment_log2: raw.executable_segment.as_deref().map(log2).transpose()?,
        shadow_scale_log2: raw.shadow_scale.unwrap_or(GENERIC_SHADOW_SCALE),
        feature: instructions::feature(raw.feature.as_deref())?,
        sources: sources(name, raw, instructions)?,
    })
}

/// Bytes of memory per byte of shadow of generic KASAN, as a logarithm.
const GENERIC_SHADOW_SCALE: u8 = 3;

/// Where the numbers of a machine are from. What is optional has a source if it is there.
fn sources(name: &str, raw: &RawMachine, instructions: &Instructions) -> Result<Vec<(&'static str, String)>> {
    let mut sources = vec![("leaves", raw.leaves_source.clone())];
    let optional = [
        ("anchor", raw.anchor.is_some(), &raw.anchor_source),
        ("executable-segment", raw.executable_segment.is_some(), &raw.executable_segment_source),
        ("shadow-scale", raw.shadow_scale.is_some(), &raw.shadow_scale_source),
        ("feature", raw.feature.is_some(), &raw.feature_source),
    ];
    for (item, is_there, source) in optional {
        ensure!(is_there == source.is_some(), "machine {name}: {item} needs a source");
        sources.extend(source.clone().map(|source| (item, source)));
    }
    sources.extend(instructions.sources.iter().cloned());
    Ok(sources)
}

fn resolve_table(raw: &RawConfig, name: &str) -> Result<Table> {
    let table = &raw.table[name];
    let (machine, rows) = merged(raw, name, 0)?;
    ensure!(raw.machine.contains_key(&machine), "no machine {machine}");
    let rows = kinds().iter().map(|kind| {
        let name = &kind.name;
        let row = rows.get(name).with_context(|| format!("no row {name}"))?;
        Ok((kind, resolve_row(raw, kind, row.clone()).with_context(|| format!("row {name}"))?))
    });
    Ok(Table {
        name: name.to_owned(),
        machine,
        about: table.about.clone(),
        is_legacy: table.legacy,
        rows: rows.collect::<Result<_>>()?,
    })
}

/// The machine and rows of a table with those of the table it is like underneath.
fn merged(raw: &RawConfig, name: &str, depth: usize) -> Result<(String, BTreeMap<String, toml::Table>)> {
    ensure!(depth < 8, "tables are like each other in a circle");
    let table = raw.table.get(name).with_context(|| format!("no table {name}"))?;
    let (mut machine, mut rows) = match &table.like {
        Some(like) => merged(raw, like, depth + 1)?,
        None => (String::new(), BTreeMap::new()),
    };
    if let Some(own) = &table.machine {
        machine.clone_from(own);
    }
    for (kind, changes) in &table.row {
        ensure!(kinds().iter().any(|known| known.name == *kind), "no kind {kind}");
        let row = rows.entry(kind.clone()).or_default();
        if changes.contains_key("shares") || row.contains_key("shares") && changes.contains_key("windows") {
            row.clear();
        }
        row.extend(changes.clone());
    }
    Ok((machine, rows))
}

fn resolve_row(raw: &RawConfig, kind: &KindFacts, row: toml::Table) -> Result<Row> {
    let row: RawRow = row.try_into()?;
    let (alignment_log2, quantum_log2) = (log2(&row.alignment)?, log2(&row.quantum)?);
    if let Some(with) = &row.shares {
        let with = kinds().iter().find(|known| known.name == *with).with_context(|| format!("no kind {with}"))?;
        return Ok(Row::Shares { with, alignment_log2, quantum_log2 });
    }
    let windows = row.windows.context("no windows")?;
    for window in &windows {
        ensure!(raw.window.contains_key(window), "no window {window}");
    }
    let granularities = row.granularities.context("no granularities")?;
    let choose = |value: Option<&String>, default, names: &[(&str, &'static str)]| choose(value, default, names);
    Ok(Row::Own(Box::new(Descriptor {
        windows,
        granularities_log2: granularities.iter().map(|size| log2(size)).collect::<Result<_>>()?,
        alignment_log2,
        quantum_log2,
        placement: choose(row.placement.as_ref(), "", &[("bottom-up", "BottomUp"), ("top-down", "TopDown")])?,
        growth: choose(row.growth.as_ref(), "whole", &[("whole", "Whole"), ("tail", "Tail"), ("small", "Small")])?,
        protection: choose(
            row.protection.as_ref(),
            "",
            &[("r--", "ReadOnly"), ("rw-", "ReadWrite"), ("r-x", "ReadExecute")],
        )?,
        fill: choose(row.fill.as_ref(), "", &[("direct", "Direct"), ("poke", "Poke"), ("flip", "Flip")])?,
        unused: if kind.class == "Code" { "Trap" } else { "Zero" },
        seal: choose(row.seal.as_ref(), "never", &[("never", "Never"), ("pages", "Pages"), ("block", "Block")])?,
        flags: [row.anchored, row.shadowed, row.exclusive, row.writable_and_executable],
    })))
}

/// The Rust name of a written choice.
fn choose(value: Option<&String>, default: &str, names: &[(&str, &'static str)]) -> Result<&'static str> {
    let written = value.map_or(default, String::as_str);
    let found = names.iter().find(|(name, _)| *name == written).map(|(_, rust)| *rust);
    let known: Vec<_> = names.iter().map(|(name, _)| *name).collect();
    found.with_context(|| format!("`{written}` is none of {}", known.join(", ")))
}

/// A number, hexadecimal or decimal.
fn number(text: &str) -> Result<u128> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u128::from_str_radix(&digits.replace('_', ""), 16),
        None => text.replace('_', "").parse(),
    };
    parsed.with_context(|| format!("`{text}` is no number"))
}

fn signed(text: &str) -> Result<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    Ok(i64::try_from(sign * i128::try_from(number(digits)?)?)?)
}

/// A half-open range. The end may be 2⁶⁴.
fn range([start, end]: &[String; 2]) -> Result<(u64, u128)> {
    let (start, end) = (u64::try_from(number(start)?)?, number(end)?);
    ensure!(u128::from(start) < end && end <= 1 << 64, "{start:#x}..{end:#x} is empty or too long");
    Ok((start, end))
}

/// The logarithm of a size such as `64`, `4K` or `2M`.
fn log2(size: &str) -> Result<u32> {
    let shift = match size.bytes().last() {
        Some(b'K') => 10,
        Some(b'M') => 20,
        Some(b'G') => 30,
        _ => 0,
    };
    let bytes = u64::try_from(number(size.trim_end_matches(['K', 'M', 'G']))?)? << shift;
    ensure!(bytes.is_power_of_two(), "{size} is not a power of two");
    Ok(bytes.trailing_zeros())
}
