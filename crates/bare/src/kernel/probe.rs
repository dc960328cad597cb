//! What the conformance suite asks of this kernel.

use execmem_conformance::{Attempt, Need, Port, Probe, Report, run};
use execmem_types::{Extent, Protection};

use super::arch::{DIRECT, MACHINE, RETURN};
use super::frames::{self, LARGE, SMALL};
use super::memory::KernelMemory;
use super::{processors, tables, traps};

/// The processors of this machine, and its frames.
#[derive(Debug)]
struct Kernel;

fn attempt(done: Option<()>) -> Attempt {
    if done.is_some() { Attempt::Done } else { Attempt::Faulted }
}

impl Probe for Kernel {
    fn execute(&self, address: u64) -> Attempt {
        // SAFETY: what is called is an instruction that returns, or one that traps.
        attempt(unsafe { traps::call(address, 0) }.map(drop))
    }

    fn load(&self, address: u64, bytes: &mut [u8]) -> Attempt {
        attempt(traps::load(address, bytes))
    }

    fn store(&self, address: u64, byte: u8) -> Attempt {
        attempt(traps::store(address, byte))
    }

    fn view(&self, address: u64, index: usize) -> Option<u64> {
        let physical = tables::find(address)?.physical_of(address);
        (index == 0).then_some(DIRECT + physical)
    }

    fn foreign(&self) -> Option<(Extent, Protection)> {
        tables::slack().map(|slack| (slack, Protection::ReadExecute))
    }

    fn frames(&self) -> Option<u64> {
        Some(frames::in_use())
    }

    fn refuse_frame(&self, after: Option<u64>) -> bool {
        frames::refuse(after);
        true
    }

    fn hold_frames(&self, holds: bool) -> bool {
        frames::hold(holds);
        true
    }

    fn is_held(&self) -> bool {
        frames::is_held()
    }

    fn together(&self, here: &mut dyn FnMut(), there: &mut (dyn FnMut() + Send)) -> bool {
        processors::together(here, there)
    }
}

/// Checks the laws.
pub(crate) fn check(memory: &KernelMemory, window: Extent) -> Report {
    let without_second = [Need::RefusedCaller, Need::SecondProcessor];
    run(&Port {
        memory,
        probe: &Kernel,
        window,
        pages: &[SMALL, LARGE],
        trap: MACHINE.trap(),
        returns: RETURN,
        lacks: if processors::has_second() { &without_second[..1] } else { &without_second },
    })
}
