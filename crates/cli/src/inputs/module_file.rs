//! A module's file: what the kernel will need for it by kind, from the section headers and the symbol table alone.
//!
//! Nothing is loaded or relocated, so files of every architecture can be read. Where Linux changed its mind, the release
//! decides. Source: kernel/module/main.c (`layout_sections`, `rewrite_section_headers`), kernel/module/kallsyms.c
//! (`layout_symtab`, `is_core_symbol`, with CONFIG_KALLSYMS_ALL, which distributions have).

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use execmem::Kind;
use execmem_sim::policy::Release;
use object::elf::{
    ET_REL, FileHeader32, FileHeader64, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHN_LORESERVE, SHN_UNDEF, SHT_SYMTAB,
};
use object::read::elf::{FileHeader, SectionHeader as _, Sym as _, SymbolTable};
use object::{Endianness, FileKind};

use super::{MOST_BYTES, check_bytes};
use crate::survey::facts::Sections;

/// The most bytes of an unpacked file.
const MOST_FILE: u64 = 256 << 20;
/// Endings of module files.
pub(crate) const ENDINGS: [&str; 4] = [".ko", ".ko.xz", ".ko.zst", ".ko.gz"];

/// The first release in which `.static_call_sites` is read-only after initialisation. Measured: 6.12 has it in data, 7.2
/// has not.
const STATIC_CALLS_SEALED: Release = (6, 16);
/// The first release in which the symbol table follows the data; before, it has pages of its own.
const TABLE_AFTER_DATA: Release = (6, 4);
/// `struct mod_kallsyms`: what the loader needs while it initialises.
const INIT_SYMBOLS_BYTES: u64 = 40;
/// What the kernel keeps of a symbol beside its entry: the letter that `nm` has.
const SYMBOL_TYPE_BYTES: u64 = 1;

/// Whether a release keeps symbol tables on pages of their own.
pub(crate) fn has_table_apart(release: Release) -> bool {
    release < TABLE_AFTER_DATA
}

/// A module's name by its file's name, as the kernel says it: without endings, and `-` is `_`.
pub(crate) fn name_of(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let stem = ENDINGS.iter().find_map(|ending| file.strip_suffix(ending))?;
    Some(stem.replace('-', "_"))
}

/// What could not be read, and why.
pub(crate) type Unreadable = (PathBuf, String);

/// Every module file below a folder, in order of path. Links are not followed: one with the name of a module, and whatever
/// else is no regular file, is refused. That and folders that cannot be read are the second list.
///
/// # Errors
///
/// The folder itself cannot be read.
pub(crate) fn files_below(folder: &Path) -> Result<(Vec<PathBuf>, Vec<Unreadable>)> {
    let (mut files, mut unreadable) = (Vec::new(), Vec::new());
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let entries = match std::fs::read_dir(&next) {
            Ok(entries) => entries,
            Err(error) if next == folder => return Err(error).with_context(|| format!("reading {}", next.display())),
            Err(error) => {
                unreadable.push((next, error.to_string()));
                continue;
            }
        };
        for entry in entries {
            let found = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)));
            match found {
                Ok((path, kind)) if kind.is_dir() => folders.push(path),
                Ok((path, _)) if name_of(&path).is_none() => {}
                Ok((path, kind)) if kind.is_file() => files.push(path),
                Ok((path, _)) => unreadable.push((path, "it is no regular file".to_owned())),
                Err(error) => unreadable.push((next.clone(), error.to_string())),
            }
        }
    }
    files.sort();
    unreadable.sort();
    Ok((files, unreadable))
}

/// The bytes of a module's file by kind.
///
/// # Errors
///
/// It cannot be read, unpacks to more than 256 MiB, or is no relocatable object.
pub(crate) fn read(path: &Path, release: Release) -> Result<Sections> {
    read_unpacked(&unpacked(path)?, release)
}

/// The bytes of a module by kind, from the bytes of its file.
///
/// # Errors
///
/// It is no relocatable object.
pub(crate) fn read_unpacked(data: &[u8], release: Release) -> Result<Sections> {
    let mut sections = match FileKind::parse(data) {
        Ok(FileKind::Elf64) => sizes::<FileHeader64<Endianness>>(data, release),
        Ok(FileKind::Elf32) => sizes::<FileHeader32<Endianness>>(data, release),
        _ => bail!("it is no ELF file"),
    }?;
    sections.file = data.len() as u64;
    Ok(sections)
}

