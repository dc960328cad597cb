//! Options that name inputs of one's own.

use std::path::PathBuf;

use clap::Args as ClapArgs;

/// How each of the files is made.
pub(crate) const AFTER_HELP: &str = "How the files are made:
  --proc-modules  cat /proc/modules, or lsmod
  --kallsyms      sudo cat /proc/kallsyms
  --bpftool       sudo bpftool prog show -j
  --trace         echo 1 > /sys/kernel/tracing/events/module/enable; cat /sys/kernel/tracing/trace_pipe
  --maps          cat /proc/PID/maps
  --perf-map      the JIT writes /tmp/perf-PID.map (node: --perf-basic-prof)
  --csv           any editor. The header names columns, in any order: name, then bytes of text, data, rodata, \
ro-after-init, init-text, init-data, init-rodata, kallsyms, file, or of bpf, kprobe, ftrace; size, if the kinds of a \
module are not known; count, how many there are of a row.

A line of a trace is `TIME EVENT NAME [BYTES] [KIND=BYTES ...]`, with the events module_load, module_free, bpf_load, \
bpf_free, kprobe_load, kprobe_free, ftrace_load, ftrace_free; lines as ftrace prints them will do.";

/// Files that say what is loaded.
#[derive(Debug, Clone, Default, ClapArgs)]
#[group(id = "inputs", multiple = true)]
pub(crate) struct InputOptions {
    /// Modules that are loaded: /proc/modules or lsmod
    #[arg(long, value_name = "FILE", help_heading = "Inputs of your own")]
    pub(crate) proc_modules: Option<PathBuf>,
    /// Tree of module files (.ko, .ko.xz, .ko.zst, .ko.gz): sizes by kind of what is listed, or of all without a list
    #[arg(long, value_name = "DIR", help_heading = "Inputs of your own")]
    pub(crate) modules: Option<PathBuf>,
    /// Where code and data lie now: /proc/kallsyms
    #[arg(long, value_name = "FILE", help_heading = "Inputs of your own")]
    pub(crate) kallsyms: Option<PathBuf>,
    /// BPF programs: bpftool prog show -j
    #[arg(long, value_name = "FILE", help_heading = "Inputs of your own")]
    pub(crate) bpftool: Option<PathBuf>,
    /// A table of sizes
    #[arg(long, value_name = "FILE", help_heading = "Inputs of your own")]
    pub(crate) csv: Option<PathBuf>,
    /// Loads and unloads, replayed in time
    #[arg(long, value_name = "FILE", help_heading = "Inputs of your own")]
    pub(crate) trace: Option<PathBuf>,
    /// Executable memory of a JIT's process: /proc/PID/maps
    #[arg(long, value_name = "FILE", help_heading = "Inputs of your own")]
    pub(crate) maps: Option<PathBuf>,
    /// Functions of a JIT: /tmp/perf-PID.map
    #[arg(long, value_name = "FILE", help_heading = "Inputs of your own")]
    pub(crate) perf_map: Option<PathBuf>,
}

impl InputOptions {
    /// Whether none is given.
    pub(crate) fn is_empty(&self) -> bool {
        let InputOptions { proc_modules, modules, kallsyms, bpftool, csv, trace, maps, perf_map } = self;
        [proc_modules, modules, kallsyms, bpftool, csv, trace, maps, perf_map].iter().all(|file| file.is_none())
    }
}
