//! Real kernel modules: every relocation computed and range-checked at kernel addresses, everything unloaded again.

use std::cell::Cell;
use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context as _, Error, Result, ensure};
use execmem::{Engine, Extent, Kind, Table};
use execmem_clients::module::{Loader, Module, PerCpu};
use execmem_sim::Sim;

use super::progress;
use super::report::{ModuleFailure, Report};
use crate::inputs::module_file::{ENDINGS, files_below, unpacked};

/// The kernel's own symbols are said to be in so many bytes of its image at most.
const KERNEL_TEXT_BYTES: u64 = 16 << 20;

/// Loads every module below a folder, then unloads all.
pub(crate) fn run(folder: &Path, table: &Table, report: &mut Report) -> Result<()> {
    let (files, unreadable) = files_below(folder)?;
    ensure!(!files.is_empty(), "no {} below {}", ENDINGS.join(", "), folder.display());
    for (folder, reason) in unreadable {
        report.modules_failed.push(ModuleFailure { name: folder.display().to_string(), reason });
    }
    let sim = Sim::new(table.machine());
    let machine = sim.control();
    let engine = Engine::new(*table, sim)?;
    let kernel = kernel_text(table).context("the table has no room for a kernel")?;
    let copies = Copies { next: Cell::new(kernel.start()) };
    let loader = Loader::new(&engine)?.with_per_cpu(&copies);
    let mut loaded: Vec<Module<&'_ Engine<Sim>, &Copies>> = Vec::new();
    let bar = progress(files.len() as u64, "modules");
    for file in &files {
        let name = file.file_name().and_then(OsStr::to_str).unwrap_or("?").to_owned();
        let outcome = unpacked(file).and_then(|data| {
            let coming = loader.load(&data, &|name: &str| Some(synthetic_address(kernel, name)))?;
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

/// Memory of which each processor has its own copy: addresses in the kernel's image, as code names them. Nothing is there.
struct Copies {
    next: Cell<u64>,
}

impl PerCpu for Copies {
    fn alloc(&self, len: u64, align: u64) -> Option<Extent> {
        let extent = Extent::new(self.next.get().checked_next_multiple_of(align)?, len)?;
        self.next.set(extent.last().checked_add(1)?);
        Some(extent)
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

/// Where the kernel's text is on the machine of a table: in its anchor, and where there is none, before the first window of
/// module text.
fn kernel_text(table: &Table) -> Option<Extent> {
    let anchor = table.machine().anchor;
    let before = || {
        let window = table.descriptor(Kind::Text).windows().next()?;
        Extent::new(window.start().checked_sub(KERNEL_TEXT_BYTES)?, KERNEL_TEXT_BYTES)
    };
    let image = anchor.or_else(before)?;
    image.part(0, image.len().min(KERNEL_TEXT_BYTES))
}

/// An address for a symbol of the kernel: the same for the same name, within reach of the modules, aligned as functions
/// are.
fn synthetic_address(kernel: Extent, name: &str) -> u64 {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    kernel.start() + hash % kernel.len() / 16 * 16
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
            let (kernel, anchor) = (kernel_text(&named.table), named.table.machine().anchor);
            assert!(kernel.is_some_and(|kernel| anchor.is_none_or(|anchor| anchor.covers(kernel))), "{}", named.name);
        }
    }
}
