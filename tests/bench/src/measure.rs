//! What is measured, and how: processor time from the clock of the process, memory from the kernel's own account.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use execmem_linux::proc::{self, Area};
use rustix::time::{ClockId, clock_gettime};

use crate::random::{Random, SEED};

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

/// Of times in order of length, the one that one in a thousand exceeds.
pub(crate) fn p99_9(sorted: &[u32]) -> f64 {
    sorted.len().checked_sub(1 + sorted.len() / 1000).map_or(0.0, |index| f64::from(sorted[index]))
}

/// Nanoseconds since a moment, at most 2³² − 1.
pub(crate) fn ns_since(start: Instant) -> u32 {
    u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX)
}

/// Calls of a pass of [`ns_per_call`], and passes.
const CALLS: usize = 1 << 19;
const PASSES: usize = 5;

/// What a call costs when any of `count` live functions may be the next. `call` calls one, and returns its answer and
/// the right one.
pub(crate) fn ns_per_call(count: usize, call: impl Fn(usize) -> (u64, u64)) -> Result<f64> {
    let mut random = Random::new(SEED);
    let mut passes = [0.0; PASSES];
    for pass in &mut passes {
        let (mut answers, mut expected) = (0_u64, 0_u64);
        let start = thread_cpu_time();
        for _ in 0..CALLS {
            let (answer, right) = call(random.below(count));
            answers = answers.wrapping_add(answer);
            expected = expected.wrapping_add(right);
        }
        *pass = ns_per(thread_cpu_time() - start, CALLS);
        ensure!(answers == expected, "a function gave a wrong answer");
    }
    Ok(median(&passes))
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

/// Bytes of memory the process has from `malloc`.
pub(crate) fn heap_bytes() -> usize {
    // SAFETY: `mallinfo2` reads the counters of the heap and has no preconditions.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}

/// Faults of this process that needed no disk.
pub(crate) fn faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may hold anything, the eighth: minflt of proc_pid_stat(5).
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().nth(7).and_then(|count| count.parse().ok()).unwrap_or(0)
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
