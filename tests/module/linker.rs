//! The loader against an independent computation: binutils' linker, told to put every section where the loader put it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use execmem::{Backend as _, Kind};
use execmem_clients::module::{Coming, Loader};
use object::elf::{SHF_MERGE, SHF_STRINGS};
use object::read::elf::{ElfFile64, FileHeader as _};
use object::{Endianness, Object as _, ObjectSection as _, ObjectSymbol as _};

use crate::objects::{engine_of, granted};

/// A machine: the name of its table, of its packages, and of its binutils; and code of relocation types that occur in its
/// modules, for the assembler.
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    package: &'static str,
    prefix: &'static str,
    source: &'static str,
}

pub(crate) const MACHINES: [Machine; 3] = [
    Machine { name: "x86", package: "amd64", prefix: "", source: include_str!("sources/x86.s") },
    Machine { name: "arm64", package: "arm64", prefix: "aarch64-linux-gnu-", source: include_str!("sources/arm64.s") },
    Machine {
        name: "riscv",
        package: "riscv64",
        prefix: "riscv64-linux-gnu-",
        source: include_str!("sources/riscv.s"),
    },
];

impl Machine {
    fn tool(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Whether its binutils are installed. Those of the machine that CI runs on always are.
    fn has_tools(&self) -> bool {
        self.prefix.is_empty() || Command::new(self.tool("ld")).arg("--version").output().is_ok()
    }
}

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

/// An address for an imported symbol: within reach of every machine's calls, different for different names.
pub(crate) fn import_address(name: &str) -> u64 {
    0xffff_ffff_bf00_0000
        + name.bytes().fold(7_u64, |hash, byte| hash * 31 % 0xf0_0000 + u64::from(byte)) * 16 % 0xf0_0000
}

/// Loads an object, links it with `ld` to the same addresses, and compares every section byte by byte. Returns how many
/// sections were compared.
fn compare(machine: &Machine, object_path: &Path) -> usize {
    let data = read(object_path);
    let engine = engine_of(machine.name);
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
    run(&machine.tool("ld"), &[&arguments[..], &[&path(&input_path)]].concat());
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

/// The content of an object, unpacked.
pub(crate) fn read(path: &Path) -> Vec<u8> {
    let packed = std::fs::read(path).expect("the object");
    if path.extension().is_none_or(|extension| extension != "xz") {
        return packed;
    }
    let mut data = Vec::new();
    lzma_rust2::XzReader::new(packed.as_slice(), true).read_to_end(&mut data).expect("packed");
    data
}

#[test]
fn every_relocation_type_agrees_with_binutils() {
    for machine in MACHINES.iter().filter(|machine| machine.has_tools()) {
        let folder = scratch();
        let [source, object] = ["s", "o"].map(|end| folder.join(format!("{}.{end}", machine.name)));
        std::fs::write(&source, machine.source).expect("the source");
        run(&machine.tool("as"), &["-o", object.to_str().expect("a path"), source.to_str().expect("a path")]);
        assert!(compare(machine, &object) >= 5, "{}", machine.name);
    }
}

/// The modules of a machine that `cargo xtask fetch-modules` has brought.
pub(crate) fn fetched(machine: &Machine) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/modules").join(machine.package)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".ko") || name.ends_with(".ko.xz") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Real modules, where there are some. With `EXECMEM_NEEDS_MODULES` set, as in CI, there must be some.
#[test]
fn real_modules_agree_with_binutils() {
    let wanted = ["crc32c-intel", "libcrc32c", "ext4", "usbhid", "bridge", "nf_tables"];
    for machine in MACHINES.iter().filter(|machine| machine.has_tools()) {
        let is_wanted = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
            wanted.iter().any(|wanted| name.strip_prefix(wanted).is_some_and(|rest| rest.starts_with(".ko")))
        };
        let found: Vec<_> = fetched(machine).into_iter().filter(is_wanted).collect();
        let must = machine.prefix.is_empty() && std::env::var_os("EXECMEM_NEEDS_MODULES").is_some();
        assert!(!found.is_empty() || !must, "no modules were fetched");
        for module in found {
            assert!(compare(machine, &module) > 5, "{}", module.display());
        }
    }
}

/// A module far from what it calls is loaded with a PLT, on machines whose calls do not reach everything.
#[test]
fn real_modules_far_from_the_kernel_call_it_by_way_of_a_plt() {
    for machine in &MACHINES[1..] {
        let engine = engine_of(machine.name);
        let loader = Loader::new(&engine).expect("a machine");
        let modules = fetched(machine);
        let sample = modules.iter().step_by(modules.len() / 100 + 1);
        let mut with_plt = 0;
        for (data, path) in sample.map(|path| (read(path), path)) {
            let near = loader.load(&data, &|name: &str| Some(import_address(name)));
            // 16 TiB away: only what names functions by distance can be there, and data stays where it is.
            let far = loader.load(&data, &|name: &str| {
                let address = import_address(name);
                Some(if CALLED_ONLY.iter().any(|start| name.starts_with(start)) {
                    address - (16 << 40)
                } else {
                    address
                })
            });
            let [near, far] = [near, far].map(|outcome| outcome.unwrap_or_else(|error| panic!("{error}: {path:?}")));
            let text = |coming: &Coming| {
                coming.extents().find(|(kind, _)| *kind == Kind::Text).map_or(0, |(_, extent)| extent.len())
            };
            with_plt += usize::from(text(&far) > text(&near));
            far.unload(&engine);
            near.unload(&engine);
        }
        assert_eq!(granted(&engine), 0);
        assert!(with_plt > 0 || modules.is_empty(), "{}", machine.name);
    }
}

#[test]
fn plt_entries_hold_the_address_of_what_is_far_and_are_shared_by_its_callers() {
    const FAR: u64 = 0x1234_5678_9abc;
    for machine in MACHINES[1..].iter().filter(|machine| machine.has_tools()) {
        let folder = scratch();
        let [source, object] = ["s", "o"].map(|end| folder.join(format!("{}-far.{end}", machine.name)));
        let call = if machine.name == "arm64" { "bl" } else { "call" };
        std::fs::write(&source, format!("{call} outer\n{call} outer\n{call} other\n")).expect("the source");
        run(&machine.tool("as"), &["-o", object.to_str().expect("a path"), source.to_str().expect("a path")]);
        let engine = engine_of(machine.name);
        let loader = Loader::new(&engine).expect("a machine");
        let outside = |name: &str| Some(if name == "outer" { FAR } else { FAR + 16 });
        let coming = loader.load(&read(&object), &outside).expect("a module");
        let (_, text) = coming.extents().find(|(kind, _)| *kind == Kind::Text).expect("text");
        let mut bytes = vec![0; usize::try_from(text.len()).expect("small")];
        engine.backend().fetch(text.start(), &mut bytes).expect("published");
        let count = |address: u64| bytes.windows(8).filter(|word| **word == address.to_le_bytes()).count();
        assert_eq!((count(FAR), count(FAR + 16)), (1, 1), "{}", machine.name);
        coming.unload(&engine);
    }
}

/// Functions of the kernel whose addresses modules do not take, only call.
const CALLED_ONLY: [&str; 3] = ["_printk", "__stack_chk_fail", "mutex_lock"];

/// Every module of every machine that was fetched loads and unloads.
#[test]
fn every_real_module_of_every_machine_loads() {
    for machine in &MACHINES {
        let engine = engine_of(machine.name);
        let loader = Loader::new(&engine).expect("a machine");
        let modules = fetched(machine);
        // All of them in a release build; one in ten where that would take minutes.
        let step = if cfg!(debug_assertions) { 10 } else { 1 };
        for path in modules.iter().step_by(step) {
            let coming = loader.load(&read(path), &|name: &str| Some(import_address(name)));
            let coming = coming.unwrap_or_else(|error| panic!("{error}: {}", path.display()));
            assert_eq!(coming.names().build_id().len(), 20, "{}", path.display());
            coming.finish(&engine).expect("memory").unload(&engine);
        }
        println!("{}: {} of {} modules", machine.name, modules.len().div_ceil(step), modules.len());
        assert_eq!(granted(&engine), 0);
    }
}
