//! BPF programs of Debian packages: the functions in their objects, wherever these are.

use std::path::{Path, PathBuf};

use object::elf::{EM_BPF, SHF_EXECINSTR};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionFlags, SymbolKind};

use super::programs::Case;

const INSTRUCTION_BYTES: usize = 8;
const CALL: u8 = 0x85;
/// What a call's source register says if it calls a helper of the kernel, or a function of the same section.
const HELPER: u8 = 0;
const LOCAL: u8 = 1;
/// Bytes of context that a program gets: zeros.
const CONTEXT_BYTES: usize = 8192;

/// The folder that `cargo xtask fetch-bpf` fills.
fn store() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bpf")
}

/// Every function in every object, and how many objects there are.
pub(crate) fn fetched() -> (Vec<Case>, usize) {
    let (mut cases, mut objects) = (Vec::new(), 0);
    for file in files(store()) {
        let Ok(data) = std::fs::read(&file) else { continue };
        for start in objects_in(&data) {
            if let Ok(object) = object::File::parse(&data[start..]) {
                objects += 1;
                functions(&object, &file, &mut cases);
            }
        }
    }
    (cases, objects)
}

fn files(folder: PathBuf) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder]);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// Where objects for BPF begin: the file itself, or what a program carries in its data.
fn objects_in(data: &[u8]) -> Vec<usize> {
    let is_object = |start: &usize| {
        let header = &data[*start..];
        header.starts_with(b"\x7fELF\x02\x01") && header.get(18..20) == Some(&EM_BPF.to_le_bytes()[..])
    };
    (0..data.len()).step_by(8).filter(is_object).collect()
}

/// The functions of an object, each with what follows in its section: calls go there.
fn functions(object: &object::File<'_>, file: &Path, cases: &mut Vec<Case>) {
    for section in object.sections() {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else { continue };
        let Ok(code) = section.data() else { continue };
        if sh_flags & u64::from(SHF_EXECINSTR) == 0 || code.is_empty() {
            continue;
        }
        let here = object.symbols().filter(|symbol| symbol.section_index() == Some(section.index()));
        for symbol in here.filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_global()) {
            let start = usize::try_from(symbol.address()).unwrap_or(usize::MAX);
            let Some(code) = code.get(start..) else { continue };
            let name = format!("{}: {}", file.display(), symbol.name().unwrap_or("?"));
            cases.push(Case { name, code: code.to_vec(), memory: vec![0; CONTEXT_BYTES], is_packet: false });
        }
    }
}

/// The helpers that a program calls, `None` if it calls anything else outside of itself; or a function before the call,
/// which the interpreter of rbpf 0.4.1 cannot do.
pub(crate) fn helpers(code: &[u8]) -> Option<Vec<u32>> {
    let calls = code.chunks_exact(INSTRUCTION_BYTES).filter(|instruction| instruction[0] == CALL);
    let number = |call: &[u8]| call[4..].first_chunk().map(|number| u32::from_le_bytes(*number));
    let helpers = calls.filter_map(|call| match (call[1] >> 4, number(call)) {
        (LOCAL, Some(distance)) if distance <= i32::MAX.cast_unsigned() => None,
        (HELPER, number) => Some(number),
        _ => Some(None),
    });
    helpers.collect()
}
