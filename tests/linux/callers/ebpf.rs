//! eBPF programs: compiled by an existing compiler, executed from the engine's memory, and compared with an interpreter.

use execmem::Engine;
use execmem_clients::Credit;
use execmem_clients::bpf::{Bpf, Options, ProgramRequest, Trust};
use execmem_linux::Linux;
use execmem_sim::Random;
use object::{Object as _, ObjectSection as _};
use rbpf::{EbpfVmMbuff, EbpfVmRaw};

use super::objects::{fetched, helpers};
use super::programs::{Case, PACKET_AT, example_object, generate, of_package};
use super::support::{check_empty, engine, run};

skip::tests! {
    a_thousand_generated_programs_compute_what_the_interpreter_does
    the_programs_of_the_compilers_own_package_compute_what_the_interpreter_does
    the_example_object_of_the_package_computes_what_the_interpreter_does
    the_programs_of_debian_packages_compute_what_the_interpreter_does
}

/// Room for the longest program, and to align it: the compiler asks for whole pages.
const BUFFER_BYTES: usize = 1 << 16;
const PAGE_BYTES: usize = 4096;

/// Machine code for a program. It refers to nothing by distance but itself, so it can be executed anywhere.
fn compile(case: &Case) -> Result<Vec<u8>, String> {
    // A return ends it, so that what it fills of the buffer can be told.
    const FILL: u8 = 0xcc;
    let mut buffer = vec![FILL; BUFFER_BYTES + PAGE_BYTES];
    let start = buffer.as_ptr().align_offset(PAGE_BYTES);
    let memory = &mut buffer[start..start + BUFFER_BYTES];
    let compiled = if case.is_packet {
        EbpfVmMbuff::new(Some(&case.code)).and_then(|mut vm| {
            vm.set_jit_exec_memory(memory)?;
            vm.jit_compile()
        })
    } else {
        with_helpers(case).and_then(|mut vm| {
            vm.set_jit_exec_memory(memory)?;
            vm.jit_compile()
        })
    };
    compiled.map_err(|error| format!("{error:?}"))?;
    let memory = &buffer[start..start + BUFFER_BYTES];
    let last = memory.iter().rposition(|byte| *byte != FILL).ok_or("nothing was compiled")?;
    assert_eq!(memory[last], 0xc3);
    Ok(memory[..=last].to_vec())
}

/// A machine for a program, with helpers that do nothing in place of the kernel's.
fn with_helpers(case: &Case) -> Result<EbpfVmRaw<'_>, rbpf::lib::Error> {
    fn nothing(_: u64, _: u64, _: u64, _: u64, _: u64) -> u64 {
        0
    }
    let mut vm = EbpfVmRaw::new(Some(&case.code))?;
    for number in helpers(&case.code).unwrap_or_default() {
        vm.register_helper(number, nothing)?;
    }
    Ok(vm)
}

/// What the interpreter says: the result, and the memory afterwards. `None` if it refuses the program.
fn interpret(case: &Case) -> Option<(u64, Vec<u8>)> {
    let mut memory = case.memory.clone();
    let result = if case.is_packet {
        let packet = packet(&mut memory);
        EbpfVmMbuff::new(Some(&case.code)).ok()?.execute_program(&memory, &packet).ok()?
    } else {
        with_helpers(case).ok()?.execute_program(&mut memory).ok()?
    };
    Some((result, memory))
}

/// Pointers to the begin and end of memory, where programs for packets look for them.
fn packet(memory: &mut [u8]) -> Vec<u8> {
    let start = memory.as_mut_ptr().expose_provenance() as u64;
    let mut packet = vec![0; 0x60];
    for (at, pointer) in PACKET_AT.into_iter().zip([start, start + memory.len() as u64]) {
        packet[at..at + 8].copy_from_slice(&pointer.to_le_bytes());
    }
    packet
}

