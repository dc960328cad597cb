//! The loader against an independent computation: binutils' linker, told to put every section where the loader put it.

use execmem_tests::per_cpu::PerCpus;
use execmem_tests::rig::Rig;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use execmem::{Kind, Table};
use execmem_clients::module::Loader;
use execmem_types::{InstructionSet, Sequence};
use object::elf::{FileHeader32, FileHeader64, SHF_MERGE, SHF_STRINGS};
use object::read::elf::FileHeader;
use object::{Endianness, File, FileKind, Object as _, ObjectSection as _, ObjectSymbol as _};

skip::tests! {
    for &MACHINES => every_relocation_type_agrees_with_binutils compiled_modules_agree_with_binutils;
    for &MACHINES[..3] => objects_that_rustc_makes_by_default_load;
    for &MACHINES[1..] => plt_entries_lead_to_what_is_far_and_are_shared_by_its_callers;
}

/// A machine: the names of its table and of its binutils; how its kernel's code is compiled; code of
/// relocation types that occur in its modules, for the assembler.
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    pub(super) instructions: &'static InstructionSet,
    table: Table,
    prefix: &'static str,
    flags: &'static [&'static str],
    source: &'static str,
    /// The name by which `rustc` knows it without an operating system.
    rust_target: &'static str,
}

/// `ld` leaves errata alone.
static ARM64: InstructionSet = InstructionSet { errata: &[], ..execmem_arch_arm64::INSTRUCTIONS_ARM64 };

pub(crate) static MACHINES: [Machine; 4] = [
    Machine {
        name: "x86",
        instructions: &execmem_arch_x86::INSTRUCTIONS_X86,
        table: execmem_arch_x86::TABLE,
        prefix: "",
        flags: &["-mcmodel=kernel", "-mno-red-zone", "-fcf-protection=none"],
        source: include_str!("modules/x86.s"),
        rust_target: "x86_64-unknown-none",
    },
    Machine {
        name: "arm64",
        instructions: &ARM64,
        table: execmem_arch_arm64::ARM64_4K,
        prefix: "aarch64-linux-gnu-",
        flags: &["-mgeneral-regs-only"],
        source: include_str!("modules/arm64.s"),
        rust_target: "aarch64-unknown-none-softfloat",
    },
    Machine {
        name: "riscv64",
        instructions: &execmem_arch_riscv::INSTRUCTIONS_RISCV64,
        table: execmem_arch_riscv::RISCV64,
        prefix: "riscv64-linux-gnu-",
        flags: &["-mcmodel=medany", "-mno-relax"],
        source: include_str!("modules/riscv.s"),
        rust_target: "riscv64gc-unknown-none-elf",
    },
    Machine {
        name: "powerpc",
        instructions: &execmem_arch_powerpc_8xx::INSTRUCTIONS_POWERPC_8XX,
        table: execmem_arch_powerpc_8xx::POWERPC_8XX,
        prefix: "powerpc-linux-gnu-",
        flags: &["-msoft-float", "-mno-sdata"],
        source: include_str!("modules/powerpc.s"),
        rust_target: "",
    },
];

impl Machine {
    fn tool(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// An engine with its table.
    pub(crate) fn engine(&self) -> Rig {
        let table = self.table.adjusted(|plan| plan.machine.instructions = self.instructions);
        Rig::new(table.expect("every rule"))
    }

    /// Memory for each processor, near the kernel.
    pub(crate) fn per_cpus(&self) -> PerCpus {
        PerCpus::new(self.table.machine().anchor.expect("a kernel").start() + (6 << 20))
    }

    /// A loader in an engine of this machine.
    pub(crate) fn loader<'e>(&self, engine: &'e Rig, copies: &PerCpus) -> Loader<&'e Rig, PerCpus> {
        Loader::new(engine).expect("a machine").with_per_cpu(copies.clone())
    }

    /// An address for an imported symbol, different for different names: in the first megabytes of the kernel.
    pub(crate) fn import_address(&self, name: &str) -> u64 {
        const BYTES: u64 = 5 << 20;
        let kernel = self.table.machine().anchor.expect("a kernel").start();
        kernel + name.bytes().fold(7_u64, |hash, byte| (hash * 31 + u64::from(byte)) % (BYTES / 16)) * 16
    }

    /// Assembles or compiles a source. Returns the object.
    pub(super) fn build(&self, name: &str, source: &str) -> PathBuf {
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

    /// Skips the test where one of its tools is not installed.
    pub(super) fn needs(&self, tools: &[&str]) {
        tools.iter().for_each(|name| skip::unless(skip::tool(&self.tool(name))));
    }
}

