//! An engine on a simulated machine, and a model of every byte it should hold.

use execmem::{Draft, Error, Kind, Live, Sealed, Table};

use crate::rig::Rig;

/// A handle of any stage.
#[derive(Debug)]
pub enum Stage {
    /// Being written.
    Draft(Draft),
    /// Published.
    Live(Live),
    /// Sealed.
    Sealed(Sealed),
}

/// An allocation and what it should hold.
#[derive(Debug)]
pub struct Held {
    /// The handle. `None` only while an operation has it.
    pub stage: Option<Stage>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Runs the same expression on the handle of any stage.
macro_rules! with_handle {
    ($stage:expr, $handle:ident => $body:expr) => {
        match $stage {
            Stage::Draft($handle) => $body,
            Stage::Live($handle) => $body,
            Stage::Sealed($handle) => $body,
        }
    };
}

impl Held {
    fn stage(&self) -> &Stage {
        self.stage.as_ref().expect("a handle between operations")
    }

    /// Kind of the memory.
    #[must_use]
    pub fn kind(&self) -> Kind {
        with_handle!(self.stage(), handle => handle.kind())
    }

    /// First address.
    #[must_use]
    pub fn address(&self) -> u64 {
        with_handle!(self.stage(), handle => handle.address())
    }
}

/// Bytes that live allocations have.
#[must_use]
pub fn granted(engine: &Rig) -> u64 {
    engine.stats().kinds.values().map(|kind| kind.bytes_granted).sum()
}

/// An engine, what is held of it, and the table it follows.
#[derive(Debug)]
pub struct World {
    /// The engine.
    pub engine: Rig,
    /// What is held.
    pub held: Vec<Held>,
}

impl World {
    /// An engine that follows `table` on a machine of its own.
    #[must_use]
    pub fn new(table: Table) -> Self {
        World { engine: Rig::new(table), held: Vec::new() }
    }

    /// Allocates.
    ///
    /// # Errors
    ///
    /// The engine's.
    pub fn alloc(&mut self, kind: Kind, len: u64) -> Result<(), Error> {
        let draft = self.engine.alloc_kind(kind, len)?;
        self.hold(draft);
        Ok(())
    }

    fn hold(&mut self, draft: Draft) {
        let mut bytes = vec![0; usize::try_from(draft.extent().len()).unwrap()];
        if draft.kind().is_code() || self.engine.table().is_legacy() {
            self.engine.table().machine().trap().fill(draft.address(), &mut bytes);
        }
        self.held.push(Held { stage: Some(Stage::Draft(draft)), bytes });
    }

    /// Allocates several kinds in one step.
    ///
    /// # Errors
    ///
    /// The engine's.
    pub fn alloc_group(&mut self, wanted: &[(Kind, u64)]) -> Result<(), Error> {
        let drafts = self.engine.alloc_group(wanted)?;
        drafts.into_iter().for_each(|draft| self.hold(draft));
        Ok(())
    }

    /// Writes, or patches what is published code. Memory that cannot be changed stays as it is.
    ///
    /// # Errors
    ///
    /// The engine's.
    pub fn write(&mut self, index: usize, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let held = &mut self.held[index];
        let outcome = match held.stage.as_mut().unwrap() {
            Stage::Draft(draft) => self.engine.write(draft, offset, bytes),
            Stage::Live(live) if live.kind().is_code() => self.engine.patch_unexecuted(live, offset, bytes),
            Stage::Live(live) => self.engine.write(live, offset, bytes),
            Stage::Sealed(_) => return Ok(()),
        };
        if outcome.is_ok() {
            let start = usize::try_from(offset).unwrap();
            held.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        }
        outcome
    }

    /// Moves on to the next stage of life: publishes a draft, seals what has a seal.
    ///
    /// # Errors
    ///
    /// The engine's.
    pub fn advance(&mut self, index: usize) -> Result<(), Error> {
        let held = &mut self.held[index];
        let (stage, outcome) = match held.stage.take().unwrap() {
            Stage::Draft(draft) => match self.engine.publish(draft) {
                Ok(live) => (Stage::Live(live), Ok(())),
                Err(failed) => (Stage::Draft(failed.handle), Err(failed.error)),
            },
            Stage::Live(live) if live.kind().is_sealable() => match self.engine.seal(live) {
                Ok(sealed) => (Stage::Sealed(sealed), Ok(())),
                Err(failed) => (Stage::Live(failed.handle), Err(failed.error)),
            },
            last => (last, Ok(())),
        };
        held.stage = Some(stage);
        outcome
    }

    /// Frees.
    ///
    /// # Errors
    ///
    /// The engine's.
    pub fn free(&mut self, index: usize) -> Result<(), Error> {
        let mut held = self.held.swap_remove(index);
        with_handle!(held.stage.take().unwrap(), handle => self.engine.free(handle).map_err(|failed| failed.error))
    }

    /// Frees `count` of what is held in one step, from one on and as far as there are so many.
    ///
    /// # Errors
    ///
    /// The engine's.
    pub fn free_group(&mut self, from: usize, count: usize) -> Result<(), Error> {
        let end = (from + count).min(self.held.len());
        let (mut drafts, mut lives, mut sealed) = (Vec::new(), Vec::new(), Vec::new());
        for held in self.held.drain(from..end) {
            match held.stage.expect("a handle between operations") {
                Stage::Draft(draft) => drafts.push(draft),
                Stage::Live(live) => lives.push(live),
                Stage::Sealed(handle) => sealed.push(handle),
            }
        }
        self.engine.free_group(&mut drafts)?;
        self.engine.free_group(&mut lives)?;
        self.engine.free_group(&mut sealed)
    }

