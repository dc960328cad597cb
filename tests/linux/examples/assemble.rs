//! Assemble and call: an assembler makes bytes for an address, the engine has the address.
#![expect(unsafe_code, reason = "calls the function it assembles")]
#![allow(clippy::print_stdout, reason = "an example talks to a terminal")]

#[cfg(target_arch = "x86_64")]
use dynasmrt::{DynasmLabelApi as _, VecAssembler, dynasm, x64::X64Relocation};
use execmem::{Engine, kinds::Text};
use execmem_linux::{Linux, Options, call};

/// A function of the C ABI that adds up the numbers from 1 to its argument, assembled to run at an address.
#[cfg(target_arch = "x86_64")]
fn assemble(address: usize) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut assembler = VecAssembler::<X64Relocation>::new(address);
    dynasm!(assembler
        ; .arch x64
        ; xor eax, eax
        ; test rdi, rdi
        ; je >done
        ; next:
        ; add rax, rdi
        ; dec rdi
        ; jne <next
        ; done:
        ; ret
    );
    Ok(assembler.finalize()?)
}

#[cfg(target_arch = "x86_64")]
fn run() -> Result<u64, Box<dyn std::error::Error>> {
    let linux = Linux::reserve(&Options::default())?;
    let engine = Engine::new(linux.table()?, linux)?;
    let mut draft = engine.alloc::<Text>(64)?;
    let code = assemble(usize::try_from(draft.address())?)?;
    engine.write(&mut draft, 0, &code)?;
    engine.truncate(&mut draft, code.len() as u64)?; // what was too much goes back
    let function = engine.publish(draft)?;
    // SAFETY: a complete function of one integer, which is not freed before it returns.
    let sum = unsafe { call(function.address(), [100, 0, 0, 0]) };
    engine.free(function)?;
    Ok(sum)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    #[cfg(target_arch = "x86_64")]
    println!("1 + 2 + … + 100 = {}", run()?);
    Ok(())
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_sum_is_right() {
    assert_eq!(run().expect("executable memory"), 5050);
}
