//! How much code the engine is, in a kernel.

use anyhow::{Context as _, Result, ensure};
use object::{Object as _, ObjectSymbol as _, SymbolKind};

/// The crates that are the engine, as symbols name them.
const ENGINE: [&str; 3] = ["execmem", "execmem_range", "execmem_types"];

/// What the names of all crates of the workspace begin with.
const WORKSPACE: &str = "execmem";

/// Bytes that the engine may have when it is compiled for size.
const LIMIT: u64 = 64 << 10;

/// What it has today, rounded up: what is inlined, 5 % of it, depends on the folder of the checkout. To be lowered as the engine
/// gets smaller. Tried on 128,746: no function of the short paths inlined always (110,889), no function with a hint at all
/// (104,977), that and the program optimised as a whole (92,620). What is left is 260 functions of 350 bytes each: fewer bytes
/// need fewer functions, not other settings.
const TODAY: u64 = 136 << 10;

/// Prints how much code of a program is the engine's, and fails if that is too much.
pub(super) fn check(program: &[u8]) -> Result<()> {
    let bytes = engine_bytes(program)?;
    let over = if bytes > LIMIT { ": over, which is known" } else { "" };
    println!("   engine compiled for size: {bytes} of {LIMIT} bytes of code{over}");
    ensure!(bytes <= TODAY, "the engine is {bytes} bytes of code, and may be {TODAY} at most");
    Ok(())
}

fn engine_bytes(program: &[u8]) -> Result<u64> {
    let file = object::File::parse(program).context("reading the kernel")?;
    let functions = file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text);
    let of_engine = functions.filter(|symbol| symbol.name().is_ok_and(is_of_engine));
    Ok(of_engine.map(|symbol| symbol.size()).sum())
}

/// Whether the first crate of the workspace that a symbol names is one of the engine's: instances of what other crates define
/// count for the crate that they are for.
fn is_of_engine(symbol: &str) -> bool {
    let name = format!("{:#}", rustc_demangle::demangle(symbol));
    let words = name.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    words.into_iter().find(|word| word.starts_with(WORKSPACE)).is_some_and(|first| ENGINE.contains(&first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_count_for_the_crate_that_they_are_for() {
        assert!(is_of_engine("_RNvNtCs1234_7execmem6engine5alloc"));
        assert!(is_of_engine("_RNvNtCs1234_13execmem_range5arena5alloc"));
        assert!(!is_of_engine("_RNvNtCs1234_12execmem_bare6kernel4main"));
        assert!(!is_of_engine("_RNvNtCs1234_4core3fmt5write"));
        assert!(!is_of_engine("memcpy"));
    }

    #[test]
    fn what_is_no_program_is_refused() {
        assert!(check(b"no program").is_err());
    }
}
