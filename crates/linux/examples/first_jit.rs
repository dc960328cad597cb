//! A first JIT: sums in reverse Polish notation, compiled to functions of one integer.
//!
//! `cargo run --example first_jit -- 'x x * 2 +' 20` prints 402.
#![expect(unsafe_code, reason = "calls what it compiled")]
#![allow(clippy::print_stdout, reason = "an example talks to a terminal")]

use execmem_linux::{Function, SetupError};

/// Compiles a formula of `x`, numbers, `+`, `-` and `*`. The function keeps its values on the stack of the processor.
fn compile(formula: &str) -> Result<Option<Function>, SetupError> {
    let (mut code, mut depth) = (Vec::new(), 0_usize);
    for word in formula.split_whitespace() {
        let operation: &[u8] = match word {
            "+" => &[0x48, 0x01, 0xc8],       // add rax, rcx
            "-" => &[0x48, 0x29, 0xc8],       // sub rax, rcx
            "*" => &[0x48, 0x0f, 0xaf, 0xc1], // imul rax, rcx
            "x" => {
                code.push(0x57); // push rdi
                depth += 1;
                continue;
            }
            number => {
                let Ok(number) = number.parse::<i32>() else { return Ok(None) };
                code.push(0x68); // push number
                code.extend(number.to_le_bytes());
                depth += 1;
                continue;
            }
        };
        if depth < 2 {
            return Ok(None);
        }
        depth -= 1;
        code.extend([0x59, 0x58]); // pop rcx; pop rax
        code.extend(operation);
        code.push(0x50); // push rax
    }
    code.extend([0x58, 0xc3]); // pop rax; ret
    if depth == 1 { Function::new(&code).map(Some) } else { Ok(None) }
}

/// The value of a formula; `None` if it is none.
fn value(formula: &str, x: i64) -> Result<Option<i64>, SetupError> {
    let function = compile(formula)?;
    // SAFETY: `compile` makes complete functions of one integer, which take as much from the stack as they put there and
    // touch no other memory; the function lives until it returns.
    Ok(function.map(|function| unsafe { function.as_fn::<extern "C" fn(i64) -> i64>() }(x)))
}

fn main() -> Result<(), SetupError> {
    let mut arguments = std::env::args().skip(1);
    let formula = arguments.next().unwrap_or_else(|| "x x * 2 +".to_owned());
    let x = arguments.next().and_then(|x| x.parse().ok()).unwrap_or(20);
    if cfg!(target_arch = "x86_64") {
        match value(&formula, x)? {
            Some(value) => println!("{formula} at {x} is {value}"),
            None => println!("{formula} is no formula"),
        }
    }
    Ok(())
}

#[test]
#[cfg(target_arch = "x86_64")]
fn formulas_have_their_values() {
    let cases =
        [("x x * 2 +", Some(402)), ("x", Some(20)), ("1 x -", Some(-19)), ("x +", None), ("1 2", None), ("y", None)];
    for (formula, expected) in cases {
        assert_eq!(value(formula, 20).expect("executable memory"), expected, "{formula}");
    }
}
