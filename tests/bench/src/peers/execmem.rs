//! execmem over memory of this process.

use anyhow::{Context as _, Result, ensure};

use execmem::sync::ThreadLanes;
use execmem::{Engine, Kind, Live};
use execmem_linux::{Linux, Options};

use super::Peer;
use super::counting::{self, Counting, Locks};
use crate::measure::Measures;

/// An engine, and the kind of memory it is asked for.
#[derive(Debug)]
pub(crate) struct Execmem<L: Locks = ThreadLanes> {
    engine: Engine<Linux, Kind, L>,
    kind: Kind,
}

impl Execmem {
    /// Start and length in bytes of what a handle holds.
    pub(crate) fn extent(live: &Live) -> (u64, u64) {
        (live.extent().start(), live.extent().len())
    }

    /// Where the live allocation that contains an address starts.
    pub(crate) fn find_start(&self, address: u64) -> Option<u64> {
        self.engine.find(address).map(|found| found.extent.start())
    }
}

impl<L: Locks> Execmem<L> {
    /// Installs code in memory that was allocated for so many bytes, and truncated.
    pub(super) fn install_within(&self, bytes: u64, code: &[u8]) -> Result<Live> {
        let mut draft = self.engine.alloc_kind(self.kind, bytes)?;
        self.engine.write(&mut draft, 0, code)?;
        self.engine.truncate(&mut draft, code.len() as u64)?;
        Ok(self.engine.publish(draft)?)
    }
}

/// The same with locks that count.
pub(crate) type ExecmemCounted = Execmem<Counting>;

impl<L: Locks> Peer for Execmem<L> {
    type Code = Live;

    fn new(kind: Kind) -> Result<Self> {
        let linux = Linux::reserve(&Options::default())?;
        Ok(Execmem { engine: Engine::with_locks(linux.table()?, linux)?, kind })
    }

    fn install(&self, code: &[u8]) -> Result<Live> {
        let mut draft = self.engine.alloc_kind(self.kind, code.len() as u64)?;
        self.engine.write(&mut draft, 0, code)?;
        Ok(self.engine.publish(draft)?)
    }

    fn entry(&self, live: &Live) -> usize {
        usize::try_from(live.address()).unwrap_or_default()
    }

    fn remove(&self, live: Live) -> Result<()> {
        Ok(self.engine.free(live)?)
    }

    fn remove_group(&self, lives: &mut Vec<Live>) -> Result<()> {
        Ok(self.engine.free_group(lives)?)
    }

    fn counts(&self, pairs: usize) -> Measures {
        if L::COUNT { counting::counts(pairs) } else { Measures::new() }
    }

    fn finish(&self) -> Result<()> {
        self.engine.audit().ok().context("the audit found a broken invariant")?;
        self.engine.shrink();
        ensure!(self.engine.stats().bytes_mapped() == 0, "memory stays mapped with nothing live");
        Ok(())
    }
}
