//! Probes that stand in code: a breakpoint at the instruction, and the slot where it is executed meanwhile.

use alloc::vec::Vec;

use execmem::{EngineRef, Kind};

use super::{Kprobes, Slot};
use crate::patch::Breakpoints;
use crate::site::{CodeSite, Probe};
use crate::{Error, Id, KprobeKinds};

/// A probe that stands in code.
#[derive(Debug)]
#[must_use = "the instruction is gone until the probe is removed"]
pub struct PlacedProbe<S: KprobeKinds = Kind> {
    probe: Probe,
    slot: Id<Slot<S>>,
}

impl<S: KprobeKinds> PlacedProbe<S> {
    /// Where it stands.
    #[must_use]
    pub const fn address(&self) -> u64 {
        self.probe.address()
    }

    /// The slot that the instruction is executed in.
    #[must_use]
    pub const fn slot(&self) -> Id<Slot<S>> {
        self.slot
    }
}

impl<E: EngineRef<Set: KprobeKinds>> Kprobes<E> {
    /// Puts a breakpoint over an instruction of any [`CodeSite`], while others execute it, and the instruction into a slot.
    /// `build` makes the slot's code for its address, and a thread that hits the breakpoint goes on there: so `breakpoints`
    /// are told. The code is held until the probe is removed. One thread at a time changes an instruction.
    ///
    /// # Errors
    ///
    /// Those of [`insert`](Self::insert) and of [`Probe::place`]; nothing stands there then, and the slot is released.
    pub fn place(
        &self,
        code: &impl CodeSite,
        breakpoints: &impl Breakpoints,
        address: u64,
        build: impl FnOnce(u64) -> Result<Vec<u8>, Error>,
    ) -> Result<PlacedProbe<E::Set>, Error> {
        let machine = self.client.engine().table().machine();
        let mut probe = Probe::prepare(code, machine, address)?;
        let slot = self.insert(build)?;
        let placed = self.address(slot).and_then(|resume| {
            breakpoints.arm(address, resume);
            probe.stand(code, machine).inspect_err(|_| breakpoints.disarm(address))
        });
        if placed.is_err() {
            // It was inserted just now, so it is there.
            let _ = self.release(slot);
        }
        placed.map(|()| PlacedProbe { probe, slot })
    }

    /// Puts the instruction back, while others execute it, and releases the slot and the code. Returns whether it is time to
    /// [collect](Self::collect).
    ///
    /// # Errors
    ///
    /// Those of [`Probe::remove`], and the probe still stands, or was removed before.
    pub fn remove(
        &self,
        code: &impl CodeSite,
        breakpoints: &impl Breakpoints,
        placed: &mut PlacedProbe<E::Set>,
    ) -> Result<bool, Error> {
        placed.probe.remove(code)?;
        breakpoints.disarm(placed.address());
        self.release(placed.slot)
    }
}