pub(super) fn scratch() -> PathBuf {
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
pub(super) fn compare(machine: &Machine, object_path: &Path) -> usize {
    let data = read(object_path);
    let (engine, copies) = (machine.engine(), machine.per_cpus());
    let loader = machine.loader(&engine, &copies);
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
        match copies.content(*address, bytes.len()) {
            Some(first) => bytes = first,
            None => engine.sim.read(*address, &mut bytes).expect("live"),
        }
        assert_eq!(section.address(), *address, "{name}");
        let differs = bytes.iter().zip(wanted).position(|(ours, theirs)| ours != theirs);
        assert_eq!(
            differs, None,
            "{stem}: {name} at {address:#x} differs from what ld computes\nours   {bytes:02x?}\ntheirs {wanted:02x?}"
        );
        compared += 1;
    }
    coming.unload();
    compared
}

/// The content of an object, unpacked.
pub(super) fn read(path: &Path) -> Vec<u8> {
    let packed = std::fs::read(path).expect("the object");
    if path.extension().is_none_or(|extension| extension != "xz") {
        return packed;
    }
    let mut data = Vec::new();
    lzma_rust2::XzReader::new(packed.as_slice(), true).read_to_end(&mut data).expect("packed");
    data
}

fn every_relocation_type_agrees_with_binutils(machine: &Machine) {
    machine.needs(&["as", "ld"]);
    let object = machine.build(".s", machine.source);
    assert!(compare(machine, &object) >= 5);
}

/// What a compiler makes of kernel code.
fn compiled_modules_agree_with_binutils(machine: &Machine) {
    machine.needs(&["gcc", "ld"]);
    let object = machine.build("-compiled.c", include_str!("modules/module.c"));
    assert!(compare(machine, &object) >= 6);
}

/// Rust code with tables of functions, imports and formatted text, which calls `core`.
const RUST: &str = r#"
#![no_std]
unsafe extern "C" { safe static COUNTER: u32; safe fn outer(x: u32) -> u32; }
pub static TABLE: [fn(u32) -> u32; 2] = [twice, square];
fn twice(x: u32) -> u32 { x.wrapping_mul(2) }
fn square(x: u32) -> u32 { x.wrapping_mul(x) }
#[unsafe(no_mangle)]
pub fn entry(which: usize, x: u32) -> u32 { TABLE[which](x) ^ outer(x) ^ COUNTER }
#[unsafe(no_mangle)]
pub fn text(x: u32, out: &mut dyn core::fmt::Write) -> core::fmt::Result { write!(out, "{x} of {}", TABLE.len()) }
"#;

fn objects_that_rustc_makes_by_default_load(machine: &Machine) {
    let target = ["--target", machine.rust_target];
    let libraries = Command::new("rustc").args(["--print", "target-libdir"]).args(target).output();
    let folder = libraries.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let is_there = folder.is_ok_and(|folder| Path::new(&folder).exists());
    skip::unless(skip::condition(is_there, &format!("rustc has no library for it: rustup target add {}", target[1])));
    let [source, object] = ["rs", "rs.o"].map(|end| scratch().join(format!("{}.{end}", machine.name)));
    std::fs::write(&source, RUST).expect("the source");
    let [source, object_path] = [&source, &object].map(|path| path.to_str().expect("a path"));
    for level in ["0", "3"] {
        let level = format!("-Copt-level={level}");
        let common = ["--edition", "2024", "--crate-type", "lib", "--emit", "obj", "-Ccodegen-units=1", &level];
        run("rustc", &[&common, &target[..], &["-o", object_path, source]].concat());
        let engine = machine.engine();
        let loader = Loader::new(&engine).expect("a machine");
        let coming = loader.load(&read(&object), &|name: &str| Some(machine.import_address(name)));
        let coming = coming.unwrap_or_else(|error| panic!("{}: {error}", machine.name));
        assert!(coming.names().symbol("entry").is_some());
        coming.unload();
    }
}

fn plt_entries_lead_to_what_is_far_and_are_shared_by_its_callers(machine: &Machine) {
    machine.needs(&["as"]);
    let far = if machine.table.machine().address_bits() == 32 { 0x1234_5678 } else { 0x1234_5678_9ab8 };
    let call = if machine.name == "riscv64" { "call" } else { "bl" };
    let object = machine.build("-far.s", &format!("{call} outer\n{call} outer\n{call} other\n"));
    let engine = machine.engine();
    let outside = |name: &str| Some(if name == "outer" { far } else { far + 16 });
    let loader = Loader::new(&engine).expect("a machine");
    let coming = loader.load(&read(&object), &outside).expect("a module");
    let (_, text) = coming.extents().find(|(kind, _)| *kind == Kind::Text).expect("text");
    let mut bytes = vec![0; usize::try_from(text.len()).expect("small")];
    engine.sim.fetch(text.start(), &mut bytes).expect("published");
    let leads = |site: usize, target: u64| {
        let found = |veneer: &Sequence| veneer.decode(text.start() + site as u64, &bytes[site..]) == Some(target);
        machine.instructions.veneers.iter().any(found)
    };
    let count = |target: u64| (0..bytes.len()).step_by(4).filter(|site| leads(*site, target)).count();
    assert_eq!((count(far), count(far + 16)), (1, 1), "{}", machine.name);
    coming.unload();
}
