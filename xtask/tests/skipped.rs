//! Says what was skipped, at the end of `cargo test --workspace`: cargo runs the tests of packages by their names, and this
//! is the last of the last. Only examples in docs come after it.
#![allow(clippy::print_stdout, reason = "it has nothing else to do")]

use std::path::Path;

use skip::Records;

fn main() -> std::io::Result<()> {
    let skipped = Records::below(Path::new(env!("CARGO_TARGET_TMPDIR"))).list()?;
    println!("\n{} tests were skipped, for lack of something", skipped.len());
    skipped.iter().for_each(|skipped| println!("{skipped}"));
    Ok(())
}
