//! The loader of modules, on four machines: an object is loaded, initialised and unloaded, or refused with an error, and
//! nothing stays.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use execmem::{Engine, EngineRef, Extent, Kind, Table};
use execmem_clients::Error;
use execmem_clients::module::{
    AlternativeFeatures, AlternativeFormat, Callee, Coming, LoadLimits, Loader, ModuleImage, Modules, PerCpu,
    apply_alternatives, plan, prepare_sites,
};
use execmem_sim::Nowhere;
use execmem_tests::rig::Rig;
use rustix::time::{ClockId, clock_gettime};

use super::hash;
use crate::heap;

/// The machines, as the names of targets have them.
pub(crate) const TABLES: [Table; 4] = [
    execmem_arch_x86::TABLE,
    execmem_arch_arm64::ARM64_4K,
    execmem_arch_riscv::RISCV64,
    execmem_arch_powerpc_8xx::POWERPC_BOOK3S32,
];

/// What the documentation of [`LoadLimits`] promises of heap.
const MOST_HEAP: i64 = 64 << 20;
/// What loading may take of a processor. With counters a loop is not what it was: 36 instructions set a byte, of which others
/// set 32 with one.
const MOST_TIME: Duration = Duration::from_millis(if cfg!(execmem_counters) { 500 } else { 100 });
/// On the simulated machine, which copies every byte: most inputs are small, and so is the time for one.
const SMALL: LoadLimits = LoadLimits { section_bytes: 1 << 17, ..LoadLimits::DEFAULT };
/// So often an input is measured, with the limits that callers have.
const MEASURED: u64 = 16;
/// After so many inputs the memory of an engine is looked at as a whole.
const AUDITED: u64 = 4096;

/// Memory of which each processor has its own copy: addresses, and how many pieces are taken.
#[derive(Debug, Clone, Default)]
struct Copies(Arc<Mutex<BTreeMap<u64, u64>>>);

impl PerCpu for Copies {
    fn alloc(&self, len: u64, align: u64) -> Option<Extent> {
        let mut live = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = live.last_key_value().map_or(0x7000_0000, |(start, len)| start + len);
        let start = end.checked_next_multiple_of(align.max(1)).filter(|start| *start < 1 << 31)?;
        live.insert(start, len);
        Extent::new(start, len)
    }

    fn fill(&self, extent: Extent, bytes: &[u8]) {
        assert!(bytes.len() as u64 <= extent.len(), "more bytes than were taken");
    }

    fn free(&self, extent: Extent) {
        let mut live = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(live.remove(&extent.start()), Some(extent.len()), "what is freed was not taken");
    }
}

/// An engine on a machine, used for one input after another.
struct Scene {
    rig: Arc<Rig>,
    copies: Copies,
    inputs: u64,
}

thread_local! {
    static SCENES: RefCell<[Option<Scene>; 4]> = const { RefCell::new([const { None }; 4]) };
}

/// Loads an object.
pub(super) fn load(machine: usize, data: &[u8]) -> bool {
    // Not there while it is in use: one that panics is not used again.
    let kept = SCENES.with(|scenes| scenes.borrow_mut()[machine].take());
    let make = || Scene { rig: Arc::new(Rig::new(TABLES[machine])), copies: Copies::default(), inputs: 0 };
    let mut scene = kept.unwrap_or_else(make);
    let is_loaded = scene.load(data);
    SCENES.with(|scenes| scenes.borrow_mut()[machine] = Some(scene));
    if hash(data).is_multiple_of(MEASURED) {
        measure(machine, data);
    }
    is_loaded
}

/// Loads an object and finalizes it, on x86 or arm64.
pub(super) fn finalize(data: &[u8]) -> bool {
    // The machine of the object, so that inputs are not refused for it.
    load(usize::from(data.get(18) == Some(&183)), data)
}

impl Scene {
    fn load(&mut self, data: &[u8]) -> bool {
        let choice = hash(data);
        let rig = &*self.rig;
        let symbols = symbols(rig.table(), choice);
        let loader = Loader::with_limits(rig, SMALL).expect("rules").with_per_cpu(self.copies.clone());
        let outcome = match choice >> 8 & 3 {
            0 => loader.load(data, &symbols),
            _ => loader.load_finalized(data, &symbols, |image| finish(image, choice)),
        };
        let is_loaded = outcome.is_ok();
        match outcome {
            Ok(coming) => unload(coming, choice),
            Err(error) => check_error(&error),
        }
        if choice >> 10 & 7 == 0 {
            in_a_set(loader, data, &symbols);
        }
        self.check();
        is_loaded
    }

    /// Nothing stays of an input.
    fn check(&mut self) {
        self.inputs += 1;
        let live: u64 = Kind::ALL.iter().map(|kind| self.rig.kind_stats(*kind).live).sum();
        assert_eq!(live, 0, "memory stays allocated");
        assert!(self.copies.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty(), "copies stay taken");
        if self.inputs.is_multiple_of(AUDITED) {
            self.rig.audit().expect("audit");
            self.rig.audit_unused().expect("freed memory");
            assert_eq!(self.rig.sim.wx_bytes(), 0);
            self.rig.shrink();
        }
    }
}

