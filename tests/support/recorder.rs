//! A backend that keeps a record of every call, and can be told to stop and wait in one.

use std::sync::{Condvar, Mutex};

use execmem::{Backend, BackendError, Extent, PageSize, Protection};
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

/// A backend that passes calls on and remembers them.
#[derive(Debug)]
pub struct Recorder<B> {
    inner: B,
    calls: Mutex<Vec<Call>>,
    /// Whether `map` waits, and whether somebody waits in it.
    gate: Mutex<(bool, bool)>,
    moved: Condvar,
}

impl<B: Backend> Recorder<B> {
    /// Records the calls of `inner`.
    pub const fn new(inner: B) -> Self {
        Recorder { inner, calls: Mutex::new(Vec::new()), gate: Mutex::new((false, false)), moved: Condvar::new() }
    }

    /// The backend behind.
    pub const fn inner(&self) -> &B {
        &self.inner
    }

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

    /// Waits until somebody waits in `map`.
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
    fn map(&self, mapping: &Mapping) -> Result<(), BackendError> {
        self.pass_gate();
        self.record(Call::Map(mapping.extent, mapping.page));
        self.inner.map(mapping)
    }

    fn unmap(&self, extent: Extent) -> Result<(), BackendError> {
        self.record(Call::Unmap(extent));
        self.inner.unmap(extent)
    }

    fn protect(&self, extent: Extent, protection: Protection) -> Result<(), BackendError> {
        self.record(Call::Protect(extent, protection));
        self.inner.protect(extent, protection)
    }

    fn write(&self, access: Access, address: u64, bytes: &[u8]) -> Result<(), BackendError> {
        self.record(Call::Write(access, address, bytes.len()));
        self.inner.write(access, address, bytes)
    }

    fn fill(&self, access: Access, extent: Extent, pattern: Trap) -> Result<(), BackendError> {
        self.record(Call::Fill(access, extent));
        self.inner.fill(access, extent, pattern)
    }

    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), BackendError> {
        self.inner.read(address, bytes)
    }

    fn sync_code(&self, extent: Extent, scope: SyncScope) -> Result<(), BackendError> {
        self.record(Call::Sync(extent, scope));
        self.inner.sync_code(extent, scope)
    }

    fn collapse(&self, extent: Extent, page: PageSize) -> Result<(), BackendError> {
        self.inner.collapse(extent, page)
    }

    fn adopt(&self, extent: Extent, protection: Protection) -> Result<(), BackendError> {
        self.inner.adopt(extent, protection)
    }
}
