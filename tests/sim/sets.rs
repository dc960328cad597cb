//! The module sets of `crates/cli/data/workloads`, replayed on a policy.

use execmem::{Extent, Kind, PageSize};
use execmem_arch_x86::MACHINE_X86;
use execmem_sim::policy::{KernelPolicy, Load, Policy as _, ROWS};
use execmem_sim::{Merge, Options, Sim};

/// Memory of the guests that were measured.
pub(crate) const GUEST_BYTES: u64 = 4 << 30;

/// Units of memory that are in partial use when a guest has booted. The one number that was fitted: to the four losses of
/// the direct map in `measured.rs` together.
pub(crate) const FRAGMENTED_UNITS: u64 = 22;

pub(crate) const WORKSTATION_6_1: &str = include_str!("../../crates/cli/data/workloads/modules/workstation-6.1.csv");
pub(crate) const SERVER_6_1: &str = include_str!("../../crates/cli/data/workloads/modules/server-6.1.csv");
pub(crate) const WORKSTATION_7_2: &str = include_str!("../../crates/cli/data/workloads/modules/workstation-7.2.csv");
pub(crate) const SERVER_7_2: &str = include_str!("../../crates/cli/data/workloads/modules/server-7.2.csv");

/// The modules of a set as loads. The symbol table lies on pages of its own, or after the data.
pub(crate) fn loads(set: &str, is_table_apart: bool) -> Vec<Load> {
    let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(set.as_bytes());
    let header = reader.headers().expect("a header").clone();
    let column = |name: &str| header.iter().position(|found| found == name).expect(name);
    let load = |row: csv::StringRecord| {
        let number = |name: &str| row[column(name)].parse::<u64>().expect(name);
        let mut parts: Vec<_> = Kind::MODULE.iter().map(|kind| (*kind, number(kind.name()))).collect();
        if is_table_apart {
            parts.push((Kind::Data, number("kallsyms")));
        } else {
            parts[1].1 += number("kallsyms");
        }
        parts.retain(|(_, bytes)| *bytes > 0);
        let name = row[0].to_owned();
        Load { name, parts, temporary_bytes: number("file"), resident_bytes: 0 }
    };
    reader.into_records().map(|row| load(row.expect("a row"))).collect()
}

/// A policy of Linux on a machine like the guests.
pub(crate) fn policy(name: &str) -> KernelPolicy {
    let options = Options {
        bytes_per_node: GUEST_BYTES,
        direct_leaf: Some(PageSize::mib(2)),
        merge: Merge::Never,
        ..Options::default()
    };
    let sim = Sim::with_options(&MACHINE_X86, &options);
    sim.fragment(FRAGMENTED_UNITS, 1);
    let window = Extent::between(0xffff_ffff_c000_0000, 0xffff_ffff_ff00_0000).expect("the module window");
    let row = ROWS.iter().find(|row| row.name == name).expect(name);
    KernelPolicy::new(row, sim, window)
}

/// A load of one part.
pub(crate) fn single(kind: Kind, bytes: u64) -> Load {
    Load { name: kind.to_string(), parts: vec![(kind, bytes)], temporary_bytes: 0, resident_bytes: 0 }
}

/// Sizes of 1000 BPF programs.
pub(crate) fn programs() -> Vec<u64> {
    let text = include_str!("../../crates/cli/data/workloads/bpf/mix.txt");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(str::split_whitespace).map(|size| size.parse().expect("a size")).collect()
}

/// Loads everything.
pub(crate) fn load_all(policy: &mut KernelPolicy, loads: &[Load]) {
    for (id, load) in (0..).zip(loads) {
        policy.load(id, load).expect("room");
        policy.finish(id).expect("memory");
    }
}

/// Leaves of a size in the module window.
pub(crate) fn leaves(policy: &KernelPolicy, size: PageSize) -> u64 {
    policy.sim().leaves().get(&size).copied().unwrap_or(0)
}

/// Large leaves of the direct map that are gone.
pub(crate) fn lost(policy: &KernelPolicy) -> u64 {
    (GUEST_BYTES - policy.sim().direct_map().large_bytes) >> 21
}
