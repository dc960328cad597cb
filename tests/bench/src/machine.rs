//! Facts of the machine that numbers depend on. None of them names it.

use serde::{Deserialize, Serialize};

/// What was measured on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) architecture: String,
    pub(crate) cpu: String,
    pub(crate) cpus: usize,
    pub(crate) kernel: String,
    /// Transparent huge pages of anonymous memory.
    pub(crate) transparent_hugepage: String,
    /// Those of memory files.
    pub(crate) shmem_transparent_hugepage: String,
}

impl Machine {
    /// This one.
    pub(crate) fn here() -> Self {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        // What follows the version names a build.
        let version = release.split('-').next().unwrap_or(&release);
        Machine {
            architecture: std::env::consts::ARCH.to_owned(),
            cpu: cpu_model(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: format!("Linux {version}"),
            transparent_hugepage: chosen("enabled"),
            shmem_transparent_hugepage: chosen("shmem_enabled"),
        }
    }
}

fn cpu_model() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or("unknown", |(_, model)| model).trim().to_owned()
}

/// The bracketed word of `always [madvise] never`.
fn chosen(setting: &str) -> String {
    let path = format!("/sys/kernel/mm/transparent_hugepage/{setting}");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or("absent", |(word, _)| word).to_owned()
}
