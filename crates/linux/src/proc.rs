//! What the kernel says about this process's memory: `/proc/self/smaps`, parsed.
//!
//! Tests and reports use it, so that what they claim is the kernel's word and not a counter of ours.

use std::io;

use execmem_types::Extent;

/// One mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Area {
    /// Where.
    pub extent: Extent,
    /// Loads are allowed.
    pub is_readable: bool,
    /// Stores are allowed.
    pub is_writable: bool,
    /// Instruction fetches are allowed.
    pub is_executable: bool,
    /// Name of the file or purpose.
    pub name: String,
    /// Bytes resident.
    pub resident_bytes: u64,
    /// Bytes resident, those shared between mappings divided between them.
    pub proportional_bytes: u64,
    /// Bytes mapped by large entries.
    pub large_bytes: u64,
}

impl Area {
    /// Addresses and a name, nothing allowed and nothing resident.
    pub(crate) fn of(extent: Extent, name: &str) -> Self {
        Area {
            extent,
            is_readable: false,
            is_writable: false,
            is_executable: false,
            name: name.to_owned(),
            resident_bytes: 0,
            proportional_bytes: 0,
            large_bytes: 0,
        }
    }
}

/// Every mapping of this process, in order of address.
///
/// # Errors
///
/// If `/proc` cannot be read, or mappings change whenever they are read ([`io::ErrorKind::ResourceBusy`]).
pub fn areas() -> io::Result<Vec<Area>> {
    read("/proc/self/smaps")
}

/// Every mapping of this process in order of address, without what is resident: fast, since no page table is walked.
///
/// # Errors
///
/// As [`areas`].
pub fn mappings() -> io::Result<Vec<Area>> {
    read("/proc/self/maps")
}

/// Bytes of this process that are writable and executable at once.
///
/// # Errors
///
/// As [`areas`].
pub fn writable_and_executable_bytes() -> io::Result<u64> {
    let areas = areas()?;
    Ok(areas.iter().filter(|area| area.is_writable && area.is_executable).map(|area| area.extent.len()).sum())
}

/// Times that a list is read before it is given up.
const ATTEMPTS: usize = 1_000;

/// Reads a list of mappings that holds each once.
///
/// The kernel hands it out a few at a time and goes on behind the last. If that one became part of a longer one
/// meanwhile, the longer one comes as well, from its start on.
fn read(path: &str) -> io::Result<Vec<Area>> {
    for _ in 0..ATTEMPTS {
        let areas = parse(&std::fs::read_to_string(path)?);
        if are_disjoint(&areas) {
            return Ok(areas);
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

fn are_disjoint(areas: &[Area]) -> bool {
    areas.is_sorted_by(|before, after| before.extent.end() <= u128::from(after.extent.start()))
}

fn parse(text: &str) -> Vec<Area> {
    let mut areas: Vec<Area> = Vec::new();
    for line in text.lines() {
        if let Some(area) = header(line) {
            areas.push(area);
        } else if let (Some(area), Some((field, bytes))) = (areas.last_mut(), field(line)) {
            match field {
                "Rss" => area.resident_bytes = bytes,
                "Pss" => area.proportional_bytes = bytes,
                "AnonHugePages" | "ShmemPmdMapped" | "FilePmdMapped" | "Shared_Hugetlb" | "Private_Hugetlb" => {
                    area.large_bytes += bytes;
                }
                _ => {}
            }
        }
    }
    areas
}

/// `7f0000000000-7f0000200000 r-xs 00000000 00:01 1025    /memfd:execmem (deleted)`
fn header(line: &str) -> Option<Area> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let start = u64::from_str_radix(start, 16).ok()?;
    let extent = Extent::between(start, u128::from_str_radix(end, 16).ok()?)?;
    let rights = words.next()?.as_bytes();
    let name = words.skip(3).collect::<Vec<_>>().join(" ");
    Some(Area {
        is_readable: rights.first() == Some(&b'r'),
        is_writable: rights.get(1) == Some(&b'w'),
        is_executable: rights.get(2) == Some(&b'x'),
        ..Area::of(extent, &name)
    })
}

/// `Rss:                2048 kB`
fn field(line: &str) -> Option<(&str, u64)> {
    let (name, value) = line.split_once(':')?;
    let kib: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    Some((name, kib << 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_fields_are_read() {
        let text = "7f00-8f00 r-xs 00000000 00:01 1025    /memfd:execmem (deleted)\nRss:   8 kB\nShmemPmdMapped: 4 kB\n\
                    VmFlags: rd\n9000-a000 rwxp 0 0:0 0\n";
        let areas = parse(text);
        assert_eq!(areas.len(), 2);
        assert_eq!((areas[0].extent.start(), areas[0].name.as_str()), (0x7f00, "/memfd:execmem (deleted)"));
        assert_eq!((areas[0].resident_bytes, areas[0].large_bytes), (8192, 4096));
        assert!(areas[0].is_executable && !areas[0].is_writable && areas[1].is_writable && areas[1].is_executable);
    }

    #[test]
    fn a_mapping_that_grew_while_it_was_read_is_seen() {
        let listed = |text| are_disjoint(&parse(text));
        assert!(listed("1000-3000 r-xs 0 0:0 0\n3000-4000 r-xs 0 0:0 0\n5000-6000 r-xs 0 0:0 0\n"));
        assert!(!listed("1000-3000 r-xs 0 0:0 0\n1000-6000 r-xs 0 0:0 0\n"));
        assert!(!listed("1000-3000 r-xs 0 0:0 0\n2000-6000 r-xs 0 0:0 0\n"));
    }

    #[test]
    fn this_process_has_mappings() {
        assert!(areas().expect("proc").iter().any(|area| area.is_executable));
    }
}