/// Where imports lie: near the kernel, far away, or nowhere.
fn symbols(table: &Table, choice: u64) -> impl Fn(&str) -> Option<u64> + use<> {
    let near = table.machine().anchor.map_or(0x1000, |anchor| anchor.start());
    move |name: &str| match (choice >> 16 ^ hash(name.as_bytes())) % 8 {
        0 => None,
        1 => Some(hash(name.as_bytes())),
        number => Some(near.wrapping_add(number * 0x1040)),
    }
}

/// Processors with some features, and pointers to functions.
struct Features(u64);

impl AlternativeFeatures for Features {
    fn has(&self, feature: u16) -> bool {
        self.0 >> (feature % 64) & 1 != 0
    }

    fn callee(&self, pointer: u64) -> Option<Callee> {
        match self.0 % 3 {
            0 => None,
            1 => Some(Callee::Nothing),
            _ => Some(Callee::Function(pointer ^ self.0 & 0xffff)),
        }
    }
}

/// A finalize step: alternatives, sites, and what a caller may do with sections.
fn finish<S: execmem_clients::ModuleKinds>(image: &mut ModuleImage<'_, S>, choice: u64) -> Result<(), Error> {
    // As the kernel that the object is for has it: a table of another format has another length, mostly.
    let is_new = image.named(".altinstructions").all(|section| section.len.is_multiple_of(14));
    let format = if is_new { AlternativeFormat::LINUX_6_3 } else { AlternativeFormat::LINUX_5_19 };
    apply_alternatives(image, format, &Features(choice))?;
    if image.sections().any(|section| section.name.starts_with("__")) {
        prepare_sites(image, choice >> 21 & 8)?;
    }
    for section in image.sections().collect::<Vec<_>>() {
        let bytes = image.bytes(section.address, section.len).expect("a section");
        assert_eq!(bytes.len() as u64, section.len);
        let beyond = section.len.saturating_add(1);
        // An empty one may stand where another begins.
        assert!(section.len == 0 || image.bytes_mut(section.address, beyond).is_none(), "bytes beyond a section");
        assert!(section.len == 0 || image.kind_at(section.address).is_some());
    }
    Ok(())
}

/// What there is to ask of a module, and its end.
fn unload<E: EngineRef<Set = Kind>, P: PerCpu + Clone>(coming: Coming<E, P>, choice: u64) {
    for (kind, extent) in coming.extents() {
        assert!(extent.len() > 0 && Kind::ALL.contains(&kind));
    }
    let names = coming.names();
    for (name, address) in names.sections().take(64) {
        let _ = (name, names.symbol(name), names.symbol_at(address), names.symbol_at(address.wrapping_sub(1)));
    }
    let _ = names.build_id();
    if choice >> 24 & 1 == 0 {
        return coming.unload();
    }
    match coming.finish_or_unload() {
        Ok(module) => module.unload(),
        Err(error) => check_error(&error),
    }
}

/// Errors can be shown, and none is about the engine's own faults.
fn check_error(error: &Error) {
    assert!(!error.to_string().is_empty());
    let is_fault =
        matches!(error, Error::Engine(execmem::Error::Backend { .. } | execmem::Error::ForeignHandle { .. }));
    assert!(!is_fault, "{error}");
}

/// The same object twice in a set, and the order of a set.
fn in_a_set<E: EngineRef<Set = Kind> + Clone, P: PerCpu + Clone>(
    loader: Loader<E, P>,
    data: &[u8],
    symbols: &impl Fn(&str) -> Option<u64>,
) {
    let set = Modules::with_loader(loader);
    for name in ["first", "second", "first"] {
        if let Err(error) = set.load(name, data, symbols, |_| Ok(())) {
            check_error(&error);
        }
    }
    set.unload_all();
    assert_eq!(set.len(), 0);
    if let Err(error) = plan(&[("first", data), ("second", data)], symbols) {
        check_error(&error);
    }
}

/// Heap and time of loading by limits as callers have them, in memory that costs nothing.
fn measure(machine: usize, data: &[u8]) {
    let engine = Engine::<Nowhere>::new(TABLES[machine], Nowhere).expect("memory");
    let loader = Loader::new(&engine).expect("rules").with_per_cpu(Copies::default());
    let symbols = symbols(engine.table(), hash(data));
    let attempt = || {
        let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
        let before = now();
        let (outcome, bytes) = heap::peak(|| loader.load(data, &symbols));
        let time = now() - before;
        outcome.into_iter().for_each(Coming::unload);
        (time, bytes)
    };
    let (mut time, bytes) = attempt();
    if time > MOST_TIME {
        // Another program may have had the caches.
        time = time.min(attempt().0);
    }
    assert!(bytes <= MOST_HEAP, "loading {} bytes takes {bytes} bytes of heap", data.len());
    assert!(time <= MOST_TIME, "loading {} bytes takes {time:?}", data.len());
}
