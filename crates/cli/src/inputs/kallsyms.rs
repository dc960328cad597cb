//! `/proc/kallsyms`: `sudo cat /proc/kallsyms > kallsyms.txt`. Others than root see zeros instead of addresses.
//!
//! ```text
//! ffffffffc0a01000 t ext4_init        [ext4]
//! ffffffffc0123440 t bpf_prog_6deef7357e7b4530_sd_fw [bpf]
//! ffffffffc0345000 t ftrace_trampoline [__builtin__ftrace]
//! ```
//!
//! The kernel's own symbols have no bracket. What a module has of a kind lies between its first and its last symbol there:
//! that much is known to be its, and no more. Symbols that lie far from each other are of different memory.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use super::{address_of, each_line};
use crate::survey::facts::{Address, Place};

/// Below are no addresses but offsets: of variables that each processor has.
const LOWEST: u64 = 16 << 20;
/// Symbols of one module that are further from each other are of different memory.
const FAR: u64 = 4 << 20;

/// What the symbols say.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    /// Where modules, programs, probes and trampolines lie.
    pub(crate) places: Vec<Place>,
    /// Symbols whose addresses were hidden.
    pub(crate) hidden: u64,
}

/// The places that the symbols of a kernel tell.
///
/// # Errors
///
/// Which line is no symbol, or that there are none.
pub(crate) fn parse(text: &str) -> Result<Symbols> {
    let mut found: BTreeMap<(String, &'static str), Vec<u64>> = BTreeMap::new();
    let (mut hidden, mut symbols) = (0, 0_u64);
    each_line(text, |line| {
        let mut fields = line.split_whitespace();
        let address = address_of(fields.next().unwrap_or(""))?;
        let (letter, name) = (fields.next().context("no type")?, fields.next().context("no name")?);
        symbols += 1;
        let owner = fields.next().and_then(|owner| owner.strip_prefix('[')?.strip_suffix(']'));
        let (Some(owner), Some(kind)) = (owner, kind(letter)) else { return Ok(()) };
        if address == 0 {
            hidden += 1;
            return Ok(());
        }
        let key = match owner {
            "bpf" => (name.to_owned(), "bpf"),
            "__builtin__ftrace" => (format!("{name} at {address:#x}"), "ftrace"),
            "__builtin__kprobes" => (format!("{name} at {address:#x}"), "kprobe"),
            module => (module.to_owned(), kind),
        };
        if address >= LOWEST {
            found.entry(key).or_default().push(address);
        }
        Ok(())
    })?;
    ensure!(symbols > 0, "no symbol is listed");
    let mut places: Vec<_> =
        found.into_iter().flat_map(|((name, kind), addresses)| stretches(&name, kind, addresses)).collect();
    places.sort_by_key(|place| place.start);
    Ok(Symbols { places, hidden })
}

/// The stretches that addresses lie in.
fn stretches(name: &str, kind: &str, mut addresses: Vec<u64>) -> Vec<Place> {
    addresses.sort_unstable();
    let mut places: Vec<Place> = Vec::new();
    for address in addresses {
        match places.last_mut().filter(|place| address.saturating_sub(place.start.0 + place.bytes) < FAR) {
            Some(place) => place.bytes = address - place.start.0 + 1,
            None => {
                places.push(Place { name: name.to_owned(), kind: kind.to_owned(), start: Address(address), bytes: 1 })
            }
        }
    }
    places
}

/// The kind of memory of a symbol's type, as `nm` has it.
fn kind(letter: &str) -> Option<&'static str> {
    match letter {
        "t" | "T" | "w" | "W" => Some("text"),
        "d" | "D" | "b" | "B" => Some("data"),
        "r" | "R" => Some("rodata"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "ffffffff81000000 T _stext\nffffffffc0a01000 t ext4_init\t[ext4]\n\
                          ffffffffc0a05010 T ext4_end\t[ext4]\nffffffffc0a80000 d ext4_ops\t[ext4]\n\
                          ffffffffc0123440 t bpf_prog_6deef7357e7b4530_sd_fw\t[bpf]\n\
                          ffffffffc0345000 t ftrace_trampoline\t[__builtin__ftrace]\n\
                          ffffffffc0346000 t ftrace_trampoline\t[__builtin__ftrace]\n";

    #[test]
    fn symbols_tell_where_each_owner_lies() {
        let symbols = parse(SAMPLE).expect("symbols");
        let found: Vec<_> = symbols.places.iter().map(|place| (place.kind.as_str(), place.bytes)).collect();
        assert_eq!(found, [("bpf", 1), ("ftrace", 1), ("ftrace", 1), ("text", 0x4011), ("data", 1)]);
        assert_eq!(symbols.places[3].name, "ext4");
    }

    #[test]
    fn symbols_far_from_each_other_are_of_different_memory_and_offsets_are_of_none() {
        let text = "ffffffffc0a01000 t a\t[m]\nffffffffc0f01000 t b\t[m]\nffffffffc0f02000 t c\t[m]\n000000000002a0c0 d p\t[m]\n";
        let symbols = parse(text).expect("symbols");
        let found: Vec<_> = symbols.places.iter().map(|place| (place.start.0, place.bytes)).collect();
        assert_eq!(found, [(0xffff_ffff_c0a0_1000, 1), (0xffff_ffff_c0f0_1000, 0x1001)]);
    }

    #[test]
    fn hidden_addresses_are_counted_and_are_no_places() {
        let hidden = SAMPLE.lines().map(|line| format!("0000000000000000 {}\n", &line[17..])).collect::<String>();
        let symbols = parse(&hidden).expect("symbols");
        assert_eq!((symbols.places.len(), symbols.hidden), (0, 6), "those of the kernel itself do not count");
        assert!(parse("").is_err() && parse("xyz t name").is_err() && parse("00 t").is_err());
    }
}
