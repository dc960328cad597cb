//! What the system allows this process, asked before or after it matters.

use std::fs;

use rustix::process::{Resource, getrlimit};

/// Bytes a file of this process may have, if that is limited. A longer one would kill the process (`SIGXFSZ`).
pub(crate) fn file_bytes() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// Whether the process has as many mappings as it may have.
pub(crate) fn has_no_mapping_left() -> bool {
    let limit = number("/proc/sys/vm/max_map_count");
    let used = fs::read("/proc/self/maps").map(|maps| maps.iter().filter(|&&byte| byte == b'\n').count());
    // Splitting a mapping needs two more at most.
    limit.zip(used.ok()).is_some_and(|(limit, used)| used as u64 + 2 >= limit)
}

/// Whether the administrator reserved large pages, or allows them beyond what is reserved.
pub(crate) fn has_reserved_pages() -> bool {
    let pool = "/sys/kernel/mm/hugepages/hugepages-2048kB";
    let counters = ["nr_hugepages", "nr_overcommit_hugepages"];
    counters.iter().any(|counter| number(&format!("{pool}/{counter}")).is_some_and(|pages| pages > 0))
}

/// Whether the kernel gives large pages to memory that asks for them, of files or anonymous.
pub(crate) fn large_pages_on_request(of_files: bool) -> bool {
    let switch = if of_files { "shmem_enabled" } else { "enabled" };
    let text = fs::read_to_string(format!("/sys/kernel/mm/transparent_hugepage/{switch}")).unwrap_or_default();
    let chosen = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    chosen.is_some_and(|(chosen, _)| matches!(chosen, "always" | "madvise" | "advise" | "within_size" | "force"))
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
