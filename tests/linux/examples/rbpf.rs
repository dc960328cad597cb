//! An eBPF program that rbpf compiles, in the engine's memory: the compiler's own would be writable and executable.
#![expect(unsafe_code, reason = "calls the program that was compiled")]
#![allow(clippy::print_stdout, reason = "an example talks to a terminal")]

use execmem::{Engine, kinds::Bpf};
use execmem_linux::{Linux, Options, call};
use rbpf::EbpfVmRaw;

/// Bytes of a packet.
const PACKET_BYTES: usize = 200;

/// Adds up the bytes of its packet, which begins where r1 says.
#[rustfmt::skip]
const PROGRAM: &[u8] = &[
    0xb7, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // mov r0, 0
    0xb7, 0x02, 0x00, 0x00, 0xc8, 0x00, 0x00, 0x00, // mov r2, 200
    0x15, 0x02, 0x05, 0x00, 0x00, 0x00, 0x00, 0x00, // jeq r2, 0, +5
    0x71, 0x13, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // ldxb r3, [r1]
    0x0f, 0x30, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // add r0, r3
    0x07, 0x01, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, // add r1, 1
    0x07, 0x02, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, // add r2, -1
    0x05, 0x00, 0xfa, 0xff, 0x00, 0x00, 0x00, 0x00, // ja -6
    0x95, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // exit
];

/// The compiler wants whole pages.
const PAGE: usize = 4096;

/// Machine code for the program. It refers to nothing by distance but itself, so it runs at any address.
fn compile() -> Result<Vec<u8>, rbpf::lib::Error> {
    let mut buffer = vec![0; 2 * PAGE];
    let start = buffer.as_ptr().align_offset(PAGE);
    let memory = &mut buffer[start..start + PAGE];
    let mut vm = EbpfVmRaw::new(Some(PROGRAM))?;
    vm.set_jit_exec_memory(memory)?;
    vm.jit_compile()?;
    drop(vm);
    // It ends with a return, which is not zero.
    let code = &buffer[start..start + PAGE];
    let len = code.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    Ok(code[..len].to_vec())
}

fn run(packet: &mut [u8; PACKET_BYTES]) -> Result<u64, Box<dyn std::error::Error>> {
    let linux = Linux::reserve(&Options::default())?;
    let engine = Engine::new(linux.table()?, linux)?;
    let code = compile().map_err(|error| format!("{error:?}"))?;
    let mut draft = engine.alloc::<Bpf>(code.len() as u64)?;
    engine.write(&mut draft, 0, &code)?;
    let program = engine.publish(draft)?;
    let (start, len) = (packet.as_mut_ptr().expose_provenance() as u64, packet.len() as u64);
    // SAFETY: a compiled program takes a context, which this one does not look at, and a packet; it reads 200 bytes
    // of it and ends.
    let sum = unsafe { call(program.address(), [0, 0, start, len]) };
    engine.free(program)?;
    Ok(sum)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if cfg!(target_arch = "x86_64") {
        println!("the bytes of the packet add up to {}", run(&mut [7; PACKET_BYTES])?);
    }
    Ok(())
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_sum_is_that_of_the_interpreter() {
    let mut packet = std::array::from_fn(|index| u8::try_from(index).expect("below 200"));
    let vm = EbpfVmRaw::new(Some(PROGRAM)).expect("a program");
    let expected = vm.execute_program(&mut packet.clone()).expect("it ends");
    assert_eq!((run(&mut packet).expect("executable memory"), expected), (19_900, 19_900));
}
