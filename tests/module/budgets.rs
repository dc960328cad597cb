//! Objects that want too much, and a heap that gives nothing.

use std::time::Duration;

use execmem::sync::ThreadLanes;
use execmem::{Engine, EngineRef, Kind};
use execmem_arch_arm64::ARM64_4K;
use execmem_arch_x86::TABLE;
use execmem_clients::Error;
use execmem_clients::module::{LoadLimits, Loader, Modules, Resource, plan};
use execmem_sim::{Control, Sim};
use execmem_types::{
    Access, Backend, BackendError, Extent, Mapping, PageSize, PowerOfTwo, Protection, SyncScope, Table, Trap,
};
use object::elf::{R_AARCH64_CALL26, R_X86_64_64};
use object::{Architecture, Endianness, SectionKind};
use rustix::time::{ClockId, clock_gettime};

use super::heap::{armed, exempt};
use super::objects::{Builder, IMPORTS_AT, complete, put, section_places};

/// A simulated machine whose own heap is no business of the test.
#[derive(Debug)]
pub(crate) struct Exempt(pub(crate) Sim);

impl Backend for Exempt {
    fn map(&self, mapping: &Mapping) -> Result<(), BackendError> {
        exempt(|| self.0.map(mapping))
    }
    fn unmap(&self, extent: Extent) -> Result<(), BackendError> {
        exempt(|| self.0.unmap(extent))
    }
    fn protect(&self, extent: Extent, protection: Protection) -> Result<(), BackendError> {
        exempt(|| self.0.protect(extent, protection))
    }
    fn write(&self, access: Access, address: u64, bytes: &[u8]) -> Result<(), BackendError> {
        exempt(|| self.0.write(access, address, bytes))
    }
    fn stores_at_once(&self) -> PowerOfTwo {
        self.0.stores_at_once()
    }
    fn fill(&self, access: Access, extent: Extent, pattern: Trap) -> Result<(), BackendError> {
        exempt(|| self.0.fill(access, extent, pattern))
    }
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), BackendError> {
        exempt(|| self.0.read(address, bytes))
    }
    fn sync_code(&self, extent: Extent, scope: SyncScope) -> Result<(), BackendError> {
        exempt(|| self.0.sync_code(extent, scope))
    }
    fn collapses(&self) -> bool {
        self.0.collapses()
    }
    fn collapse(&self, extent: Extent, page: PageSize) -> Result<(), BackendError> {
        exempt(|| self.0.collapse(extent, page))
    }
    fn adopt(&self, extent: Extent, protection: Protection) -> Result<(), BackendError> {
        exempt(|| self.0.adopt(extent, protection))
    }
}

/// An engine on such a machine.
#[derive(Debug)]
pub(super) struct Bench {
    engine: Engine<Exempt, Kind, ThreadLanes>,
    sim: Control,
}

impl EngineRef for Bench {
    type Memory = Exempt;
    type Set = Kind;
    type Locks = ThreadLanes;

    fn engine(&self) -> &Engine<Exempt, Kind, ThreadLanes> {
        &self.engine
    }
}

impl Bench {
    fn new(table: Table) -> Self {
        let sim = Sim::new(table.machine());
        let control = sim.control();
        Bench { engine: Engine::with_locks(table, Exempt(sim)).expect("memory"), sim: control }
    }

    fn granted(&self) -> u64 {
        self.engine.stats().kinds.values().map(|kind| kind.bytes_granted).sum()
    }
}

const MOST_HEAP: i64 = 64 << 20;
const MOST_TIME: Duration = Duration::from_millis(100);

/// What this thread had of a processor: others may run beside it.
fn busy() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("a time")
}

/// What is said of a hostile object, which takes little time and heap.
fn refused(data: &[u8]) -> Error {
    let bench = Bench::new(TABLE);
    let loader = Loader::new(&bench).expect("a machine");
    let mut shortest = Duration::MAX;
    let mut error = None;
    // Other tests may have the caches at the same time.
    for _ in 0..20 {
        let start = busy();
        let (outcome, used) = armed(u64::MAX, || loader.load(data, &|_: &str| Some(IMPORTS_AT)));
        shortest = shortest.min(busy() - start);
        assert!(used.peak < MOST_HEAP, "{used:?}");
        error = Some(outcome.expect_err("too much"));
        assert_eq!((bench.granted(), bench.sim.leaves().len()), (0, 0), "refused before memory is taken");
        if shortest < MOST_TIME {
            break;
        }
    }
    assert!(shortest < MOST_TIME, "{shortest:?}");
    error.expect("it ran")
}

