//! The engine of this kernel: its table, a constant, and its locks.

use execmem::kinds;
use execmem::sync::Locking;
use execmem::{Draft, Engine, Kind, Live, Table};
use execmem_types::{Descriptor, Machine, PageSize, Plan, PowerOfTwo};

use super::arch::{self, IMAGE, MANAGED};
use super::frames::{LARGE, SMALL};
use super::locks::Spin;
use super::memory::KernelMemory;
use super::processors;

/// The engine.
pub(crate) type KernelEngine = Engine<KernelMemory, Kind, Locks>;

/// Locks that spin, the one that may sleep too: this kernel has no threads. A hint for each processor.
#[derive(Debug)]
pub(crate) struct Locks;

impl Locking for Locks {
    type Spin = Spin;
    type Sleep = Spin;

    fn shard_hint() -> usize {
        processors::own_number()
    }
}

const PAGES: [PageSize; 2] = [LARGE, SMALL];
const LINE: PowerOfTwo = PowerOfTwo::from_log2(6);
const SLOT: PowerOfTwo = PowerOfTwo::from_log2(4);

/// A machine of our own, with the instructions of the processor.
pub(crate) const MACHINE: Machine =
    Machine { features: arch::MACHINE.features, ..Machine::new("bare", arch::MACHINE.instructions, &[SMALL, LARGE]) };

/// One window for everything. Code of all kinds lies in the same blocks.
pub(crate) static TABLE: Table = Plan::new(MACHINE)
    .with_anchor(IMAGE)
    .own(kinds::Text, Descriptor::code(MANAGED[0], &PAGES).with_units(LINE, LINE))
    .own(kinds::Data, Descriptor::data(MANAGED[0], &PAGES))
    .own(kinds::RoData, Descriptor::constants(MANAGED[0], &PAGES))
    .own(kinds::RoAfterInit, Descriptor::sealed_after_init(MANAGED[0], &PAGES))
    .shares(kinds::InitText, kinds::Text, LINE, LINE)
    .shares(kinds::InitData, kinds::Data, SLOT, SLOT)
    .shares(kinds::InitRoData, kinds::RoData, SLOT, SLOT)
    .shares(kinds::Kprobe, kinds::Text, SLOT, SLOT)
    .shares(kinds::Ftrace, kinds::Text, SLOT, SLOT)
    .shares(kinds::Bpf, kinds::Text, LINE, LINE)
    .table();

/// An engine over all of the managed memory.
pub(crate) fn start() -> Result<KernelEngine, execmem::Error> {
    Engine::with_locks(TABLE, KernelMemory::new(MANAGED))
}

/// Allocates code and writes it.
pub(crate) fn write(engine: &KernelEngine, code: &[u8]) -> Draft<kinds::Text> {
    let mut draft = engine.alloc::<kinds::Text>(code.len() as u64).expect("room for code");
    engine.write(&mut draft, 0, code).expect("a draft can be written");
    draft
}

/// Publishes code.
pub(crate) fn install(engine: &KernelEngine, code: &[u8]) -> Live<kinds::Text> {
    engine.publish(write(engine, code)).expect("a draft can be published")
}
