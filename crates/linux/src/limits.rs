//! What the system allows this process, asked before or after it matters. Takes no heap: it is asked when memory ran out.

use std::ffi::CStr;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, getrlimit};

/// Bytes a file of this process may have, if that is limited. A longer one would kill the process (`SIGXFSZ`).
pub(crate) fn file_bytes() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// Whether the process has as many mappings as it may have.
pub(crate) fn has_no_mapping_left() -> bool {
    let limit = number(c"/proc/sys/vm/max_map_count");
    let mut used = 0_u64;
    let seen = read(c"/proc/self/maps", |part| used += part.iter().filter(|&&byte| byte == b'\n').count() as u64);
    // Splitting a mapping needs two more at most, and moving one three.
    seen.is_some() && limit.is_some_and(|limit| used + 3 >= limit)
}

/// Whether the administrator reserved large pages, or allows them beyond what is reserved.
pub(crate) fn has_reserved_pages() -> bool {
    let counters = [
        c"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
        c"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages",
    ];
    counters.iter().any(|counter| number(counter).is_some_and(|pages| pages > 0))
}

/// Whether the kernel gives large pages to memory that asks for them, of files or anonymous.
pub(crate) fn large_pages_on_request(of_files: bool) -> bool {
    let switch = match of_files {
        true => c"/sys/kernel/mm/transparent_hugepage/shmem_enabled",
        false => c"/sys/kernel/mm/transparent_hugepage/enabled",
    };
    // `always within_size [advise] never deny force`
    let chosen = ["[always]", "[madvise]", "[advise]", "[within_size]", "[force]"];
    let mut answer = false;
    let seen = read(switch, |part| {
        let has = |word: &&str| part.windows(word.len()).any(|seen| seen == word.as_bytes());
        answer |= chosen.iter().any(has);
    });
    seen.is_some() && answer
}

fn number(path: &CStr) -> Option<u64> {
    let mut number = None;
    read(path, |part| {
        let digits = part.iter().take_while(|byte| byte.is_ascii_digit());
        number = digits.fold(None, |sum: Option<u64>, digit| Some(sum.unwrap_or(0) * 10 + u64::from(digit - b'0')));
    })?;
    number
}

/// Shows a file to `look`, part by part. `None` if it cannot be read.
fn read(path: &CStr, mut look: impl FnMut(&[u8])) -> Option<()> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut part = [0; 512];
    loop {
        match rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut part)).ok()? {
            0 => return Some(()),
            len => look(&part[..len]),
        }
    }
}
