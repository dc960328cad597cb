//! eBPF programs to compile: generated ones, and those that the compiler's own package brings.

use std::path::PathBuf;
use std::process::Command;

use execmem_sim::Random;
use rbpf::assembler::assemble;

/// A program, and the memory it works on.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) code: Vec<u8>,
    pub(crate) memory: Vec<u8>,
    /// Register 1 points to pointers to the begin and end of the memory, at [`PACKET_AT`], not to the memory.
    pub(crate) is_packet: bool,
}

/// Where a packet's pointers stand in what register 1 points to: as the package's example has it.
pub(crate) const PACKET_AT: [usize; 2] = [0x40, 0x50];

const STACK_WORDS: u64 = 8;
pub(crate) const MEMORY_BYTES: u64 = 64;
const ALU: &[&str] = &["add", "sub", "mul", "or", "and", "xor", "mov", "div", "mod"];
const SHIFTS: &[&str] = &["lsh", "rsh", "arsh"];
const JUMPS: &[&str] = &["jeq", "jne", "jgt", "jge", "jlt", "jle", "jset", "jsgt", "jsge", "jslt", "jsle"];
/// Not `le16` and `le32`, nor `mov32` between registers: there, interpreter and compiler of rbpf 0.4.1 disagree on the
/// upper bits.
const SWAPS: &[&str] = &["le64", "be16", "be32", "be64"];
const SIZES: &[(&str, u64)] = &[("b", 1), ("h", 2), ("w", 4), ("dw", 8)];

/// A program of many kinds of instructions that ends, stays in its memory and stack, and returns something of all it
/// computed. Register 1 keeps the address of the memory.
pub(crate) fn generate(random: &mut Random) -> Case {
    let mut text: Vec<String> =
        (0..10).filter(|n| *n != 1).map(|n| format!("lddw r{n}, {:#x}", random.number() >> n)).collect();
    text.extend((1..=STACK_WORDS).map(|word| format!("stxdw [r10-{}], r{}", word * 8, (word % 9).max(2))));
    let len = random.below(120) + 5;
    for _ in 0..len {
        text.push(instruction(random));
    }
    text.extend((2..10).map(|n| format!("xor r0, r{n}")));
    text.extend(["ldxdw r2, [r10-8]", "xor r0, r2", "exit"].map(str::to_owned));
    let source = text.join("\n");
    let code = assemble(&source).unwrap_or_else(|error| panic!("{error}\n{source}"));
    let memory = (0..MEMORY_BYTES).map(|_| random.below(256).to_le_bytes()[0]).collect();
    Case { name: source, code, memory, is_packet: false }
}

fn instruction(random: &mut Random) -> String {
    let register = |random: &mut Random| match random.below(9) {
        0 => 0,
        other => other + 1,
    };
    let (dst, src) = (register(random), register(random));
    let wide = *random.pick(&["", "32"]);
    match random.below(9) {
        0 | 1 => match *random.pick(ALU) {
            "mov" => format!("mov r{dst}, r{src}"),
            alu => format!("{alu}{wide} r{dst}, r{src}"),
        },
        2 | 3 => format!("{}{wide} r{dst}, {}", random.pick(ALU), random.below(1 << 30) + 1),
        4 => format!("{}{wide} r{dst}, {}", random.pick(SHIFTS), random.below(if wide.is_empty() { 64 } else { 32 })),
        5 => format!("{} r{dst}", random.pick(SWAPS)),
        6 => access(random, dst, "r10", -8 * i64::try_from(STACK_WORDS).expect("small"), STACK_WORDS * 8),
        7 => access(random, dst, "r1", 0, MEMORY_BYTES),
        // Over one instruction: whatever comes next. The last is followed by nine more.
        _ => format!("{} r{dst}, r{src}, +1", random.pick(JUMPS)),
    }
}

/// A load or store inside `len` bytes from an offset of a register on.
fn access(random: &mut Random, register: u64, base: &str, first: i64, len: u64) -> String {
    let (size, bytes) = SIZES[usize::try_from(random.below(4)).expect("small")];
    let offset = first + i64::try_from(random.below(len - bytes + 1)).expect("small");
    match random.below(2) {
        0 => format!("ldx{size} r{register}, [{base}{offset:+}]"),
        _ => format!("stx{size} [{base}{offset:+}], r{register}"),
    }
}

/// The folder of the compiler's package, where cargo unpacked it.
fn package() -> PathBuf {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    // Without a platform, packages for others would be needed too, which cargo has not fetched.
    let platform = if cfg!(target_env = "musl") { "x86_64-unknown-linux-musl" } else { "x86_64-unknown-linux-gnu" };
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version=1",
            "--offline",
            "--filter-platform",
            platform,
            "--manifest-path",
            manifest,
        ])
        .output()
        .expect("cargo");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("metadata");
    let packages = metadata["packages"].as_array().expect("packages");
    let rbpf = packages.iter().find(|package| package["name"] == "rbpf").expect("the package is a dependency");
    PathBuf::from(rbpf["manifest_path"].as_str().expect("a path")).parent().expect("a folder").to_owned()
}

/// The programs in the package's own tests that call no helper and fail on purpose nowhere: source text in quotes, and
/// the memory in brackets. Some are written as bytes; those are not found.
pub(crate) fn of_package() -> Vec<Case> {
    let text = std::fs::read_to_string(package().join("tests/ubpf_vm.rs")).expect("the package's tests");
    let mut cases = Vec::new();
    for test in text.split("\nfn test_vm_").skip(1) {
        let name = test.split('(').next().expect("a name").to_owned();
        let is_plain = !test.contains("register_helper") && !test.contains("EbpfVmFixedMbuff");
        let fails = test.contains("should_panic") && test.contains("Error");
        let Some(source) = between(test, "assemble(\n        \"", "\"").filter(|_| is_plain && !fails) else {
            continue;
        };
        let memory = between(test, "mem = &mut [", "]").or_else(|| between(test, "mem = &[", "]"));
        let memory: Option<Vec<u8>> =
            memory.unwrap_or("").split(',').map(str::trim).filter(|word| !word.is_empty()).map(byte).collect();
        // The interpreter begins with registers of zero, compiled code with whatever its caller left there.
        let source = format!("{}{source}", [0, 2, 3, 4, 5, 6, 7, 8, 9].map(|n| format!("mov r{n}, 0\n")).concat());
        let (Ok(code), Some(memory)) = (assemble(&source), memory) else { continue };
        cases.push(Case { name, code, memory, is_packet: false });
    }
    cases
}

fn byte(word: &str) -> Option<u8> {
    match word.strip_prefix("0x") {
        Some(digits) => u8::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let rest = &text[text.find(start)? + start.len()..];
    Some(&rest[..rest.find(end)?])
}

/// The object file that the package's examples load: its classifier section.
pub(crate) fn example_object() -> Vec<u8> {
    std::fs::read(package().join("examples/load_elf__block_a_port.o")).expect("the package's example")
}