fn is_over(error: Error, what: Resource) -> bool {
    matches!(error, Error::OverBudget { resource, .. } if resource == what)
}

#[test]
fn names_that_share_a_suffix_are_counted_each() {
    let mut module = Builder::new();
    let long = "a".repeat(30_000);
    let code = module.define(&long, module.text, &[0xc3; 16], 16);
    assert_eq!(module.object.symbol(code).name.len(), 30_000);
    for _ in 0..30_000 {
        module.define("b", module.text, &[0xc3], 1);
    }
    let mut data = module.write();
    let (header, symbols) = section_places(&data, ".symtab");
    let word = |data: &[u8], at: usize| u64::from_le_bytes(data[at..at + 8].try_into().expect("8 bytes"));
    let (count, strings) = (word(&data, header + 32) / 24, section_places(&data, ".strtab").1);
    let place = data[strings..].windows(2).position(|pair| pair == b"aa").expect("the long name");
    for index in 1..u32::try_from(count).expect("few") {
        let name = u32::try_from(place).expect("small") + index % 20_000;
        put(&mut data, symbols + index as usize * 24, name.to_le_bytes());
    }
    assert!(data.len() < 1 << 20);
    assert!(is_over(refused(&data), Resource::NameBytes));
}

#[test]
fn zeroes_that_no_file_holds_are_counted() {
    let mut data = complete();
    let (header, _) = section_places(&data, ".bss");
    put(&mut data, header + 32, (900_u64 << 20).to_le_bytes());
    assert!(is_over(refused(&data), Resource::SectionBytes));
}

#[test]
fn large_files_are_refused_by_their_length() {
    let mut data = complete();
    data.resize(257 << 20, 0);
    assert!(is_over(refused(&data), Resource::FileBytes));
}

#[test]
fn many_relocations_and_sections_are_counted() {
    let mut module = Builder::new();
    let (text, code) = (module.text, module.define("code", module.text, &[0xc3; 16], 16));
    (0..2000).for_each(|_| module.relocate(text, 0, code, 0, R_X86_64_64));
    let data = module.write();
    let bench = Bench::new(TABLE);
    let said = |limits: LoadLimits| {
        let loader = Loader::with_limits(&bench, limits).expect("a machine");
        loader.load(&data, &|_: &str| None).expect_err("too much")
    };
    let error = said(LoadLimits { relocations: 1999, ..LoadLimits::DEFAULT });
    assert_eq!(error.to_string(), "2000 relocations or more are wanted, the limit is 1999");
    assert!(is_over(said(LoadLimits { sections: 2, ..LoadLimits::DEFAULT }), Resource::Sections));
    assert!(is_over(said(LoadLimits { file_bytes: 100, ..LoadLimits::DEFAULT }), Resource::FileBytes));
    assert!(is_over(said(LoadLimits { name_bytes: 8, ..LoadLimits::DEFAULT }), Resource::NameBytes));
    assert!(is_over(said(LoadLimits { section_bytes: 8, ..LoadLimits::DEFAULT }), Resource::SectionBytes));
    assert!(matches!(said(LoadLimits::DEFAULT), Error::AlreadyPatched { .. }), "it fits, and is damaged");
}

/// An object with 31 MiB of zeroes whose last symbol stands there so many times more.
fn repeated_symbol(times: usize, last: impl Fn(&mut Builder)) -> Vec<u8> {
    let mut module = Builder::new();
    let bss = module.object.section_id(object::write::StandardSection::UninitializedData);
    let zeroes = module.symbol("zeroes");
    module.object.add_symbol_bss(zeroes, bss, 31 << 20, 64);
    last(&mut module);
    let mut data = module.write();
    let (header, symbols) = section_places(&data, ".symtab");
    let word = u64::from_le_bytes(data[header + 32..header + 40].try_into().expect("8 bytes"));
    let table = data[symbols..symbols + usize::try_from(word).expect("small")].to_vec();
    let start = data.len().next_multiple_of(8);
    data.resize(start, 0);
    data.extend_from_slice(&table);
    for _ in 0..times {
        data.extend_from_slice(&table[table.len() - 24..]);
    }
    let len = (data.len() - start) as u64;
    put(&mut data, header + 24, (start as u64).to_le_bytes());
    put(&mut data, header + 32, len.to_le_bytes());
    data
}

