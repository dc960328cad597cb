//! The rows of clients against an assembler: sites, trampolines and dispatchers of each machine, byte by byte.

use execmem_tests::rig::Rig;
use std::path::Path;
use std::process::Command;

use execmem::Table;
use execmem_clients::bpf::{Bpf, Options};
use execmem_clients::ftrace::Ftrace;
use execmem_clients::patch::{NoBreakpoints, Sites};
use object::{Object as _, ObjectSection as _};

skip::tests! {
    for &MACHINES => rows_are_what_an_assembler_makes_of_their_instructions;
}

/// A machine: its table, its binutils, and what its rows should be.
struct Machine {
    name: &'static str,
    table: Table,
    prefix: &'static str,
    source: &'static str,
}

static MACHINES: [Machine; 4] = [
    Machine { name: "x86", table: execmem_arch_x86::TABLE, prefix: "", source: include_str!("sites/x86.s") },
    Machine {
        name: "arm64",
        table: execmem_arch_arm64::ARM64_4K,
        prefix: "aarch64-linux-gnu-",
        source: include_str!("sites/arm64.s"),
    },
    Machine {
        name: "riscv64",
        table: execmem_arch_riscv::RISCV64,
        prefix: "riscv64-linux-gnu-",
        source: include_str!("sites/riscv.s"),
    },
    Machine {
        name: "powerpc",
        table: execmem_arch_powerpc_8xx::POWERPC_8XX,
        prefix: "powerpc-linux-gnu-",
        source: include_str!("sites/powerpc.s"),
    },
];

/// Sections of the source, and where they are linked to.
type Sections<'a> = [(&'a str, u64)];

impl Machine {
    fn tool(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The bytes of each section of the source, linked to these addresses.
    fn assemble(&self, sections: &Sections<'_>, symbols: &Sections<'_>) -> Vec<Vec<u8>> {
        let name = self.table.machine().name;
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("encodings-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = |file: &str| folder.join(file).to_str().expect("a path").to_owned();
        let [source, object, script, linked] = ["in.s", "in.o", "script", "linked"].map(path);
        std::fs::write(&source, self.source).expect("the source");
        let place = |(name, address): &(&str, u64)| format!("{name} {address:#x} : {{ *({name}) }}\n");
        let placed: String = sections.iter().map(place).collect();
        std::fs::write(&script, format!("SECTIONS {{\n{placed}/DISCARD/ : {{ *(*) }}\n}}\n")).expect("the script");
        run(&self.tool("as"), &["-o", &object, &source]);
        let symbols: Vec<_> = symbols.iter().map(|(name, value)| format!("--defsym={name}={value:#x}")).collect();
        let symbols: Vec<_> = symbols.iter().map(String::as_str).collect();
        run(
            &self.tool("ld"),
            &[&["-T", &script, "-o", &linked, "-e", "0", "--no-relax"], &*symbols, &[&object]].concat(),
        );
        let data = std::fs::read(&linked).expect("linked");
        std::fs::remove_dir_all(&folder).expect("the folder");
        let file = object::File::parse(&*data).expect("a program");
        let bytes = |name| file.section_by_name(name).expect("a section").data().expect("bytes").to_vec();
        sections.iter().map(|(name, _)| bytes(name)).collect()
    }
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn fetch(engine: &Rig, address: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    engine.sim.fetch(address, &mut bytes).expect("published");
    bytes
}

fn rows_are_what_an_assembler_makes_of_their_instructions(machine: &Machine) {
    ["as", "ld"].iter().for_each(|name| skip::unless(skip::tool(&machine.tool(name))));
    let name = machine.table.machine().name;
    let engine = Rig::new(machine.table);
    let bpf = Bpf::new(&engine, Options { limit: u64::MAX, seed: 1, flush_predictors: || () });
    let ftrace = Ftrace::new(&engine, NoBreakpoints, u64::MAX).expect(name);
    let mut dispatcher = bpf.dispatcher(NoBreakpoints).expect(name);
    let [first, second] = [0x1230, 0x4_5678].map(|distance| dispatcher.entry() & !0xf_ffff | distance);
    let (handler, data) = (first + 0x1234, second + 0x8765);
    bpf.update(&mut dispatcher, &[first, second], || ()).expect(name);
    let trampoline = ftrace.address(ftrace.register(handler, data).expect(name)).expect("registered");
    let site = first + 0x8_0000;
    let sections = [(".site", site), (".trampoline", trampoline), (".dispatcher", dispatcher.half())];
    let symbols = [("first", first), ("second", second), ("handler", handler), ("data", data)];
    let wanted = machine.assemble(&sections, &symbols);
    let sites = Sites::of(machine.table.machine()).expect("a row");
    let at = |index: u64| site + index * sites.len();
    let (call, jump) = (sites.call(at(1), first).expect("near"), sites.jump(at(2), second).expect("near"));
    assert_eq!([sites.nop().bytes(), call.bytes(), jump.bytes()].concat(), wanted[0], "{name}: site");
    assert_eq!(fetch(&engine, trampoline, wanted[1].len()), wanted[1], "{name}: trampoline");
    assert_eq!(fetch(&engine, dispatcher.half(), wanted[2].len()), wanted[2], "{name}: dispatcher");
}
