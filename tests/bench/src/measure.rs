//! What is measured, and how: processor time from the clock of the process, memory from the kernel's own account.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use anyhow::Result;
use execmem_linux::proc::{self, Area};
use rustix::time::{ClockId, clock_gettime};

/// Results by name, all of them numbers.
pub(crate) type Measures = BTreeMap<String, f64>;

/// User and system time of this process so far, all threads together.
pub(crate) fn cpu_time() -> Duration {
    elapsed(ClockId::ProcessCPUTime)
}

/// User and system time of this thread so far.
pub(crate) fn thread_cpu_time() -> Duration {
    elapsed(ClockId::ThreadCPUTime)
}

fn elapsed(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

/// Nanoseconds per event.
pub(crate) fn ns_per(time: Duration, events: usize) -> f64 {
    time.as_secs_f64() * 1e9 / events.max(1) as f64
}

/// The value in the middle; of none, 0.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// What the kernel says about the memory of this process.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Bytes of mappings that can be executed.
    pub(crate) executable: u64,
    /// Of these, bytes mapped by large entries.
    pub(crate) large: u64,
    /// Bytes writable and executable at once.
    pub(crate) writable_and_executable: u64,
    /// Bytes of memory that belong to no file on disk. A page of a memory file counts once, mapped or not.
    pub(crate) resident: u64,
}

impl Memory {
    /// As it is now.
    pub(crate) fn now() -> Result<Self> {
        let areas = proc::areas()?;
        let sum = |bytes: fn(&Area) -> u64, filter: fn(&&Area) -> bool| areas.iter().filter(filter).map(bytes).sum();
        let in_memory_files: u64 = sum(|area| area.proportional_bytes, |area| area.name.starts_with("/memfd:"));
        let anonymous: u64 =
            sum(|area| area.proportional_bytes, |area| area.name.is_empty() || area.name.starts_with('['));
        Ok(Memory {
            executable: sum(|area| area.extent.len(), |area| area.is_executable),
            large: sum(|area| area.large_bytes, |area| area.is_executable),
            writable_and_executable: sum(|area| area.extent.len(), |area| area.is_writable && area.is_executable),
            resident: anonymous + in_memory_files.max(memory_file_bytes()?),
        })
    }
}

/// Bytes allocated to the memory files this process holds open.
fn memory_file_bytes() -> Result<u64> {
    let (mut seen, mut bytes) = (BTreeSet::new(), 0);
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let path = entry?.path();
        let is_memory_file = std::fs::read_link(&path).is_ok_and(|to| to.to_string_lossy().starts_with("/memfd:"));
        // A file that was closed since is none of ours.
        if let (true, Ok(file)) = (is_memory_file, std::fs::metadata(&path))
            && seen.insert(file.ino())
        {
            bytes += file.blocks() * 512;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn touched_memory_is_resident() {
        let before = Memory::now().expect("proc");
        let touched = vec![1_u8; 32 << 20];
        let after = Memory::now().expect("proc");
        assert!(after.resident - before.resident >= 24 << 20);
        assert!(after.executable > 0 && after.writable_and_executable == 0);
        assert_eq!(std::hint::black_box(touched)[7], 1);
    }
}
