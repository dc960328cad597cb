//! A scene: what is operated on, the operations, and what can be seen of it.

use std::fmt::Debug;

use execmem::{Engine, Kind, Memory};

/// What an operation may do with the heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heap {
    /// It asks, and fails if it is refused: then nothing has changed.
    Needed,
    /// It asks, and does without.
    Welcome,
    /// It asks for nothing.
    Untouched,
}

/// Why an operation failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The engine refused.
    Engine(execmem::Error),
    /// A client refused.
    Client(execmem_clients::Error),
    /// The invariant that an audit found broken.
    Broken(#[expect(dead_code, reason = "it is printed")] execmem::Violation),
    /// What it works on is not there, since an operation before it failed.
    Missing,
}

impl Failure {
    /// Whether the heap is the reason.
    pub(crate) fn is_out_of_memory(&self) -> bool {
        use execmem_clients::Error as Client;
        matches!(
            self,
            Failure::Engine(execmem::Error::OutOfMemory)
                | Failure::Client(Client::Engine(execmem::Error::OutOfMemory) | Client::OutOfMemory { .. })
        )
    }
}

impl From<execmem::Error> for Failure {
    fn from(error: execmem::Error) -> Self {
        Failure::Engine(error)
    }
}

impl From<execmem_clients::Error> for Failure {
    fn from(error: execmem_clients::Error) -> Self {
        Failure::Client(error)
    }
}

impl From<execmem::Violation> for Failure {
    fn from(broken: execmem::Violation) -> Self {
        Failure::Broken(broken)
    }
}

/// What is operated on.
pub(crate) trait Scene: Sized {
    /// An operation.
    type Op: Copy + Debug;
    /// What must be as before when an operation failed.
    type Picture: PartialEq + Debug;

    /// Runs an operation. Whatever it asks the heap for is the product's request.
    fn run(&mut self, op: Self::Op) -> Result<(), Failure>;

    /// What an operation may do with the heap.
    fn heap(op: Self::Op) -> Heap;

    /// Whether an operation needs memory that holds what was written.
    fn reads_memory(_op: Self::Op) -> bool {
        false
    }

    /// What can be seen.
    fn picture(&self) -> Self::Picture;

    /// Checks what must hold between operations.
    fn check(&self) -> Result<(), String>;

    /// Gives everything back, and checks that nothing is left.
    fn end(self) -> Result<(), String>;
}

/// Gives back what is empty, and checks that nothing else was there.
pub(crate) fn nothing_is_left<M: Memory<Kind>>(engine: &Engine<M>) -> Result<(), String> {
    engine.shrink();
    engine.audit().map_err(|broken| broken.to_string())?;
    match engine.stats().bytes_mapped() {
        0 => Ok(()),
        bytes => Err(format!("{bytes} bytes stay mapped")),
    }
}
