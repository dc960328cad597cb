//! Modules of distributions, where `cargo xtask fetch-modules` has brought some.

use std::path::{Path, PathBuf};

use execmem::Kind;
use execmem_clients::Error;
use execmem_clients::module::{Coming, Modules, SiteRule, plan, prepare_sites};
use execmem_sim::Random;
use execmem_tests::per_cpu::PerCpus;
use execmem_tests::rig::Rig;
use execmem_tests::world::granted;

use super::linker::{MACHINES, Machine, compare, read};

skip::tests! {
    for &KERNELS => real_modules_agree_with_binutils every_real_module_of_every_machine_loads
        real_modules_come_and_go_in_four_threads real_modules_refer_to_each_other real_modules_list_the_sites_of_their_functions;
    for &KERNELS[1..] => real_modules_far_from_the_kernel_call_it_by_way_of_a_plt;
}

/// The kernel of a distribution: Debian's name of its machine, and what brings its modules.
pub(super) struct Kernel {
    name: &'static str,
    machine: &'static Machine,
    command: &'static str,
    /// Bytes of room for tracers before each function, and the release, as major and minor number, since which there is any.
    room_before: (u64, [u32; 2]),
}

impl Kernel {
    /// Bytes of room before each function of a module in `…/lib/modules/RELEASE/…`.
    fn room_before(&self, module: &Path) -> u64 {
        let (bytes, since) = self.room_before;
        if is_since(module, since) { bytes } else { 0 }
    }
}

/// Whether a module in `…/lib/modules/RELEASE/…` is of a release or a later one.
pub(super) fn is_since(module: &Path, since: [u32; 2]) -> bool {
    let folders: Vec<_> = module.iter().filter_map(|folder| folder.to_str()).collect();
    let release = folders.windows(2).find_map(|few| (few[0] == "modules" && few[1].contains('.')).then_some(few[1]));
    release.iter().flat_map(|text| text.split('.')).map_while(|part| part.parse::<u32>().ok()).ge(since)
}

/// Debian has none for 32-bit powerpc.
pub(super) static KERNELS: [Kernel; 3] = [
    Kernel { name: "amd64", machine: &MACHINES[0], command: "cargo xtask fetch-modules", room_before: (0, [0, 0]) },
    Kernel {
        name: "arm64",
        machine: &MACHINES[1],
        command: "cargo xtask fetch-modules --arch arm64 --suite trixie",
        room_before: (8, [0, 0]),
    },
    Kernel {
        name: "riscv64",
        machine: &MACHINES[2],
        command: "cargo xtask fetch-modules --arch riscv64 --suite trixie",
        // Tracers find their operations there (`DYNAMIC_FTRACE_WITH_CALL_OPS`).
        room_before: (8, [6, 16]),
    },
];

/// The modules that were fetched, without which the test is skipped.
pub(super) fn fetched(kernel: &Kernel) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/modules").join(kernel.name)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".ko") || name.ends_with(".ko.xz") {
                found.push(path);
            }
        }
    }
    skip::unless(skip::fetched(!found.is_empty(), kernel.command));
    found.sort();
    found
}

/// Whether a file holds the module of a name.
fn holds(path: &Path, name: &str) -> bool {
    let file = path.file_name().and_then(|file| file.to_str()).unwrap_or("");
    file.strip_prefix(name).is_some_and(|rest| rest.starts_with(".ko"))
}

fn real_modules_agree_with_binutils(kernel: &Kernel) {
    kernel.machine.needs(&["ld"]);
    const WANTED: [&str; 6] = ["crc32c-intel", "libcrc32c", "ext4", "usbhid", "bridge", "nf_tables"];
    let fetched = fetched(kernel);
    let named: Vec<_> = fetched.iter().filter(|path| WANTED.iter().any(|name| holds(path, name))).collect();
    assert!(!named.is_empty(), "no kernel is without these");
    for module in &named {
        assert!(compare(kernel.machine, module) > 5, "{}", module.display());
    }
    // Two hundred of each, and all in a release build.
    let step = if cfg!(debug_assertions) { fetched.len() / 200 } else { 1 };
    let sample: Vec<_> = fetched.iter().step_by(step.max(1)).collect();
    let sections: usize = sample.iter().map(|module| compare(kernel.machine, module)).sum();
    println!("{}: {sections} sections of {} modules", kernel.name, sample.len());
}

