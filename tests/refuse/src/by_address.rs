//! Memory by address, on real memory.

use std::sync::Arc;

use execmem::kinds::Text;
use execmem::{BackendError, Engine, Error, Kind};
use execmem_linux::{ByAddress, Linux, Options};

use crate::heap::exempt;
use crate::scene::{Failure, Heap, Scene, nothing_is_left};

/// Bytes of each allocation.
const LEN: u64 = 128;

/// An operation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Op {
    /// Keeps drafts, as many as need heap for the list of all.
    Keep,
    Publish,
    Free,
}

/// An engine, what is kept of it, and the addresses that the caller has.
#[derive(Debug)]
pub(crate) struct Keeping {
    engine: Arc<Engine<Linux>>,
    kept: ByAddress<Arc<Engine<Linux>>>,
    addresses: Vec<u64>,
}

impl Keeping {
    /// Nothing is kept.
    pub(crate) fn new() -> Self {
        let engine = Arc::new(Linux::engine(&Options::default()).expect("executable memory"));
        Keeping { kept: ByAddress::new(Arc::clone(&engine)), engine, addresses: Vec::new() }
    }
}

impl Scene for Keeping {
    type Op = Op;
    /// Allocations and bytes of the engine, and how many are kept.
    type Picture = (u64, u64, usize);

    fn run(&mut self, op: Op) -> Result<(), Failure> {
        match op {
            Op::Keep => {
                let draft = self.engine.alloc::<Text>(LEN).map_err(of_memory_too)?;
                let address = self.kept.keep_draft(draft)?;
                exempt(|| self.addresses.push(address));
            }
            Op::Publish => self.kept.publish_at(*self.addresses.last().ok_or(Failure::Missing)?)?,
            Op::Free => self.kept.free_at(self.addresses.pop().ok_or(Failure::Missing)?)?,
        }
        Ok(())
    }

    fn heap(op: Op) -> Heap {
        match op {
            Op::Keep => Heap::Needed,
            Op::Publish | Op::Free => Heap::Untouched,
        }
    }

    fn picture(&self) -> Self::Picture {
        let text = self.engine.kind_stats(Kind::Text);
        (text.live, text.bytes_granted, self.kept.count())
    }

    fn check(&self) -> Result<(), String> {
        let is_all = self.kept.count() == self.addresses.len();
        let is_all = is_all && self.engine.kind_stats(Kind::Text).live == self.addresses.len() as u64;
        if is_all {
            self.engine.audit().map_err(|broken| broken.to_string())
        } else {
            Err("something is lost".to_owned())
        }
    }

    fn end(self) -> Result<(), String> {
        drop(self.kept);
        self.engine.audit_unused().map_err(|broken| broken.to_string())?;
        nothing_is_left(&self.engine)
    }
}

/// The heap that the memory itself asks is refused too, and it has no other reason here.
fn of_memory_too(error: Error) -> Failure {
    match error {
        Error::Backend { source: BackendError::OutOfMemory { .. }, .. } => Failure::Engine(Error::OutOfMemory),
        other => Failure::Engine(other),
    }
}

/// More than the list of all has places for at first, and twice.
pub(crate) fn script() -> Vec<Op> {
    let mut ops = [Op::Keep, Op::Publish].repeat(9);
    ops.extend([Op::Keep, Op::Free, Op::Free]);
    ops.extend([Op::Keep; 9]);
    ops.extend([Op::Free; 16]);
    ops
}
