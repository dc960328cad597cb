//! The readers of files that come from anywhere, each as a function of their bytes, for fuzzers.

use anyhow::Result;

use crate::inputs::{bpftool, csv, kallsyms, maps, module_file, perf_map, proc_modules, trace};
use crate::survey::facts::Survey;
use crate::workload::Workload;

/// A reader of one format.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    /// The format, as options of the command name it.
    pub name: &'static str,
    read: fn(&[u8]) -> Result<Option<String>>,
}

impl Reader {
    /// Reads a file's bytes. Returns what the command writes of them in the same format, if it writes that format.
    ///
    /// # Errors
    ///
    /// What the command prints.
    pub fn read(&self, data: &[u8]) -> Result<Option<String>, String> {
        (self.read)(data).map_err(|error| crate::shown(&error))
    }
}

/// Every reader.
pub const ALL: &[Reader] = &[
    Reader { name: "bpftool", read: |data| bpftool::parse(&text(data)).map(|_| None) },
    Reader { name: "csv", read: |data| csv::parse(&text(data), &mut Survey::new()).map(|()| None) },
    Reader { name: "kallsyms", read: |data| kallsyms::parse(&text(data)).map(|_| None) },
    Reader { name: "maps", read: |data| maps::parse(&text(data)).map(|_| None) },
    Reader { name: "modules", read: |data| module_file::read_unpacked(data, (6, 1)).map(|_| None) },
    Reader { name: "perf-map", read: |data| perf_map::parse(&text(data)).map(|_| None) },
    Reader { name: "proc-modules", read: |data| proc_modules::parse(&text(data)).map(|_| None) },
    Reader { name: "survey", read: survey },
    Reader { name: "trace", read: |data| trace::parse(&text(data)).map(|_| None) },
    Reader { name: "workload", read: |data| Workload::parse(&text(data)).map(|_| None) },
];

/// Bytes as the command takes them from files: what is no UTF-8 becomes U+FFFD.
fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

fn survey(data: &[u8]) -> Result<Option<String>> {
    Ok(Some(serde_json::to_string(&Survey::parse(&text(data))?)?))
}