/// A module far from what it calls is loaded with a PLT, on machines whose calls do not reach everything.
fn real_modules_far_from_the_kernel_call_it_by_way_of_a_plt(kernel: &Kernel) {
    let (machine, modules) = (kernel.machine, fetched(kernel));
    let (engine, copies) = (machine.engine(), machine.per_cpus());
    let loader = machine.loader(&engine, &copies);
    let sample = modules.iter().step_by(modules.len() / 100 + 1);
    let mut with_plt = 0;
    for (data, path) in sample.map(|path| (read(path), path)) {
        let near = loader.load(&data, &|name: &str| Some(machine.import_address(name)));
        // 16 TiB away: only what names functions by distance can be there, and data stays where it is.
        let far = loader.load(&data, &|name: &str| {
            let address = machine.import_address(name);
            Some(if CALLED_ONLY.iter().any(|start| name.starts_with(start)) { address - (16 << 40) } else { address })
        });
        let [near, far] = [near, far].map(|outcome| outcome.unwrap_or_else(|error| panic!("{error}: {path:?}")));
        let text = |coming: &Coming<&'_ Rig, PerCpus>| {
            coming.extents().find(|(kind, _)| *kind == Kind::Text).map_or(0, |(_, extent)| extent.len())
        };
        with_plt += usize::from(text(&far) > text(&near));
        far.unload();
        near.unload();
    }
    assert_eq!(granted(&engine), 0);
    assert!(with_plt > 0);
}

/// Functions of the kernel whose addresses modules do not take, only call.
const CALLED_ONLY: [&str; 3] = ["_printk", "__stack_chk_fail", "mutex_lock"];

/// Every module that was fetched loads and unloads.
fn every_real_module_of_every_machine_loads(kernel: &Kernel) {
    let (machine, modules) = (kernel.machine, fetched(kernel));
    let (engine, copies) = (machine.engine(), machine.per_cpus());
    let loader = machine.loader(&engine, &copies);
    // All of them in a release build; one in ten where that would take minutes.
    let step = if cfg!(debug_assertions) { 10 } else { 1 };
    for path in modules.iter().step_by(step) {
        let coming = loader.load(&read(path), &|name: &str| Some(machine.import_address(name)));
        let coming = coming.unwrap_or_else(|error| panic!("{error}: {}", path.display()));
        assert_eq!(coming.names().build_id().len(), 20, "{}", path.display());
        coming.finish_or_unload().expect("memory").unload();
    }
    println!("{}: {} of {} modules", machine.name, modules.len().div_ceil(step), modules.len());
    assert_eq!(granted(&engine), 0);
}

