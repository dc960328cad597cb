//! Real kernel modules: every relocation computed and range-checked at kernel addresses, everything unloaded again.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use execmem::{Engine, Table};
use execmem_clients::module::{Loader, Module};
use execmem_sim::Sim;

use super::progress;
use super::report::{ModuleFailure, Report};

/// Where the kernel's own symbols are said to be: its first 16 MiB of text.
const KERNEL_TEXT: u64 = 0xffff_ffff_8100_0000;
const KERNEL_TEXT_BYTES: u64 = 16 << 20;

/// Loads every module below a folder, then unloads all.
pub(crate) fn run(folder: &Path, table: &Table, report: &mut Report) -> Result<()> {
    let files = module_files(folder)?;
    ensure!(!files.is_empty(), "no .ko, .ko.xz or .ko.zst below {}", folder.display());
    let engine = Engine::new(*table, Sim::new(table.machine()))?;
    let loader = Loader::new(&engine)?;
    let mut loaded: Vec<Module> = Vec::new();
    let bar = progress(files.len() as u64, "modules");
    for file in &files {
        let name = file.file_name().and_then(OsStr::to_str).unwrap_or("?").to_owned();
        let outcome = read(file).and_then(|data| {
            let coming = loader.load(&data, &|name: &str| Some(synthetic_address(name)))?;
            Ok(coming.finish(&engine)?)
        });
        match outcome {
            Ok(module) => {
                report.baseline_mappings +=
                    module.extents().map(|(_, extent)| extent.len().div_ceil(4096)).sum::<u64>();
                loaded.push(module);
            }
            Err(error) => report.modules_failed.push(ModuleFailure { name, reason: format!("{error:#}") }),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    report.modules_loaded += loaded.len() as u64;
    report.add_engine(&engine);
    report.add_mappings(&engine.stats());
    report.wx_bytes += engine.backend().wx_bytes();
    report.audited(engine.audit());
    loaded.into_iter().for_each(|module| module.unload(&engine));
    engine.shrink();
    report.audited(engine.audit());
    let left = engine.stats().bytes_mapped();
    report.audited(if left == 0 { Ok(()) } else { Err(format!("I1: {left:#x} bytes stay mapped after unloading")) });
    Ok(())
}

/// An address for a symbol of the kernel: the same for the same name, within reach of the modules, aligned as functions
/// are.
pub(crate) fn synthetic_address(name: &str) -> u64 {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    KERNEL_TEXT + hash % KERNEL_TEXT_BYTES / 16 * 16
}

pub(crate) fn module_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_str().unwrap_or("");
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if [".ko", ".ko.xz", ".ko.zst"].iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The bytes of a module file, unpacked.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let packed = std::fs::read(path)?;
    let mut data = Vec::new();
    match path.extension().and_then(OsStr::to_str) {
        Some("ko") => return Ok(packed),
        Some("xz") => {
            lzma_rust2::XzReader::new(packed.as_slice(), true).read_to_end(&mut data)?;
        }
        Some("zst") => {
            let mut decoder = ruzstd::decoding::StreamingDecoder::new(packed.as_slice())?;
            decoder.read_to_end(&mut data)?;
        }
        other => bail!("unknown packing {other:?}"),
    }
    Ok(data)
}