/// Installs every program, then runs all of them, compares, and frees them. Returns how many there were.
fn compare(engine: &Engine<Linux>, cases: &[Case]) -> usize {
    let bpf = Bpf::new(engine, Options { limit: u64::MAX, seed: 9, flush_predictors: || () });
    let mut installed = Vec::new();
    for case in cases {
        let Some(wanted) = interpret(case) else { continue };
        let code = compile(case).unwrap_or_else(|error| panic!("{error}: {}", case.name));
        let request =
            ProgramRequest { len: code.len() as u64, align: 4, trust: Trust::Trusted, credit: Credit::Limited };
        let mut binary = bpf.alloc(&request).expect("room");
        binary.image_mut().copy_from_slice(&code);
        let address = binary.address();
        installed.push((case, wanted, address, binary.finalize().expect("memory")));
    }
    for (case, (result, memory), address, _) in &installed {
        let mut ours = case.memory.clone();
        let mut packet = if case.is_packet { packet(&mut ours) } else { Vec::new() };
        // No memory is a null pointer, as for the interpreter.
        let start = |bytes: &mut [u8]| match bytes.is_empty() {
            true => 0,
            false => bytes.as_mut_ptr().expose_provenance() as u64,
        };
        let (memory_at, len) = (start(&mut ours), ours.len() as u64);
        let got = run(*address, [start(&mut packet), packet.len() as u64, memory_at, len]);
        assert_eq!((got, &ours), (*result, memory), "{}", case.name);
    }
    let count = installed.len();
    installed.into_iter().for_each(|(.., id)| bpf.free(id).expect("live"));
    assert_eq!(bpf.usage().bytes, 0);
    count
}

fn a_thousand_generated_programs_compute_what_the_interpreter_does() {
    let engine = engine();
    let mut random = Random::new(1);
    let cases: Vec<_> = (0..1000).map(|_| generate(&mut random)).collect();
    assert_eq!(compare(&engine, &cases), 1000);
    check_empty(&engine);
}

fn the_programs_of_the_compilers_own_package_compute_what_the_interpreter_does() {
    let engine = engine();
    let cases = of_package();
    let count = compare(&engine, &cases);
    assert!(count >= 100, "{count} of {} found", cases.len());
    check_empty(&engine);
}

/// The example of the package that loads an object: a filter that drops packets of one port.
fn the_example_object_of_the_package_computes_what_the_interpreter_does() {
    let engine = engine();
    let data = example_object();
    let object = object::File::parse(data.as_slice()).expect("an object");
    let section = object.section_by_name(".classifier").expect("its program");
    let code = section.data().expect("bytes").to_vec();
    let case = |port: u16| {
        let mut memory = vec![0; 64];
        memory[12..14].copy_from_slice(&[8, 0]); // IPv4
        memory[14] = 0x45;
        memory[23] = 6; // TCP
        memory[36..38].copy_from_slice(&port.to_be_bytes());
        Case { name: format!("port {port}"), code: code.clone(), memory, is_packet: true }
    };
    let cases = [80, 443, 0x9999, 0x8888, 22].map(case);
    assert_eq!(compare(&engine, &cases), cases.len());
    check_empty(&engine);
}

/// The programs of Debian packages, which `cargo xtask fetch-bpf` brings. Those that call no helper of the kernel
/// and stay in a context of zeros are run; the rest of what compiles is installed and read back.
fn the_programs_of_debian_packages_compute_what_the_interpreter_does() {
    let (cases, objects) = fetched();
    skip::unless(skip::fetched(objects > 0, "cargo xtask fetch-bpf"));
    let engine = engine();
    let calls_nothing = |case: &&Case| helpers(&case.code).is_some_and(|helpers| helpers.is_empty());
    let alone: Vec<_> = cases.iter().filter(calls_nothing).cloned().collect();
    let compared = compare(&engine, &alone);
    let codes: Vec<_> = cases.iter().filter_map(|case| compile(case).ok()).collect();
    install_and_read_back(&engine, &codes);
    let (functions, compiled) = (cases.len(), codes.len());
    println!("{objects} objects, {functions} functions, {compiled} compiled and placed, {compared} run");
    assert!(compared > 0);
    check_empty(&engine);
}

fn install_and_read_back(engine: &Engine<Linux>, codes: &[Vec<u8>]) {
    let bpf = Bpf::new(engine, Options { limit: u64::MAX, seed: 9, flush_predictors: || () });
    let mut installed = Vec::new();
    for code in codes {
        let request =
            ProgramRequest { len: code.len() as u64, align: 4, trust: Trust::Trusted, credit: Credit::Limited };
        let mut binary = bpf.alloc(&request).expect("room");
        binary.image_mut().copy_from_slice(code);
        installed.push(binary.finalize().expect("memory"));
    }
    for (id, code) in installed.iter().zip(codes) {
        let mut found = vec![0; code.len()];
        engine.read_at(bpf.image(*id).expect("live").start(), &mut found).expect("mapped");
        assert_eq!(&found, code);
    }
    installed.into_iter().for_each(|id| bpf.free(id).expect("live"));
}