/// Real modules that need each other.
fn real_modules_refer_to_each_other(kernel: &Kernel) {
    const NAMES: [&str; 6] = ["bridge", "stp", "llc", "nf_tables", "nfnetlink", "libcrc32c"];
    let (machine, fetched) = (kernel.machine, fetched(kernel));
    let data = |name: &'static str| Some((name, read(fetched.iter().find(|path| holds(path, name))?)));
    let set: Vec<(&str, Vec<u8>)> = NAMES.into_iter().filter_map(data).collect();
    let views: Vec<_> = set.iter().map(|(name, data)| (*name, data.as_slice())).collect();
    let outside = |name: &str| Some(machine.import_address(name));
    assert!(!set.is_empty(), "no kernel is without these");
    let levels = plan(&views, &outside).unwrap_or_else(|error| panic!("{}: {error}", machine.name));
    let level = |name: &str| levels.iter().position(|level| level.iter().any(|index| set[*index].0 == name));
    assert!(level("llc") < level("stp") && level("stp") < level("bridge") && level("nfnetlink") < level("nf_tables"));
    let engine = machine.engine();
    let modules = Modules::with_loader(machine.loader(&engine, &machine.per_cpus()));
    for (name, data) in levels.concat().into_iter().map(|index| &set[index]) {
        modules.load(name, data, &outside, |_| Ok(())).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert!(matches!(modules.unload("llc"), Err(Error::ModuleInUse { .. })));
    modules.unload_all();
    assert_eq!(granted(&engine), 0);
}

/// What real modules list as places for tracers becomes sites, and each is at the begin of a function.
fn real_modules_list_the_sites_of_their_functions(kernel: &Kernel) {
    let (machine, modules) = (kernel.machine, fetched(kernel));
    let (engine, copies) = (machine.engine(), machine.per_cpus());
    let loader = machine.loader(&engine, &copies);
    let rule = SiteRule::of(machine.instructions.isa).expect("a rule");
    let site = machine.instructions.site.expect("a site");
    let mut count = 0;
    for path in modules.iter().step_by(modules.len() / 60 + 1) {
        let mut sites = Vec::new();
        let outside = |name: &str| Some(machine.import_address(name));
        let coming = loader.load_finalized(&read(path), &outside, |image| {
            sites = prepare_sites(image, kernel.room_before(path))?;
            Ok(())
        });
        let coming = coming.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for address in &sites {
            let mut bytes = vec![0; site.nop.len()];
            engine.sim.read(*address, &mut bytes).expect("live");
            assert_eq!(bytes, site.nop, "{}: {address:#x}", path.display());
            let function = coming.names().symbol_at(*address);
            let (_, distance) =
                function.unwrap_or_else(|| panic!("{}: {address:#x} is in no function", path.display()));
            // Landing pads stand before it.
            assert!(distance <= rule.prologue.len() as u64 + 4, "{}: {distance} bytes behind", path.display());
        }
        count += sites.len();
        coming.unload();
    }
    println!("{}: {count} sites", machine.name);
    assert!(count > 500, "{count}");
    assert_eq!(granted(&engine), 0);
}

/// Many modules, loaded and unloaded in another order in every round, by four threads at once: nothing is left of them.
fn real_modules_come_and_go_in_four_threads(kernel: &Kernel) {
    let (machine, modules) = (kernel.machine, fetched(kernel));
    // All of them in a release build.
    let step = if cfg!(debug_assertions) { modules.len() / 120 } else { 1 };
    let data: Vec<_> = modules.iter().step_by(step.max(1)).map(|path| read(path)).collect();
    let rounds = std::env::var("EXECMEM_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_u64);
    let (engine, copies) = (machine.engine(), machine.per_cpus());
    let loader = machine.loader(&engine, &copies);
    let mut seeds = Random::new(0x9e37_79b9_7f4a_7c15);
    for _ in 0..rounds {
        std::thread::scope(|scope| {
            for part in data.chunks(data.len().div_ceil(4)) {
                let (loader, mut random) = (&loader, Random::new(seeds.number()));
                scope.spawn(move || {
                    let load = |data: &Vec<u8>| {
                        let coming = loader.load(data, &|name: &str| Some(machine.import_address(name)));
                        coming.and_then(|coming| coming.finish_or_unload()).expect("a module")
                    };
                    let mut loaded: Vec<_> = part.iter().map(load).collect();
                    while !loaded.is_empty() {
                        let place = usize::try_from(random.below(loaded.len() as u64)).expect("below a length");
                        loaded.swap_remove(place).unload();
                    }
                });
            }
        });
        assert_eq!((granted(&engine), copies.live()), (0, 0));
        engine.audit().expect("audit");
        engine.audit_unused().expect("freed code traps");
    }
    engine.shrink();
    // What is quarantined stays mapped.
    assert_eq!(engine.stats().bytes_mapped(), 0);
}