    /// Cuts in two.
    ///
    /// # Errors
    ///
    /// The engine's.
    pub fn split(&mut self, index: usize, len: u64) -> Result<(), Error> {
        let held = &mut self.held[index];
        let second = match held.stage.as_mut().unwrap() {
            Stage::Draft(draft) => Stage::Draft(self.engine.split(draft, len)?),
            Stage::Live(live) => Stage::Live(self.engine.split(live, len)?),
            Stage::Sealed(sealed) => Stage::Sealed(self.engine.split(sealed, len)?),
        };
        let first = with_handle!(held.stage(), handle => handle.extent().len());
        let bytes = held.bytes.split_off(usize::try_from(first).unwrap());
        self.held.push(Held { stage: Some(second), bytes });
        Ok(())
    }

    /// Shortens.
    ///
    /// # Errors
    ///
    /// The engine's.
    pub fn truncate(&mut self, index: usize, len: u64) -> Result<(), Error> {
        let held = &mut self.held[index];
        with_handle!(held.stage.as_mut().unwrap(), handle => self.engine.truncate(handle, len))?;
        let left = with_handle!(held.stage(), handle => handle.extent().len());
        held.bytes.truncate(usize::try_from(left).unwrap());
        Ok(())
    }

    /// Checks everything that must hold between operations.
    ///
    /// # Errors
    ///
    /// What does not hold, in words.
    pub fn check(&self) -> Result<(), String> {
        self.engine.audit().map_err(|broken| broken.to_string())?;
        self.held.iter().try_for_each(|held| self.check_held(held))?;
        let sim = &self.engine.sim;
        let counted: Vec<_> = sim.leaves().into_iter().rev().collect();
        let stats = self.engine.stats();
        let mapped: u64 = counted.iter().map(|(page, count)| page.bytes() * count).sum();
        let lost: u64 = stats.pools().map(|(_, pool)| pool.counters.lost_bytes).sum();
        if mapped < stats.bytes_mapped() || mapped > stats.bytes_mapped() + lost {
            return Err(format!("{mapped:#x} bytes are mapped, {:#x} counted, {lost:#x} lost", stats.bytes_mapped()));
        }
        if !self.engine.table().is_legacy() && sim.wx_bytes() != 0 {
            return Err(format!("I4: {} bytes are writable and executable", sim.wx_bytes()));
        }
        Ok(())
    }

    /// Reads all free memory and checks that it holds what unused memory should.
    ///
    /// # Errors
    ///
    /// What does not, in words.
    pub fn check_unused(&self) -> Result<(), String> {
        self.engine.audit_unused().map_err(|broken| broken.to_string())
    }

    fn check_held(&self, held: &Held) -> Result<(), String> {
        let (table, kind) = (self.engine.table(), held.kind());
        let extent = with_handle!(held.stage(), handle => handle.extent());
        let in_window = table.descriptor(kind).windows().any(|window| window.covers(extent));
        let aligned = extent.start().is_multiple_of(table.alignment(kind).bytes());
        if !aligned || !in_window {
            return Err(format!("I3: {kind} at {extent} is outside its windows or not aligned"));
        }
        let mut bytes = vec![0; held.bytes.len()];
        self.engine.sim.read(extent.start(), &mut bytes).map_err(|error| error.to_string())?;
        if bytes != held.bytes {
            return Err(format!("{kind} at {extent} does not hold what was written"));
        }
        let found = self.engine.find(extent.start() + (extent.len() - 1));
        if found.map(|found| found.extent) != Some(extent) {
            return Err(format!("{extent} is not found by its last byte: {found:x?}"));
        }
        self.check_rights(held, extent.start())
    }

    /// Published code can be fetched and not stored to; drafts of code that flips cannot be fetched.
    fn check_rights(&self, held: &Held, address: u64) -> Result<(), String> {
        let sim = &self.engine.sim;
        let can_fetch = sim.fetch(address, &mut [0]).is_ok();
        let can_store = sim.can_store(address);
        let legacy = self.engine.table().is_legacy();
        let published = !matches!(held.stage(), Stage::Draft(_));
        let (want_fetch, want_store) = match (held.kind(), held.stage()) {
            _ if legacy => return Ok(()),
            (kind, _) if kind.is_code() => (published, false),
            (kind, _) if kind.is_writable() => (false, true),
            (_, Stage::Live(_)) if held.kind().is_sealable() => (false, true),
            (_, Stage::Draft(_)) => return Ok(()),
            (_, _) => (false, can_store && held.kind().is_sealable()),
        };
        if published && (can_fetch, can_store) != (want_fetch, want_store) {
            let (kind, held) = (held.kind(), held.stage());
            return Err(format!("{kind} {held:?} can be fetched: {can_fetch}, stored to: {can_store}"));
        }
        Ok(())
    }

    /// Frees everything and checks that nothing is left.
    ///
    /// # Errors
    ///
    /// What is left, in words.
    pub fn clear(&mut self) -> Result<(), String> {
        while !self.held.is_empty() {
            self.free(0).map_err(|error| error.to_string())?;
        }
        self.check_unused()?;
        self.engine.shrink();
        self.check()?;
        let (stats, sim) = (self.engine.stats(), &self.engine.sim);
        if stats.bytes_mapped() != 0 || !sim.leaves().is_empty() {
            return Err(format!("{:#x} bytes stay mapped", stats.bytes_mapped()));
        }
        Ok(())
    }
}
