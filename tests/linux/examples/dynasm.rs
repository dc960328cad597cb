//! Functions by dynasm: an assembler resolves labels for the address at which its code will run, and the engine has the address.
#![expect(unsafe_code, reason = "calls the functions it assembles")]
#![allow(clippy::print_stdout, reason = "an example talks to a terminal")]
#![cfg_attr(not(target_arch = "x86_64"), expect(unused, reason = "what is assembled is x86-64"))]

use std::error::Error;

#[cfg(target_arch = "x86_64")]
use dynasmrt::{DynasmApi as _, DynasmLabelApi as _, VecAssembler, dynasm, x64::X64Relocation};
use execmem_linux::Function;

type Code = Result<Vec<u8>, Box<dyn Error>>;
type Call = extern "C" fn(u64) -> u64;

/// Squares its argument. Runs at any address.
#[cfg(target_arch = "x86_64")]
fn square() -> Code {
    let mut assembler = VecAssembler::<X64Relocation>::new(0);
    dynasm!(assembler
        ; .arch x64
        ; mov rax, rdi
        ; imul rax, rdi
        ; ret
    );
    Ok(assembler.finalize()?)
}

/// Sums the squares of 1 to its argument, and multiplies that by a constant behind the code. Calls `square` directly: all of
/// one window reaches each other.
#[cfg(target_arch = "x86_64")]
fn sum_of_squares(address: u64, square: u64, factor: i64) -> Code {
    let (address, square) = (usize::try_from(address)?, usize::try_from(square)?);
    let mut assembler = VecAssembler::<X64Relocation>::new(address);
    let done = assembler.new_dynamic_label();
    dynasm!(assembler
        ; .arch x64
        ; push rbx
        ; push r12
        ; sub rsp, 8 // what is called finds the stack aligned
        ; mov rbx, rdi
        ; xor r12d, r12d
        ; test rbx, rbx
        ; jz =>done
        ; next:
        ; mov rdi, rbx
        ; call extern square
        ; add r12, rax
        ; dec rbx
        ; jnz <next
        ; =>done
        ; mov rax, [->factor]
        ; imul rax, r12
        ; add rsp, 8
        ; pop r12
        ; pop rbx
        ; ret
        ; .align 8
        ; ->factor:
        ; .i64 factor
    );
    Ok(assembler.finalize()?)
}

/// Two functions, of which the first calls the second.
#[cfg(target_arch = "x86_64")]
struct SumOfSquares {
    sum: Function,
    _square: Function,
}

#[cfg(target_arch = "x86_64")]
impl SumOfSquares {
    fn new(factor: i64) -> Result<Self, Box<dyn Error>> {
        let square = Function::new(&square()?)?;
        // A guess of the length: code with another is assembled once more, for a place of its own length.
        let assemble = |address| sum_of_squares(address, square.address(), factor);
        let sum = Function::emit::<_, Box<dyn Error>>(80, assemble)?;
        Ok(SumOfSquares { sum, _square: square })
    }

    fn call(&self, last: u64) -> u64 {
        // SAFETY: a complete function of one integer; it and what it calls live as long as `self`.
        let call = unsafe { self.sum.as_fn::<Call>() };
        call(last)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    #[cfg(target_arch = "x86_64")]
    println!("3 × (1² + 2² + … + 100²) = {}", SumOfSquares::new(3)?.call(100));
    Ok(())
}

#[test]
#[cfg(target_arch = "x86_64")]
fn functions_call_each_other_and_find_their_constants() {
    let all: Vec<_> = (0..1000).map(|factor| SumOfSquares::new(factor).expect("executable memory")).collect();
    for (factor, function) in (0..).zip(&all) {
        assert_eq!([0, 1, 100].map(|last| function.call(last)), [0, factor, 338_350 * factor]);
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn code_is_assembled_twice_where_its_length_was_not_known() {
    let square = Function::new(&square().expect("no label is missing")).expect("executable memory");
    for (guess, rounds) in [(1, 2), (80, 1), (100_000, 2)] {
        let mut addresses = Vec::new();
        let function = Function::emit::<_, Box<dyn Error>>(guess, |address| {
            addresses.push(address);
            sum_of_squares(address, square.address(), 1)
        });
        let function = function.expect("executable memory");
        assert_eq!((addresses.len(), addresses.last()), (rounds, Some(&function.address())), "{guess}");
        assert_eq!(function.memory().extent().len(), 80, "no more than the code needs");
    }
}
