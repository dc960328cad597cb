//! Real kernel modules: every relocation computed and range-checked at kernel addresses, everything unloaded again.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Error, Result, ensure};
use execmem::{Engine, Extent, Kind, Table};
use execmem_clients::module::{Loader, Module, PerCpu};
use execmem_sim::Sim;

use super::report::{ModuleFailure, Report};
use super::{progress, rounds};
use crate::inputs::module_file::{ENDINGS, files_below, unpacked};

/// The kernel's own symbols are said to be in so many bytes of its image at most.
const KERNEL_TEXT_BYTES: u64 = 16 << 20;

/// Loads every module below a folder, then unloads all; and does both again for so many rounds.
pub(crate) fn run(folder: &Path, table: &Table, rounds: u64, report: &mut Report) -> Result<()> {
    let (files, unreadable) = files_below(folder)?;
    ensure!(!files.is_empty(), "no {} below {}", ENDINGS.join(", "), folder.display());
    for (folder, reason) in unreadable {
        report.modules_failed.push(ModuleFailure { name: folder.display().to_string(), reason });
    }
    load_all(&files, table, report)?;
    rounds::run(&files, table, rounds, report)
}

fn load_all(files: &[PathBuf], table: &Table, report: &mut Report) -> Result<()> {
    let sim = Sim::new(table.machine());
    let machine = sim.control();
    let engine = Engine::new(*table, sim)?;
    let symbols = Symbols::of(table).context("the table has no room for a kernel")?;
    let copies = symbols.copies();
    let loader = Loader::new(&engine)?.with_per_cpu(&copies);
    let mut loaded: Vec<Module<&'_ Engine<Sim>, &Copies>> = Vec::new();
    let bar = progress(files.len() as u64, "modules");
    for file in files {
        let name = file.file_name().and_then(OsStr::to_str).unwrap_or("?").to_owned();
        let outcome = unpacked(file).and_then(|data| {
            let coming = loader.load(&data, &|name: &str| Some(symbols.address(name)))?;
            Ok(coming.finish_or_unload()?)
        });
        match outcome {
            Ok(module) => {
                report.baseline_mappings +=
                    module.extents().map(|(_, extent)| extent.len().div_ceil(4096)).sum::<u64>();
                loaded.push(module);
            }
            Err(error) => report.modules_failed.push(ModuleFailure { name, reason: reason_of(&error) }),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    report.modules_loaded += loaded.len() as u64;
    report.add_engine(&engine);
    report.add_mappings(&engine.stats());
    report.wx_bytes += machine.wx_bytes();
    report.audited(engine.audit());
    loaded.into_iter().for_each(|module| module.unload());
    engine.shrink();
    report.audited(engine.audit());
    let left = engine.stats().bytes_mapped();
    report.audited(if left == 0 { Ok(()) } else { Err(format!("I1: {left:#x} bytes stay mapped after unloading")) });
    Ok(())
}

/// What modules ask the kernel for, of which nothing is there: addresses in its image.
#[derive(Clone, Copy)]
pub(super) struct Symbols {
    kernel: Extent,
}

impl Symbols {
    /// Those of the kernel on the machine of a table. It is in the anchor, and where there is none, before the first window
    /// of module text.
    pub(super) fn of(table: &Table) -> Option<Self> {
        let anchor = table.machine().anchor;
        let before = || {
            let window = table.descriptor(Kind::Text).windows().next()?;
            Extent::new(window.start().checked_sub(KERNEL_TEXT_BYTES)?, KERNEL_TEXT_BYTES)
        };
        let image = anchor.or_else(before)?;
        Some(Symbols { kernel: image.part(0, image.len().min(KERNEL_TEXT_BYTES))? })
    }

    /// An address for a name, always the same, within reach of the modules, aligned as functions are.
    pub(super) fn address(&self, name: &str) -> u64 {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, step);
        self.kernel.start() + hash % self.kernel.len() / 16 * 16
    }

    /// Memory of processors in the image, from its start on.
    pub(super) fn copies(&self) -> Copies {
        Copies { next: AtomicU64::new(self.kernel.start()) }
    }
}

/// Memory of which each processor has its own copy, as code names it.
pub(super) struct Copies {
    next: AtomicU64,
}

impl PerCpu for Copies {
    fn alloc(&self, len: u64, align: u64) -> Option<Extent> {
        let extent = |start: u64| Extent::new(start.checked_next_multiple_of(align)?, len);
        let end = |start| extent(start)?.last().checked_add(1);
        extent(self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, end).ok()?)
    }
    fn fill(&self, _: Extent, _: &[u8]) {}
    fn free(&self, _: Extent) {}
}

/// An error and its causes, each said once: the messages of some hold those of their causes.
fn reason_of(error: &Error) -> String {
    let mut reason = String::new();
    for cause in error.chain().map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        if !reason.contains(&cause) {
            reason = if reason.is_empty() { cause } else { format!("{reason}: {cause}") };
        }
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_said_once() {
        let (kind, source) = (Kind::Text.into(), execmem::BackendError::Unsupported);
        let error = Error::from(execmem_clients::Error::from(execmem::Error::Backend { kind, source }));
        let reason = reason_of(&error.context("x.ko"));
        assert_eq!(reason.matches("no such operation").count(), 1, "{reason}");
        assert!(reason.starts_with("x.ko: "), "{reason}");
    }

    #[test]
    fn the_kernel_is_where_the_machine_has_it() {
        for named in [execmem_arch_arm64::TABLES, execmem_arch_riscv::TABLES, execmem_arch_x86::TABLES].concat() {
            let (symbols, anchor) = (Symbols::of(&named.table), named.table.machine().anchor);
            let is_there = |symbols: Symbols| anchor.is_none_or(|anchor| anchor.covers(symbols.kernel));
            assert!(symbols.is_some_and(is_there), "{}", named.name);
        }
    }
}
