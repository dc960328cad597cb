//! A backend that keeps a record of every call, and can be told to stop and wait in one.

use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex};

use execmem::{Backend, BackendError, Engine, Extent, PageSize, Protection, Table};
use execmem_sim::{Control, Sim};
use execmem_types::{Access, Mapping, SyncScope, Trap};

/// A call of the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Mapped.
    Map(Extent, PageSize),
    /// Unmapped.
    Unmap(Extent),
    /// Changed rights.
    Protect(Extent, Protection),
    /// Wrote bytes from an address on.
    Write(Access, u64, usize),
    /// Filled.
    Fill(Access, Extent),
    /// Told instruction fetch.
    Sync(Extent, SyncScope),
}

/// A backend that passes calls on and has a [`Recording`] remember them.
#[derive(Debug)]
pub struct Recorder<B> {
    inner: B,
    recording: Arc<Recording>,
}

/// The calls that were made, and a gate in `map`.
#[derive(Debug, Default)]
pub struct Recording {
    calls: Mutex<Vec<Call>>,
    /// Whether `map` waits, and whether a thread waits in it.
    gate: Mutex<(bool, bool)>,
    moved: Condvar,
}

impl<B> Recorder<B> {
    /// Records the calls of `inner`. The recording stays with the test when the recorder goes into an engine.
    pub fn new(inner: B) -> (Self, Arc<Recording>) {
        let recording = Arc::<Recording>::default();
        (Recorder { inner, recording: Arc::clone(&recording) }, recording)
    }
}

impl Recording {
    /// The calls since the last time this was asked.
    ///
    /// # Panics
    ///
    /// If a thread panicked while it recorded a call.
    #[must_use]
    pub fn take(&self) -> Vec<Call> {
        core::mem::take(&mut self.calls.lock().unwrap())
    }

    /// Makes the next `map` wait until [`open`](Self::open).
    ///
    /// # Panics
    ///
    /// If a thread panicked at the gate.
    pub fn close(&self) {
        self.gate.lock().unwrap().0 = true;
    }

    /// Waits until a thread waits in `map`.
    ///
    /// # Panics
    ///
    /// If a thread panicked at the gate.
    pub fn wait_for_visitor(&self) {
        let gate = self.gate.lock().unwrap();
        drop(self.moved.wait_while(gate, |(_, has_visitor)| !*has_visitor).unwrap());
    }

    /// Lets `map` go on.
    ///
    /// # Panics
    ///
    /// If a thread panicked at the gate.
    pub fn open(&self) {
        self.gate.lock().unwrap().0 = false;
        self.moved.notify_all();
    }

    fn pass_gate(&self) {
        let mut gate = self.gate.lock().unwrap();
        if gate.0 {
            gate.1 = true;
            self.moved.notify_all();
            gate = self.moved.wait_while(gate, |(is_closed, _)| *is_closed).unwrap();
        }
        gate.1 = false;
    }

    fn record(&self, call: Call) {
        self.calls.lock().unwrap().push(call);
    }
}

impl<B: Backend> Backend for Recorder<B> {
    fn check_caller(&self) -> Result<(), BackendError> {
        self.inner.check_caller()
    }

    fn map(&self, mapping: &Mapping) -> Result<(), BackendError> {
        self.recording.pass_gate();
        self.recording.record(Call::Map(mapping.extent, mapping.page));
        self.inner.map(mapping)
    }

    fn unmap(&self, extent: Extent) -> Result<(), BackendError> {
        self.recording.record(Call::Unmap(extent));
        self.inner.unmap(extent)
    }

    fn protect(&self, extent: Extent, protection: Protection) -> Result<(), BackendError> {
        self.recording.record(Call::Protect(extent, protection));
        self.inner.protect(extent, protection)
    }

    fn write(&self, access: Access, address: u64, bytes: &[u8]) -> Result<(), BackendError> {
        self.recording.record(Call::Write(access, address, bytes.len()));
        self.inner.write(access, address, bytes)
    }

    fn fill(&self, access: Access, extent: Extent, pattern: Trap) -> Result<(), BackendError> {
        self.recording.record(Call::Fill(access, extent));
        self.inner.fill(access, extent, pattern)
    }

    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), BackendError> {
        self.inner.read(address, bytes)
    }

    fn sync_code(&self, extent: Extent, scope: SyncScope) -> Result<(), BackendError> {
        self.recording.record(Call::Sync(extent, scope));
        self.inner.sync_code(extent, scope)
    }

    fn collapses(&self) -> bool {
        self.inner.collapses()
    }

    fn collapse(&self, extent: Extent, page: PageSize) -> Result<(), BackendError> {
        self.inner.collapse(extent, page)
    }

    fn adopt(&self, extent: Extent, protection: Protection) -> Result<(), BackendError> {
        self.inner.adopt(extent, protection)
    }
}

/// An engine whose calls are recorded, on a simulated machine.
#[derive(Debug)]
pub struct Recorded {
    /// The engine.
    pub engine: Engine<Recorder<Sim>>,
    /// Its calls.
    pub recording: Arc<Recording>,
    /// The machine.
    pub sim: Control,
}

impl Recorded {
    /// An engine that follows `table` on a machine of its own.
    ///
    /// # Panics
    ///
    /// If the process has no memory for the engine.
    #[must_use]
    pub fn new(table: Table) -> Self {
        let sim = Sim::new(table.machine());
        let control = sim.control();
        let (recorder, recording) = Recorder::new(sim);
        Recorded { engine: Engine::new(table, recorder).expect("memory"), recording, sim: control }
    }
}

impl Deref for Recorded {
    type Target = Engine<Recorder<Sim>>;

    fn deref(&self) -> &Self::Target {
        &self.engine
    }
}
