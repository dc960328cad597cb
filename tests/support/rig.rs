//! An engine under test on a simulated machine, with the machine's control.

use std::ops::Deref;

use execmem::sync::{Locking, ThreadLanes};
use execmem::{Engine, EngineRef, Kind, Table};
use execmem_sim::{Control, Sim};

/// An engine, and the control of the machine that it owns.
#[derive(Debug)]
pub struct Rig<L: Locking = ThreadLanes> {
    /// The engine.
    pub engine: Engine<Sim, Kind, L>,
    /// What is mapped and counted, and what will be refused.
    pub sim: Control,
}

impl Rig {
    /// An engine that follows `table` on a machine of its own, with as much memory as it wants.
    #[must_use]
    pub fn new(table: Table) -> Self {
        Rig::on(table, Sim::new(table.machine()))
    }

    /// An engine that follows `table` on a machine.
    #[must_use]
    pub fn on(table: Table, sim: Sim) -> Self {
        Rig::with_locks(table, sim)
    }
}

impl<L: Locking> Rig<L> {
    /// The same with locks of the test.
    ///
    /// # Panics
    ///
    /// If the process has no memory for the engine.
    #[must_use]
    pub fn with_locks(table: Table, sim: Sim) -> Self {
        let control = sim.control();
        Rig { engine: Engine::with_locks(table, sim).expect("memory"), sim: control }
    }
}

impl<L: Locking> Deref for Rig<L> {
    type Target = Engine<Sim, Kind, L>;

    fn deref(&self) -> &Self::Target {
        &self.engine
    }
}

impl<L: Locking> EngineRef for Rig<L> {
    type Memory = Sim;
    type Set = Kind;
    type Locks = L;

    fn engine(&self) -> &Engine<Sim, Kind, L> {
        &self.engine
    }
}
