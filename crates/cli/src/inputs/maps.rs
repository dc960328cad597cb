//! Mappings of a process: `cat /proc/PID/maps > maps.txt`; `/proc/PID/smaps` will do as well.
//!
//! ```text
//! 7f1c40000000-7f1c40021000 rwxp 00000000 00:00 0          [anon: JIT]
//! ```
//!
//! Executable mappings that are of no file are a JIT's, and so are those of memory files and of deleted ones; those of
//! programs and libraries are not, nor are the kernel's own.

use anyhow::{Context as _, Result, ensure};

use super::{MOST_REGION_BYTES, address_of, check_bytes, each_line};
use crate::survey::facts::{Address, Region};

/// Mappings that the kernel itself puts into every process.
const KERNELS: [&str; 3] = ["[vdso]", "[vsyscall]", "[uprobes]"];

/// The executable mappings of a JIT, in order of address.
///
/// # Errors
///
/// Which line is no mapping, or that there are none at all. A process without a JIT has an empty list.
pub(crate) fn parse(text: &str) -> Result<Vec<Region>> {
    let mut regions = Vec::new();
    let mut mappings = 0_u64;
    each_line(text, |line| {
        let mut fields = line.splitn(6, ' ');
        let range = fields.next().unwrap_or("");
        if range.ends_with(':') && mappings > 0 {
            return Ok(()); // a figure of smaps
        }
        let (start, end) = range.split_once('-').context("no range of addresses")?;
        let (start, end) = (address_of(start)?, address_of(end)?);
        let bytes = end.checked_sub(start).context("it ends before it starts")?;
        let rights = fields.next().context("no rights")?;
        let name = fields.nth(3).unwrap_or("").trim();
        mappings += 1;
        let is_of_file = name.starts_with('/') && !name.starts_with("/memfd:") && !name.ends_with("(deleted)");
        if rights.as_bytes().get(2) == Some(&b'x') && !is_of_file && !KERNELS.contains(&name) {
            check_bytes(bytes, MOST_REGION_BYTES)?;
            let is_writable = rights.as_bytes().get(1) == Some(&b'w');
            regions.push(Region { start: Address(start), bytes, is_writable, name: name.to_owned() });
        }
        Ok(())
    })?;
    ensure!(mappings > 0, "no mapping is listed");
    Ok(regions)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "55d0a0000000-55d0a0100000 r-xp 00001000 08:01 123                        /usr/bin/node\n\
                          7f1c40000000-7f1c40021000 rwxp 00000000 00:00 0 \n\
                          Size:                132 kB\n\
                          7f1c50000000-7f1c50001000 r-xp 00000000 00:05 77                         /memfd:jit (deleted)\n\
                          7f1c60000000-7f1c60001000 rw-p 00000000 00:00 0                          [heap]\n\
                          7ffd00000000-7ffd00001000 r-xp 00000000 00:00 0                          [vdso]\n";

    #[test]
    fn executable_memory_of_no_file_is_the_jits() {
        let regions = parse(SAMPLE).expect("mappings");
        let found: Vec<_> =
            regions.iter().map(|region| (region.bytes, region.is_writable, region.name.as_str())).collect();
        assert_eq!(found, [(0x21000, true, ""), (0x1000, false, "/memfd:jit (deleted)")]);
        assert!(parse(SAMPLE.lines().next().expect("a line")).expect("mappings").is_empty());
    }

    #[test]
    fn other_text_is_refused_by_line() {
        for (text, message) in
            [("", "no mapping"), ("2-1 r-xp", "ends before"), ("1-2", "no rights"), ("x", "line 1: no range")]
        {
            let error = format!("{:#}", parse(text).expect_err("no mappings"));
            assert!(error.contains(message), "{error}");
        }
    }
}
