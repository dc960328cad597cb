//! The loader against an independent computation: binutils' linker, told to put every section where the loader put it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use execmem::{Backend as _, Engine, Kind, Table};
use execmem_clients::Error;
use execmem_clients::module::{Coming, Loader};
use execmem_sim::Sim;
use execmem_types::{Code, Sequence};
use object::elf::{FileHeader32, FileHeader64, SHF_MERGE, SHF_STRINGS};
use object::read::elf::FileHeader;
use object::{Endianness, File, FileKind, Object as _, ObjectSection as _, ObjectSymbol as _};

use crate::objects::{engine_of, granted};

/// A machine: the names of its table, of its packages, and of its binutils; how its kernel's code is compiled; code of
/// relocation types that occur in its modules, for the assembler.
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    code: Code,
    /// `None` for that of x86 under this name.
    table: Option<Table>,
    package: &'static str,
    prefix: &'static str,
    flags: &'static [&'static str],
    source: &'static str,
    /// Where imported symbols lie: within reach of every call.
    imports: Range<u64>,
}

const IMPORTS: Range<u64> = 0xffff_ffff_bf00_0000..0xffff_ffff_bff0_0000;

pub(crate) const MACHINES: [Machine; 4] = [
    Machine {
        name: "x86",
        code: execmem_arch_x86::CODE_X86,
        table: None,
        package: "amd64",
        prefix: "",
        flags: &["-mcmodel=kernel", "-mno-red-zone", "-fcf-protection=none"],
        source: include_str!("sources/x86.s"),
        imports: IMPORTS,
    },
    Machine {
        name: "arm64",
        code: execmem_arch_arm64::CODE_ARM64_4K,
        table: None,
        package: "arm64",
        prefix: "aarch64-linux-gnu-",
        flags: &["-mgeneral-regs-only"],
        source: include_str!("sources/arm64.s"),
        imports: IMPORTS,
    },
    Machine {
        name: "riscv64",
        code: execmem_arch_riscv::CODE_RISCV64,
        table: None,
        package: "riscv64",
        prefix: "riscv64-linux-gnu-",
        flags: &["-mcmodel=medany", "-mno-relax"],
        source: include_str!("sources/riscv.s"),
        imports: IMPORTS,
    },
    Machine {
        name: "powerpc",
        code: execmem_arch_powerpc_8xx::CODE_POWERPC_8XX,
        table: Some(execmem_arch_powerpc_8xx::POWERPC_8XX),
        package: "powerpc",
        prefix: "powerpc-linux-gnu-",
        flags: &["-msoft-float", "-mno-sdata"],
        source: include_str!("sources/powerpc.s"),
        imports: 0xc000_0000..0xc050_0000,
    },
];

