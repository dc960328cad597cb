//! The map by which perf knows the functions of a JIT: `/tmp/perf-PID.map`, with node `--perf-basic-prof`, say.
//!
//! ```text
//! 3a9c3a46d2e0 1f4 LazyCompile:~parse node:internal/url:12
//! ```
//!
//! First address and bytes, both hexadecimal, and the rest of the line is the name. A JIT that reuses memory writes another
//! line for the same addresses; the later one holds.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use super::{MOST_BYTES, address_of, check_bytes, each_line};
use crate::survey::facts::{Address, Piece};

/// The functions, in the order they were made.
///
/// # Errors
///
/// Which line is none of a function.
pub(crate) fn parse(text: &str) -> Result<Vec<Piece>> {
    // By start: end, and the number of the line.
    let mut functions: BTreeMap<u64, (u64, usize)> = BTreeMap::new();
    let mut names = Vec::new();
    each_line(text, |line| {
        let mut fields = line.splitn(3, ' ');
        let start = address_of(fields.next().unwrap_or(""))?;
        let bytes = address_of(fields.next().context("no size")?)?;
        check_bytes(bytes, MOST_BYTES)?;
        let end = start.checked_add(bytes).context("it ends beyond all addresses")?;
        if bytes == 0 {
            return Ok(());
        }
        let overwritten: Vec<u64> =
            functions.range(..end).rev().take_while(|(_, (old, _))| *old > start).map(|(old, _)| *old).collect();
        for old in overwritten {
            functions.remove(&old);
        }
        functions.insert(start, (end, names.len()));
        names.push(fields.next().unwrap_or("?").to_owned());
        Ok(())
    })?;
    ensure!(!functions.is_empty(), "no function is listed");
    let mut ordered: Vec<_> = functions.into_iter().map(|(start, (end, line))| (line, start, end)).collect();
    ordered.sort_unstable();
    let piece = |(line, start, end): (usize, u64, u64)| Piece {
        name: std::mem::take(&mut names[line]),
        bytes: end - start,
        address: Some(Address(start)),
    };
    Ok(ordered.into_iter().map(piece).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_of_two_functions_at_one_place_holds() {
        let text = "1000 40 a\n2000 10 b c\n0x1020 100 d\n3000 0 none\n1120 8 e\n";
        let functions = parse(text).expect("functions");
        let found: Vec<_> = functions.iter().map(|piece| (piece.name.as_str(), piece.bytes)).collect();
        assert_eq!(found, [("b c", 0x10), ("d", 0x100), ("e", 8)], "a lies partly under d");
    }

    #[test]
    fn other_text_is_refused_by_line() {
        for (text, message) in [
            ("", "no function"),
            ("zz 1 a", "line 1: `zz`"),
            ("10", "no size"),
            ("ffffffffffffffff 2 a", "beyond"),
            ("1 ffffffffffff a", "more than"),
        ] {
            let error = format!("{:#}", parse(text).expect_err("no functions"));
            assert!(error.contains(message), "{error}");
        }
    }
}
