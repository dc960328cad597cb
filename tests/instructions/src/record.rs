//! The numbers: how they are printed, recorded and compared.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::profile::{COPYING, Counts};
use crate::work::{CLASSES, VERBS};

/// What a call may grow by.
const GROWTH: f64 = 1.03;

/// Instructions of one call.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Call {
    /// All of them but those that copy and fill.
    instructions: f64,
    /// Those that copy and fill, one for each that has a `rep` prefix.
    copying: f64,
    /// By the crate whose code they are.
    by_crate: BTreeMap<String, f64>,
}

/// Instructions of one call, by bytes of the allocation and by verb.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// What compiled it, `rustc --version`, and for which architecture.
    compiler: String,
    /// To allocate, write, publish and free 128 bytes.
    pair_128: f64,
    calls: BTreeMap<usize, BTreeMap<String, Call>>,
}

impl Record {
    /// The record of counts of all calls of each verb, for each size.
    pub(crate) fn new(counts: &[[Counts; VERBS.len()]]) -> Result<Self> {
        let of_class = |of_verbs: &[Counts; VERBS.len()], calls| {
            let verbs = VERBS.iter().zip(of_verbs);
            verbs.map(|(verb, counts)| ((*verb).to_owned(), Call::new(counts, calls))).collect::<BTreeMap<_, _>>()
        };
        let classes = CLASSES.iter().zip(counts);
        let calls = classes.map(|(class, counts)| (class.bytes, of_class(counts, class.calls()))).collect();
        let mut record = Record { compiler: compiler()?, pair_128: 0.0, calls };
        let of_128 = record.calls.get(&128).context("a size of 128 bytes")?;
        let pair = ["alloc", "write", "publish", "free"].iter().filter_map(|verb| of_128.get(*verb));
        record.pair_128 = rounded(pair.map(|call| call.instructions).sum());
        Ok(record)
    }

    /// What takes more instructions than in another record.
    pub(crate) fn grown_since(&self, before: &Record) -> Vec<String> {
        let mut grown = Vec::new();
        for (bytes, verbs) in &self.calls {
            for (verb, call) in verbs {
                let recorded = before.calls.get(bytes).and_then(|verbs| verbs.get(verb));
                let recorded = recorded.map_or(0.0, |call| call.instructions);
                if call.instructions > recorded * GROWTH {
                    grown.push(format!(
                        "{verb} of {bytes} bytes: {} instructions, {recorded} recorded",
                        call.instructions
                    ));
                }
            }
        }
        grown
    }

    /// What was recorded.
    pub(crate) fn read() -> Result<Self> {
        let file = file();
        let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("parsing {}", file.display()))
    }

    /// Records it.
    pub(crate) fn write(&self) -> Result<()> {
        let file = file();
        std::fs::write(&file, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("writing {}", file.display()))
    }
}

impl Call {
    fn new(counts: &Counts, calls: usize) -> Self {
        let each = |count: u64| rounded(count as f64 / calls as f64);
        let of_crates = || counts.by_crate.iter().filter(|(name, _)| **name != COPYING);
        Call {
            instructions: each(of_crates().map(|(_, count)| count).sum()),
            copying: each(counts.by_crate.get(COPYING).copied().unwrap_or(0)),
            by_crate: of_crates().map(|(name, count)| ((*name).to_owned(), each(*count))).collect(),
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "instructions of one call; those that copy and fill apart, a `rep` as one")?;
        writeln!(f, "{:>6}  {:<8} {:>7} {:>8}  by crate", "bytes", "verb", "", "copying")?;
        for (bytes, verbs) in &self.calls {
            for (verb, Call { instructions, copying, by_crate }) in verbs {
                write!(f, "{bytes:>6}  {verb:<8} {instructions:>7} {copying:>8} ")?;
                by_crate.iter().try_for_each(|(name, count)| write!(f, " {name} {count}"))?;
                writeln!(f)?;
            }
        }
        writeln!(f, "to allocate, write, publish and free 128 bytes: {}", self.pair_128)
    }
}

fn compiler() -> Result<String> {
    let output = Command::new("rustc").arg("--version").output().context("starting rustc")?;
    Ok(format!("{} {}", String::from_utf8_lossy(&output.stdout).trim(), std::env::consts::ARCH))
}

fn rounded(count: f64) -> f64 {
    (count * 10.0).round() / 10.0
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/record/instructions.json")
}