impl Machine {
    fn tool(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// An engine with its table.
    pub(crate) fn engine(&self) -> Engine<Sim> {
        match self.table {
            Some(table) => Engine::new(table, Sim::new(table.machine())).expect("memory"),
            None => engine_of(self.name),
        }
    }

    /// An address for an imported symbol, different for different names.
    pub(crate) fn import_address(&self, name: &str) -> u64 {
        let count = (self.imports.end - self.imports.start) / 16;
        self.imports.start + name.bytes().fold(7_u64, |hash, byte| (hash * 31 + u64::from(byte)) % count) * 16
    }

    /// Assembles or compiles a source. Returns the object.
    fn build(&self, name: &str, source: &str) -> PathBuf {
        let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
        let [source_path, object] =
            [name, &format!("{stem}.o")].map(|file| scratch().join(self.name.to_owned() + file));
        std::fs::write(&source_path, source).expect("the source");
        let paths = ["-o", object.to_str().expect("a path"), source_path.to_str().expect("a path")];
        if name.ends_with(".c") {
            let common = [
                "-c",
                "-O2",
                "-ffreestanding",
                "-fno-pie",
                "-fno-common",
                "-fno-asynchronous-unwind-tables",
                "-fno-unwind-tables",
            ];
            run(&self.tool("gcc"), &[&common, self.flags, &paths].concat());
        } else {
            run(&self.tool("as"), &paths);
        }
        object
    }

    /// Whether its binutils are installed. Those of the machine that CI runs on always are.
    fn has_tools(&self) -> bool {
        self.prefix.is_empty() || Command::new(self.tool("ld")).arg("--version").output().is_ok()
    }

    fn has_compiler(&self) -> bool {
        self.prefix.is_empty() || Command::new(self.tool("gcc")).arg("--version").output().is_ok()
    }
}

fn scratch() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("linker-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// The object without the flags that let a linker merge equal strings: the loader keeps every one.
fn without_merging(data: &[u8]) -> Vec<u8> {
    match FileKind::parse(data).expect("an object") {
        FileKind::Elf32 => without_merging_of::<FileHeader32<Endianness>>(data),
        _ => without_merging_of::<FileHeader64<Endianness>>(data),
    }
}

fn without_merging_of<Elf: FileHeader<Endian = Endianness>>(data: &[u8]) -> Vec<u8> {
    let header = Elf::parse(data).expect("an object");
    let endian = header.endian().expect("an order");
    let first = usize::try_from(header.e_shoff(endian).into()).expect("small");
    // In headers of both classes, two words stand before the flags, which are as wide as an address.
    let low_byte = 8 + if endian == Endianness::Big { size_of::<Elf::Word>() - 1 } else { 0 };
    let mut data = data.to_vec();
    for index in 0..usize::from(header.e_shnum(endian)) {
        let flags = first + index * size_of::<Elf::SectionHeader>() + low_byte;
        data[flags] &= !u8::try_from(SHF_MERGE | SHF_STRINGS).expect("low bits");
    }
    data
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Loads an object, links it with `ld` to the same addresses, and compares every section byte by byte. Returns how many
/// sections were compared.
fn compare(machine: &Machine, object_path: &Path) -> usize {
    let data = read(object_path);
    let engine = machine.engine();
    let loader = Loader::new(&engine).expect("a machine");
    let coming = loader.load(&data, &|name: &str| Some(machine.import_address(name))).expect("a module");
    let object = File::parse(data.as_slice()).expect("an object");
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
            writeln!(script, "{name} = {:#x};", machine.import_address(name)).expect("a string");
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
    let linked = File::parse(linked_data.as_slice()).expect("an executable");
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
        let object = machine.build(".s", machine.source);
        assert!(compare(machine, &object) >= 5, "{}", machine.name);
    }
}

/// What a compiler makes of kernel code, on each machine that has one. Where CI runs it, 32-bit powerpc does.
#[test]
fn compiled_modules_agree_with_binutils() {
    for machine in MACHINES.iter().filter(|machine| machine.has_compiler()) {
        let object = machine.build("-compiled.c", include_str!("sources/module.c"));
        assert!(compare(machine, &object) >= 6, "{}", machine.name);
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
        let engine = machine.engine();
        let loader = Loader::new(&engine).expect("a machine").with_veneers(&machine.code);
        let modules = fetched(machine);
        let sample = modules.iter().step_by(modules.len() / 100 + 1);
        let mut with_plt = 0;
        for (data, path) in sample.map(|path| (read(path), path)) {
            let near = loader.load(&data, &|name: &str| Some(machine.import_address(name)));
            // 16 TiB away: only what names functions by distance can be there, and data stays where it is.
            let far = loader.load(&data, &|name: &str| {
                let address = machine.import_address(name);
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
fn plt_entries_lead_to_what_is_far_and_are_shared_by_its_callers() {
    for machine in MACHINES[1..].iter().filter(|machine| machine.has_tools()) {
        let far = if machine.table.is_some() { 0x1234_5678 } else { 0x1234_5678_9ab8 };
        let call = if machine.name == "riscv64" { "call" } else { "bl" };
        let object = machine.build("-far.s", &format!("{call} outer\n{call} outer\n{call} other\n"));
        let engine = machine.engine();
        let outside = |name: &str| Some(if name == "outer" { far } else { far + 16 });
        let loader = Loader::new(&engine).expect("a machine");
        assert!(matches!(loader.load(&read(&object), &outside), Err(Error::OutOfReach { .. })), "no veneers");
        let coming = loader.with_veneers(&machine.code).load(&read(&object), &outside).expect("a module");
        let (_, text) = coming.extents().find(|(kind, _)| *kind == Kind::Text).expect("text");
        let mut bytes = vec![0; usize::try_from(text.len()).expect("small")];
        engine.backend().fetch(text.start(), &mut bytes).expect("published");
        let leads = |site: usize, target: u64| {
            let found = |veneer: &Sequence| veneer.decode(text.start() + site as u64, &bytes[site..]) == Some(target);
            machine.code.veneers.iter().any(found)
        };
        let count = |target: u64| (0..bytes.len()).step_by(4).filter(|site| leads(*site, target)).count();
        assert_eq!((count(far), count(far + 16)), (1, 1), "{}", machine.name);
        coming.unload(&engine);
    }
}

/// Functions of the kernel whose addresses modules do not take, only call.
const CALLED_ONLY: [&str; 3] = ["_printk", "__stack_chk_fail", "mutex_lock"];

/// Every module of every machine that was fetched loads and unloads.
#[test]
fn every_real_module_of_every_machine_loads() {
    for machine in &MACHINES {
        let engine = machine.engine();
        let loader = Loader::new(&engine).expect("a machine");
        let modules = fetched(machine);
        // All of them in a release build; one in ten where that would take minutes.
        let step = if cfg!(debug_assertions) { 10 } else { 1 };
        for path in modules.iter().step_by(step) {
            let coming = loader.load(&read(path), &|name: &str| Some(machine.import_address(name)));
            let coming = coming.unwrap_or_else(|error| panic!("{error}: {}", path.display()));
            assert_eq!(coming.names().build_id().len(), 20, "{}", path.display());
            coming.finish(&engine).expect("memory").unload(&engine);
        }
        println!("{}: {} of {} modules", machine.name, modules.len().div_ceil(step), modules.len());
        assert_eq!(granted(&engine), 0);
    }
}