#[test]
fn many_symbols_take_little_heap_and_time() {
    let undefined = |module: &mut Builder| {
        module.symbol("outer");
    };
    let defined = |module: &mut Builder| {
        module.define("b", module.text, &[0xc3], 1);
    };
    for last in [&undefined as &dyn Fn(&mut Builder), &defined] {
        assert!(is_over(refused(&repeated_symbol(4_000_000, last)), Resource::NameBytes));
        // As many as the limits take.
        let data = repeated_symbol(460_000, last);
        let bench = Bench::new(TABLE);
        let loader = Loader::new(&bench).expect("a machine");
        let (coming, used) = armed(u64::MAX, || loader.load(&data, &|_: &str| Some(IMPORTS_AT)));
        coming.expect("within the limits").unload();
        assert!(used.peak < MOST_HEAP, "{used:?}");
    }
}

/// A module that needs a PLT and a GOT, with kinds that go and one that is sealed.
fn far_arm64() -> Vec<u8> {
    let mut module = Builder::of(Architecture::Aarch64, Endianness::Little);
    let text = module.text;
    module.define("code", text, &[0; 64], 16);
    let outer = module.symbol("outer");
    module.relocate(text, 4, outer, 0, R_AARCH64_CALL26);
    module.relocate(text, 8, outer, 0, object::elf::R_AARCH64_ADR_GOT_PAGE);
    let sealed = module.section(".data..ro_after_init", SectionKind::Data);
    module.define("kept", sealed, &[0; 8], 8);
    let init = module.section(".init.text", SectionKind::Text);
    module.define("init_module", init, &[0; 8], 8);
    module.write()
}

/// Runs a life of modules with the heap refused from each request on; whatever happens, nothing is left.
pub(super) fn refuse_every_request(table: Table, life: impl Fn(&Bench) -> Result<(), Error>) {
    let bench = Bench::new(table);
    // Blocks and books of the engine are there.
    life(&bench).expect("memory");
    let mut refusals = 0;
    for nth in 0.. {
        let (outcome, used) = armed(nth, || life(&bench));
        match outcome {
            Ok(()) => {
                assert!(used.requests <= nth, "a request that was refused was not needed");
                break;
            }
            Err(Error::OutOfMemory { .. } | Error::Engine(execmem::Error::OutOfMemory)) => refusals += 1,
            Err(error) => panic!("request {nth}: {error}"),
        }
        assert_eq!((bench.granted(), used.left), (0, 0), "request {nth}");
        bench.engine.audit().expect("audit");
    }
    assert!(refusals > 15, "{refusals}");
    bench.engine.audit_unused().expect("freed code traps");
}

#[test]
fn inv_09_a_heap_that_refuses_at_any_point_leaves_nothing_of_a_module() {
    let near = complete();
    refuse_every_request(TABLE, |bench| {
        let coming = Loader::new(bench)?.load(&near, &|_: &str| Some(IMPORTS_AT))?;
        coming.finish_or_unload()?.unload();
        Ok(())
    });
    let (far, distant) = (far_arm64(), ARM64_4K.machine().anchor.expect("a kernel").start() - (1 << 31));
    refuse_every_request(ARM64_4K, |bench| {
        let coming = Loader::new(bench)?.load(&far, &|_: &str| Some(distant))?;
        coming.finish_or_unload()?.unload();
        Ok(())
    });
}

#[test]
fn inv_09_a_heap_that_refuses_at_any_point_leaves_nothing_of_a_set() {
    let module = |defines: &str, refers: &str| {
        let mut module = Builder::new();
        let text = module.text;
        module.define(defines, text, &[0; 64], 16);
        let other = module.symbol(refers);
        module.relocate(text, 8, other, 0, R_X86_64_64);
        module.write()
    };
    let (base, user) = (module("base_run", "printk"), module("user_run", "base_run"));
    let set: [(&str, &[u8]); 2] = [("user-module", &user), ("base-module", &base)];
    let kernel = |name: &str| (name == "printk").then_some(IMPORTS_AT);
    refuse_every_request(TABLE, |bench| {
        let modules = Modules::new(bench)?;
        let outcome = plan(&set, &kernel).and_then(|levels| {
            let mut order = levels.iter().flatten();
            order.try_for_each(|index| modules.load(set[*index].0, set[*index].1, &kernel, |_| Ok(())))
        });
        modules.unload_all();
        outcome
    });
}