/// The bytes of a module's file, unpacked.
///
/// # Errors
///
/// It cannot be read, or unpacks to more than 256 MiB.
pub(crate) fn unpacked(path: &Path) -> Result<Vec<u8>> {
    let packed = std::io::BufReader::new(std::fs::File::open(path)?.take(MOST_FILE));
    let mut data = Vec::new();
    let mut limited = |reader: &mut dyn std::io::Read| reader.take(MOST_FILE + 1).read_to_end(&mut data);
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("xz") => limited(&mut lzma_rust2::XzReader::new(packed, true))?,
        Some("zst") => limited(&mut ruzstd::decoding::StreamingDecoder::new(packed)?)?,
        Some("gz") => limited(&mut flate2::read::MultiGzDecoder::new(packed))?,
        _ => limited(&mut { packed })?,
    };
    ensure!(data.len() as u64 <= MOST_FILE, "it unpacks to more than {} MiB", MOST_FILE >> 20);
    Ok(data)
}

fn sizes<Elf: FileHeader<Endian = Endianness>>(data: &[u8], release: Release) -> Result<Sections> {
    let header = Elf::parse(data)?;
    let endian = header.endian()?;
    ensure!(header.e_type(endian) == ET_REL, "it is no relocatable object");
    let table = header.sections(endian, data)?;
    let mut sections = Sections::default();
    for section in table.iter() {
        let flags: u64 = section.sh_flags(endian).into();
        let name = table.section_name(endian, section)?;
        let Some(bytes) = kind_of(name, flags, release).and_then(|kind| sections.of_mut(kind)) else { continue };
        let align = Into::<u64>::into(section.sh_addralign(endian)).max(1);
        let start = bytes.checked_next_multiple_of(align);
        *bytes = start.and_then(|start| start.checked_add(section.sh_size(endian).into())).unwrap_or(u64::MAX);
        check_bytes(*bytes, MOST_BYTES)?;
    }
    let symbols = table.symbols(endian, data, SHT_SYMTAB)?;
    let is_kept = |index: u16| -> bool {
        let section = table.section(object::SectionIndex(index.into()));
        section.is_ok_and(|section| {
            let name = table.section_name(endian, section).unwrap_or(b"");
            // Symbols of percpu variables are kept, their section's flags are taken away.
            name == PERCPU || (kind_of(name, section.sh_flags(endian).into(), release).is_some() && !is_init(name))
        })
    };
    let strings = table.section(symbols.string_section()).map_or(0, |strings| strings.sh_size(endian).into());
    let entry = size_of::<Elf::Sym>() as u64 + SYMBOL_TYPE_BYTES;
    sections.kallsyms = kept_symbol_bytes(&symbols, endian, entry, is_kept);
    sections.init_data += symbols.len() as u64 * entry + strings + INIT_SYMBOLS_BYTES;
    check_bytes(sections.init_data, MOST_BYTES)?;
    Ok(sections)
}

const PERCPU: &[u8] = b".data..percpu";

fn is_init(name: &[u8]) -> bool {
    name.starts_with(b".init")
}

/// The kind of a section, `None` if it is not loaded with the module.
fn kind_of(name: &[u8], flags: u64, release: Release) -> Option<Kind> {
    let has = |flag: u32| flags & u64::from(flag) != 0;
    let is_dropped = name == b".modinfo" || name.starts_with(b"__versions") || name == PERCPU;
    if !has(SHF_ALLOC) || is_dropped {
        return None;
    }
    let is_sealed = match name {
        b".data..ro_after_init" | b"__jump_table" => true,
        b".static_call_sites" => release >= STATIC_CALLS_SEALED,
        _ => false,
    };
    Some(match (has(SHF_EXECINSTR), has(SHF_WRITE), is_init(name)) {
        (true, _, false) => Kind::Text,
        (true, _, true) => Kind::InitText,
        (false, false, false) => Kind::RoData,
        (false, false, true) => Kind::InitRoData,
        (false, true, true) => Kind::InitData,
        (false, true, false) if is_sealed => Kind::RoAfterInit,
        (false, true, false) => Kind::Data,
    })
}

