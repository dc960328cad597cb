//! Counts the instructions of each call of the engine over memory of this process, by size of the allocation and by crate.
//! Started by `cargo xtask bench --callgrind`. The counts do not depend on what else the machine does.
//!
//! # How it counts
//!
//! The program starts [itself](work) under valgrind, which collects only while one of six functions runs, each a
//! call of the engine and nothing else, and writes what it collected after each loop of such calls: for each address how
//! often the instruction there was executed, and the line and file that it comes from. A [profile] adds that up by
//! crate, where code of the standard library that was inlined is its own entry.
//!
//! valgrind counts an instruction with a `rep` prefix once for each byte. Which addresses hold such instructions is read from the
//! program; one executes at most as often as the instruction behind it, and counts so often. Copying and filling, which are
//! the code of `copy.rs` of the Linux memory and the functions of the C library, are an entry of their own and in no sum: they
//! cost by the byte. What of the standard library is inlined there, such as the count of a loop, stays in the sum.
#![expect(unsafe_code, reason = "functions that valgrind finds by name have symbols that are not mangled")]
#![allow(clippy::print_stdout, reason = "a program that talks to a terminal")]

mod files;
mod profile;
mod record;
mod valgrind;
mod work;

use anyhow::{Result, ensure};
use clap::Parser;

use record::Record;

/// Counts the instructions of each call of the engine, by size and by crate.
#[derive(Debug, Parser)]
struct Args {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    /// Prints which files of the product a call passes instead, and the instructions of each.
    #[arg(long, conflicts_with_all = ["json", "record", "check"])]
    files: bool,
    /// Writes tests/bench/record/instructions.json.
    #[arg(long)]
    record: bool,
    /// Fails if a call takes 3 % more instructions than recorded.
    #[arg(long, conflicts_with = "record")]
    check: bool,
    /// Makes the calls that are counted.
    #[arg(long, hide = true)]
    work: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if args.work {
        return work::run();
    }
    let counts = valgrind::count()?;
    if args.files {
        files::print(&counts);
        return Ok(());
    }
    let record = Record::new(&counts)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&record)?);
    } else {
        print!("{record}");
    }
    if args.record {
        record.write()?;
    }
    if args.check {
        let grown = record.grown_since(&Record::read()?);
        ensure!(grown.is_empty(), "{}; `cargo xtask bench --callgrind --record` records that", grown.join("; "));
    }
    Ok(())
}
