//! Kinds, a table and hooks of one's own, on a simulated machine and on memory of this process: compiles and runs.

use std::sync::atomic::{AtomicU64, Ordering};

use execmem::{Backend, BackendError, Engine, Extent, Hooked, Hooks, Memory, Owner, PageSize};
use execmem_arch_x86::MACHINE_X86;
use execmem_clients::ModuleKinds;
use execmem_clients::module::Loader;
use execmem_linux::{Linux, Options};
use execmem_sim::Sim;
use execmem_types::{Descriptor, Plan, PowerOfTwo, Table};
use object::write::{Object, StandardSection, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SymbolFlags, SymbolKind, SymbolScope};

execmem_types::kinds! {
    /// What a hypervisor executes and keeps: the sections of its drivers, and filters of guests.
    pub enum Guest, types in guest {
        /// Code of drivers.
        Drivers: Code = "drivers",
        /// Their data.
        State: Data = "state",
        /// Their constants.
        Constants: Constants = "constants",
        /// What they write once.
        Sealed: SealedAfterInit = "sealed",
        /// Filters that guests bring.
        Filters: Code = "filters",
    }
}

/// Sections that go after initialisation are kept with the others.
impl ModuleKinds for Guest {
    type Text = guest::Drivers;
    type Data = guest::State;
    type RoData = guest::Constants;
    type RoAfterInit = guest::Sealed;
    type InitText = guest::Drivers;
    type InitData = guest::State;
    type InitRoData = guest::Constants;
}

const CODE: Extent = Extent::between(0xffff_ffff_c000_0000, 0xffff_ffff_d000_0000).expect("a window");
const DATA: Extent = Extent::between(0xffff_ffff_d000_0000, 0xffff_ffff_e000_0000).expect("a window");
const PAGES: [PageSize; 2] = [PageSize::mib(2), PageSize::kib(4)];
const LINE: PowerOfTwo = PowerOfTwo::from_log2(6);

static TABLE: Table<Guest> = Plan::new(MACHINE_X86)
    .own(guest::Drivers, Descriptor::code(CODE, &PAGES))
    .shares(guest::Filters, guest::Drivers, LINE, LINE)
    .own(guest::State, Descriptor::data(DATA, &PAGES))
    .own(guest::Constants, Descriptor::constants(DATA, &PAGES))
    .own(guest::Sealed, Descriptor::sealed_after_init(DATA, &PAGES))
    .table();

/// Counts what it is told.
#[derive(Debug, Default)]
struct Counted {
    uses: AtomicU64,
    published: AtomicU64,
    freed: AtomicU64,
    mapped: AtomicU64,
}

impl Hooks<Guest> for Counted {
    fn before_use(&self, _: Guest, _: Extent) -> Result<(), BackendError> {
        self.uses.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
    fn published(&self, _: Guest, _: Extent) {
        self.published.fetch_add(1, Ordering::Relaxed);
    }
    fn freed(&self, _: Guest, _: Extent) {
        self.freed.fetch_add(1, Ordering::Relaxed);
    }
    fn mapped(&self, _: Guest, _: Extent) -> Result<(), BackendError> {
        self.mapped.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

fn main() {
    on(TABLE, Sim::new(TABLE.machine()));
    let linux = Linux::reserve(&Options::default()).expect("memory");
    on(linux.table_of::<Guest>().expect("a table"), linux);
    println!("own kinds: ok");
}

/// The same on any memory.
fn on<B: Backend>(table: Table<Guest>, memory: B) {
    let hooks = Counted::default();
    let engine = Engine::<_, Guest>::new(table, Hooked { memory, hooks: &hooks }).expect("memory");
    allocate_find_and_free(&engine);
    load(&engine);
    engine.audit_unused().expect("what is free holds the pattern of its row");
    engine.shrink();
    engine.audit().expect("audit");
    assert_eq!(engine.stats().bytes_mapped(), 0);
    let [uses, published, freed, mapped] =
        [&hooks.uses, &hooks.published, &hooks.freed, &hooks.mapped].map(|count| count.load(Ordering::Relaxed));
    assert!(uses > 3 && uses == freed && published + 1 == uses && mapped > 0, "{hooks:?}");
}

fn allocate_find_and_free<M: Memory<Guest>>(engine: &Engine<M, Guest>) {
    let mut filter = engine.alloc::<guest::Filters>(6).expect("room");
    engine.write(&mut filter, 0, &[0xb8, 42, 0, 0, 0, 0xc3]).expect("a draft");
    let filter = engine.publish(filter).expect("memory");
    let state = engine.alloc_for(Owner(7), Guest::State, 5000).expect("room");
    let found = engine.find(state.extent().last()).expect("live");
    assert_eq!((found.kind, found.owner), (Guest::State, Owner(7)));
    assert_eq!(engine.find(filter.address() + 5).map(|found| found.kind), Some(Guest::Filters));
    assert_eq!(engine.kind_stats(Guest::Filters).live, 1);
    engine.free(filter).expect("ours");
    engine.free(state).expect("ours");
    assert!(engine.alloc::<guest::Filters>(0).expect_err("nothing").to_string().starts_with("filters: "));
}

/// Loads a module whose sections go to the kinds of this set.
fn load<M: Memory<Guest>>(engine: &Engine<M, Guest>) {
    let loader = Loader::new(engine).expect("a machine");
    let module = loader.load(&module(), &|_: &str| None).expect("an object").finish().expect("memory");
    let answer = module.names().symbol("answer").expect("it has one");
    assert_eq!(engine.find(answer).map(|found| found.kind), Some(Guest::Drivers));
    let mut kinds: Vec<_> = module.extents().map(|(kind, _)| kind).collect();
    kinds.sort_by_key(|kind| kind.index());
    assert_eq!(kinds, [Guest::Drivers, Guest::State]);
    module.unload();
    assert_eq!(engine.kind_stats(Guest::Drivers).live, 0);
}

/// A relocatable object with a function and data.
fn module() -> Vec<u8> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let text = object.section_id(StandardSection::Text);
    let data = object.section_id(StandardSection::Data);
    object.append_section_data(text, &[0xb8, 42, 0, 0, 0, 0xc3], 16);
    object.append_section_data(data, &[1; 100], 8);
    object.add_symbol(Symbol {
        name: b"answer".to_vec(),
        value: 0,
        size: 6,
        kind: SymbolKind::Text,
        scope: SymbolScope::Linkage,
        weak: false,
        section: SymbolSection::Section(text),
        flags: SymbolFlags::None,
    });
    object.write().expect("an object")
}