/// Bytes of the symbol table that stays after initialisation. The empty symbol, whose name is empty, comes first.
fn kept_symbol_bytes<Elf: FileHeader<Endian = Endianness>>(
    symbols: &SymbolTable<'_, Elf>,
    endian: Endianness,
    entry: u64,
    is_kept: impl Fn(u16) -> bool,
) -> u64 {
    let mut bytes = 0;
    for (index, symbol) in symbols.iter().enumerate() {
        let section = symbol.st_shndx(endian);
        let is_named_here = symbol.st_name(endian) != 0 && section != SHN_UNDEF && section < SHN_LORESERVE;
        if index == 0 || (is_named_here && is_kept(section)) {
            let name = symbol.name(endian, symbols.strings()).unwrap_or(b"");
            bytes += entry + name.len() as u64 + 1;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use object::write::{Object, StandardSegment, Symbol, SymbolSection};
    use object::{Architecture, BinaryFormat, SectionKind, SymbolFlags, SymbolKind, SymbolScope};

    use super::*;

    /// An object with a function, a static call site, a variable of each processor and an init function.
    fn sample() -> Vec<u8> {
        let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let sections: [(&[u8], SectionKind, usize, &[u8]); 5] = [
            (b".text", SectionKind::Text, 100, b"f"),
            (b".static_call_sites", SectionKind::Data, 24, b"site"),
            (b".data..percpu", SectionKind::Data, 512, b"counter"),
            (b".init.text", SectionKind::Text, 50, b"init_module"),
            (b".modinfo", SectionKind::ReadOnlyData, 40, b""),
        ];
        for (name, kind, bytes, symbol) in sections {
            let segment = object.segment_name(StandardSegment::Data).to_vec();
            let section = object.add_section(segment, name.to_vec(), kind);
            object.append_section_data(section, &vec![0; bytes], 8);
            if !symbol.is_empty() {
                object.add_symbol(Symbol {
                    name: symbol.to_vec(),
                    value: 0,
                    size: 1,
                    kind: SymbolKind::Text,
                    scope: SymbolScope::Linkage,
                    weak: false,
                    section: SymbolSection::Section(section),
                    flags: SymbolFlags::None,
                });
            }
        }
        object.write().expect("an object")
    }

    #[test]
    fn sections_and_symbols_are_counted_as_a_release_lays_them_out() {
        let data = sample();
        let old = sizes::<FileHeader64<Endianness>>(&data, (6, 12)).expect("sizes");
        assert_eq!((old.text, old.init_text, old.rodata), (100, 50, 0), "modinfo is not kept");
        assert_eq!((old.data, old.ro_after_init), (24, 0), "percpu data lies elsewhere");
        let new = sizes::<FileHeader64<Endianness>>(&data, (7, 2)).expect("sizes");
        assert_eq!((new.data, new.ro_after_init), (0, 24));
        // The empty symbol, f, site and counter, with a type each, and their names.
        assert_eq!(new.kallsyms, 4 * 25 + (1 + 2 + 5 + 8));
        assert!(new.init_data > new.kallsyms, "the whole table is there while the module initialises");
        assert!(has_table_apart((6, 1)) && !has_table_apart((6, 12)));
    }

    #[test]
    fn a_name_is_the_kernels_and_other_files_have_none() {
        let name = |file: &str| name_of(Path::new(file));
        assert_eq!(name("a/snd-hda-intel.ko.xz").as_deref(), Some("snd_hda_intel"));
        assert_eq!((name("a/modules.dep"), name("a.ko.txt")), (None, None));
    }

    #[test]
    fn what_is_no_regular_file_is_refused_unopened_and_the_rest_is_found() {
        let folder = std::env::temp_dir().join(format!("execmem-tree-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("deep.ko")).expect("a folder");
        for name in ["b.ko", "deep.ko/a.ko.gz", "modules.dep"] {
            std::fs::write(folder.join(name), b"x").expect("a file");
        }
        std::os::unix::fs::symlink("/dev/zero", folder.join("endless.ko")).expect("a link");
        std::os::unix::fs::symlink("/dev/zero", folder.join("modules.alias")).expect("a link");
        let (files, refused) = files_below(&folder).expect("a folder");
        let below = |path: &Path| path.strip_prefix(&folder).expect("below").display().to_string();
        assert_eq!(files.iter().map(|path| below(path)).collect::<Vec<_>>(), ["b.ko", "deep.ko/a.ko.gz"]);
        assert_eq!(refused.iter().map(|(path, _)| below(path)).collect::<Vec<_>>(), ["endless.ko"]);
        std::fs::remove_dir_all(&folder).expect("it is there");
    }

    #[test]
    fn damaged_files_are_errors() {
        let data = sample();
        for len in 0..data.len() {
            let _ = sizes::<FileHeader64<Endianness>>(&data[..len], (7, 2));
        }
        for place in 0..data.len() {
            let mut damaged = data.clone();
            damaged[place] ^= 0xff;
            let _ = sizes::<FileHeader64<Endianness>>(&damaged, (7, 2));
        }
        let file = std::env::temp_dir().join(format!("execmem-{}.ko", std::process::id()));
        std::fs::write(&file, b"\x7fELF").expect("a file");
        assert!(read(&file, (7, 2)).is_err());
        std::fs::remove_file(&file).expect("it is there");
    }
}
