//! A profile as callgrind writes it, added up by crate and by file.
//!
//! ```text
//! ob=/path/of/program
//! fl=/path/of/file.rs
//! fn=symbol
//! 0x1234 56 7          the instruction at 0x1234, of line 56, was executed 7 times
//! fi=/path/of/other.rs the lines from here on are of code that was inlined from there
//! calls=7 0x99 1       the next line counts what a callee did, which is counted where it is
//! 0x1239 57 700
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use object::{Object as _, ObjectSegment as _};

/// The entry of copying and filling, which is in no sum.
pub(crate) const COPYING: &str = "copying";

/// Instructions of the calls of a verb.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) by_crate: BTreeMap<&'static str, u64>,
    /// Of the product's files, from the workspace on.
    pub(crate) by_file: BTreeMap<String, u64>,
}

/// Which crate a file is of: the first row whose text its path has.
const CRATES: [(&str, &str); 9] = [
    ("/crates/linux/src/copy.rs", COPYING),
    ("/crates/range/", "range"),
    ("/crates/engine/", "engine"),
    ("/crates/linux/", "linux"),
    ("/crates/types/", "types"),
    ("/tests/instructions/", "caller"),
    // Instructions of the processor by name, which only copying and filling uses.
    ("/library/stdarch/", COPYING),
    ("/library/", "std"),
    ("", "other"),
];

/// What the symbols of functions have that copy and fill.
const COPYING_FUNCTIONS: [&str; 4] = ["execmem_linux::copy::", "memcpy", "memmove", "memset"];

/// The program that is counted, to see which instructions have a `rep` prefix.
#[derive(Debug)]
pub(crate) struct Program {
    path: String,
    /// Address and bytes of each loaded part.
    segments: Vec<(u64, Vec<u8>)>,
}

impl Program {
    /// The program in a file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path)?;
        let file = object::File::parse(&*bytes).context("reading the program")?;
        let segments = file.segments().map(|segment| Ok((segment.address(), segment.data()?.to_vec())));
        Ok(Program { path: path.display().to_string(), segments: segments.collect::<Result<_>>()? })
    }

    /// The instructions of a profile by crate.
    pub(crate) fn counts(&self, profile: &str) -> Result<Counts> {
        let lines = lines(profile)?;
        let own = || lines.iter().filter(|line| line.object == self.path);
        let mut executed = BTreeMap::<u64, u64>::new();
        own().for_each(|line| *executed.entry(line.address).or_default() += line.count);
        let mut counts = Counts::default();
        for line in &lines {
            let behind = if line.object == self.path { self.behind_rep(line.address) } else { None };
            let most = behind.map_or(u64::MAX, |behind| executed.get(&behind).copied().unwrap_or(0));
            *counts.by_crate.entry(line.crate_name()).or_default() += line.count.min(most);
            if let Some(file) = line.file_of_product() {
                *counts.by_file.entry(file.to_owned()).or_default() += line.count.min(most);
            }
        }
        Ok(counts)
    }

    /// The address behind an instruction that moves or stores strings and has a `rep` prefix (Intel SDM 2B, REP).
    fn behind_rep(&self, address: u64) -> Option<u64> {
        let holds = |(start, bytes): &&(u64, Vec<u8>)| (*start..*start + bytes.len() as u64).contains(&address);
        let (start, bytes) = self.segments.iter().find(holds)?;
        let bytes = bytes.get(usize::try_from(address - start).ok()?..)?;
        match bytes {
            [0xf3, 0xa4 | 0xa5 | 0xaa | 0xab, ..] => Some(address + 2),
            [0xf3, 0x40..=0x4f, 0xa4 | 0xa5 | 0xaa | 0xab, ..] => Some(address + 3),
            _ => None,
        }
    }
}

/// How often an instruction was executed, and where it comes from.
#[derive(Debug)]
struct Line<'t> {
    object: &'t str,
    function: &'t str,
    file: &'t str,
    address: u64,
    count: u64,
}

impl Line<'_> {
    fn file_of_product(&self) -> Option<&str> {
        let root = env!("CARGO_MANIFEST_DIR").strip_suffix("tests/instructions")?;
        let file = self.file.strip_prefix(root).unwrap_or(self.file);
        file.starts_with("crates/").then_some(file)
    }

    fn crate_name(&self) -> &'static str {
        if COPYING_FUNCTIONS.iter().any(|name| self.function.contains(name)) {
            return COPYING;
        }
        CRATES.iter().find(|(path, _)| self.file.contains(path)).map_or("other", |(_, name)| name)
    }
}

/// The lines of a profile that count what an instruction did itself.
fn lines(profile: &str) -> Result<Vec<Line<'_>>> {
    let (mut object, mut function, mut file) = ("", "", "");
    let mut lines = Vec::new();
    let mut rest = profile.lines();
    while let Some(line) = rest.next() {
        match line.split_once('=') {
            Some(("ob", name)) => object = name,
            Some(("fn", name)) => function = name,
            Some(("fl" | "fi" | "fe", name)) => file = name,
            // What the callee did.
            Some(("calls", _)) => drop(rest.next()),
            Some(_) => {}
            None if line.starts_with("0x") => {
                let mut words = line.split(' ');
                let mut word = || words.next().with_context(|| format!("a line of a profile: {line}"));
                let address = u64::from_str_radix(word()?.trim_start_matches("0x"), 16)?;
                let count = word().and_then(|_| word())?.parse()?;
                lines.push(Line { object, function, file, address, count });
            }
            None => {}
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_costs_its_own_file_and_calls_cost_nothing() {
        let profile = "ob=/p\nfl=crates/a.rs\nfn=one\n0x1 10 5\n0x2 11 1\nfi=crates/b.rs\n0x3 3 7\nfe=crates/a.rs\n\
            0x4 4 1\ncfi=crates/c.rs\ncfn=two\ncalls=4 0x9 1\n0x5 11 400\n0x6 12 2\n\nfl=crates/c.rs\nfn=two\n0x9 20 400\n";
        let program = Program { path: "/p".to_owned(), segments: Vec::new() };
        let counts = program.counts(profile).expect("a profile").by_file;
        let counts: Vec<_> = counts.iter().map(|(file, count)| (&**file, *count)).collect();
        assert_eq!(counts, [("crates/a.rs", 9), ("crates/b.rs", 7), ("crates/c.rs", 400)]);
    }

    #[test]
    fn files_of_libraries_are_not_ours() {
        let of = |file: &str| {
            let line = Line { object: "", function: "", file, address: 0, count: 0 };
            line.file_of_product().map(str::to_owned)
        };
        let own = "crates/engine/src/pool.rs";
        let whole = env!("CARGO_MANIFEST_DIR").replace("tests/instructions", own);
        assert_eq!([of(own), of(&whole)], [own, own].map(|file| Some(file.to_owned())));
        assert_eq!(of("/index.crates.io-1/smallvec/src/lib.rs"), None);
    }
}
