//! execmem for owners that keep nothing but an address.

use anyhow::Result;
use execmem::{Engine, Kind};
use execmem_linux::{ByAddress, Linux, Options};

use super::Peer;

/// An engine that is asked for code of a kind, and the handles of what is live by address.
#[derive(Debug)]
pub(crate) struct Addresses {
    live: ByAddress<Engine<Linux>>,
    kind: Kind,
}

impl Peer for Addresses {
    type Code = u64;

    fn new(kind: Kind) -> Result<Self> {
        let linux = Linux::reserve(&Options::default())?;
        Ok(Addresses { live: ByAddress::new(Engine::new(linux.table()?, linux)?), kind })
    }

    fn install(&self, code: &[u8]) -> Result<u64> {
        let engine = self.live.engine();
        let mut draft = engine.alloc_kind(self.kind, code.len() as u64)?;
        engine.write(&mut draft, 0, code)?;
        Ok(self.live.keep(engine.publish(draft)?)?)
    }

    fn entry(&self, address: &u64) -> usize {
        usize::try_from(*address).unwrap_or_default()
    }

    fn remove(&self, address: u64) -> Result<()> {
        Ok(self.live.free_at(address)?)
    }
}
