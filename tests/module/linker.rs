//! The loader against an independent computation: binutils' linker, told to put every section where the loader put it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use execmem::Backend as _;
use execmem_clients::module::Loader;
use object::elf::{SHF_MERGE, SHF_STRINGS};
use object::read::elf::{ElfFile64, FileHeader as _};
use object::{Endianness, Object as _, ObjectSection as _, ObjectSymbol as _};

use crate::objects::engine;

/// Code of every relocation type that occurs in modules, for the assembler.
const SOURCE: &str = "
    .text
    .globl entry
entry:
    call outer
    lea message(%rip), %rdi
    mov $message, %rdi
    mov counter+4(%rip), %eax
    jmp near
    .skip 100, 0x90
near:
    ret
    .section .init.text,\"ax\"
    call entry
    ret
    .data
    .quad entry, near+3, outer+8, entry - .
counter:
    .long 0, 0
    .section .rodata,\"a\"
message:
    .asciz \"text\"
    .balign 4
    .long near - .
    .quad outer - .
    .section __jump_table,\"aw\"
    .long entry - ., counter - .
    .quad message - .
";

fn scratch() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("linker-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// The object without the flags that let a linker merge equal strings: the loader keeps every one.
fn without_merging(data: &[u8]) -> Vec<u8> {
    const SECTION_HEADER_BYTES: usize = 64;
    let header = ElfFile64::<Endianness>::parse(data).expect("an object").elf_header().to_owned();
    let first = usize::try_from(header.e_shoff(Endianness::Little)).expect("small");
    let mut data = data.to_vec();
    for index in 0..usize::from(header.e_shnum(Endianness::Little)) {
        let flags = first + index * SECTION_HEADER_BYTES + 8;
        data[flags] &= !u8::try_from(SHF_MERGE | SHF_STRINGS).expect("low bits");
    }
    data
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An address for an imported symbol: within reach, different for different names.
fn import_address(name: &str) -> u64 {
    0xffff_ffff_8100_0000
        + name.bytes().fold(7_u64, |hash, byte| hash * 31 % 0xf0_0000 + u64::from(byte)) * 16 % 0xf0_0000
}

/// Loads an object, links it with `ld` to the same addresses, and compares every section byte by byte. Returns how many
/// sections were compared.
fn compare(object_path: &Path) -> usize {
    let data = std::fs::read(object_path).expect("the object");
    let engine = engine();
    let loader = Loader::new(&engine).expect("a machine");
    let coming = loader.load(&data, &|name: &str| Some(import_address(name))).expect("a module");
    let object = ElfFile64::<Endianness>::parse(data.as_slice()).expect("an object");
    let mut script = String::from("SECTIONS {\n");
    let mut sections = BTreeMap::new();
    for (name, address) in coming.names().sections() {
        writeln!(script, "  {name} {address:#x} : {{ KEEP(*({name})) }}").expect("a string");
        assert!(sections.insert(name.to_owned(), address).is_none(), "{name} stands twice");
    }
    script.push_str("  /DISCARD/ : { *(*) }\n}\n");
    for symbol in object.symbols().filter(|symbol| symbol.is_undefined()) {
        let name = symbol.name().expect("a name");
        if !name.is_empty() {
            writeln!(script, "{name} = {:#x};", import_address(name)).expect("a string");
        }
    }
    let folder = scratch();
    let stem = object_path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
    let [script_path, linked_path, input_path] = ["lds", "elf", "o"].map(|end| folder.join(format!("{stem}-in.{end}")));
    std::fs::write(&input_path, without_merging(&data)).expect("the input");
    std::fs::write(&script_path, script).expect("the script");
    let path = |path: &Path| path.to_str().expect("a path").to_owned();
    let arguments = ["-T", &path(&script_path), "-o", &path(&linked_path), "--no-relax", "-e", "0", "--no-warnings"];
    run("ld", &[&arguments[..], &[&path(&input_path)]].concat());
    let linked_data = std::fs::read(&linked_path).expect("the linked file");
    let linked = ElfFile64::<Endianness>::parse(linked_data.as_slice()).expect("an executable");
    let mut compared = 0;
    for (name, address) in &sections {
        let Some(section) = linked.section_by_name(name).filter(|section| section.size() > 0) else { continue };
        let wanted = section.data().expect("bytes");
        let mut bytes = vec![0; wanted.len()];
        engine.backend().read(*address, &mut bytes).expect("live");
        assert_eq!(section.address(), *address, "{name}");
        let differs = bytes.iter().zip(wanted).position(|(ours, theirs)| ours != theirs);
        assert_eq!(
            differs, None,
            "{stem}: {name} at {address:#x} differs from what ld computes\nours   {bytes:02x?}\ntheirs {wanted:02x?}"
        );
        compared += 1;
    }
    coming.unload(&engine);
    compared
}

#[test]
fn every_relocation_type_agrees_with_binutils() {
    let folder = scratch();
    let (source, object) = (folder.join("all.s"), folder.join("all.o"));
    std::fs::write(&source, SOURCE).expect("the source");
    run("as", &["-o", object.to_str().expect("a path"), source.to_str().expect("a path")]);
    assert!(compare(&object) >= 5);
}

/// Real modules, where `cargo xtask fetch-modules` has brought some. With `EXECMEM_NEEDS_MODULES` set, as in CI, there
/// must be some.
#[test]
fn real_modules_agree_with_binutils() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/modules/amd64");
    let wanted = ["crc32c-intel.ko", "libcrc32c.ko", "ext4.ko", "usbhid.ko", "bridge.ko", "nf_tables.ko"];
    let mut found = Vec::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let is_wanted = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| wanted.contains(&name));
            if path.is_dir() {
                folders.push(path);
            } else if is_wanted {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty() || std::env::var_os("EXECMEM_NEEDS_MODULES").is_none(), "no modules were fetched");
    for module in found {
        assert!(compare(&module) > 5, "{}", module.display());
    }
}
