//! execmem for emitters that know a bound of the length first, and the length when the code is there.

use anyhow::Result;
use execmem::{Kind, Live};

use super::{Execmem, Peer};

/// What is allocated is twice as long as the code.
const ESTIMATE: u64 = 2;

/// The same engine.
#[derive(Debug)]
pub(crate) struct Estimated(Execmem);

impl Peer for Estimated {
    type Code = Live;

    fn new(kind: Kind) -> Result<Self> {
        Ok(Estimated(Execmem::new(kind)?))
    }

    fn install(&self, code: &[u8]) -> Result<Live> {
        self.0.install_within(ESTIMATE * code.len() as u64, code)
    }

    fn entry(&self, live: &Live) -> usize {
        self.0.entry(live)
    }

    fn remove(&self, live: Live) -> Result<()> {
        self.0.remove(live)
    }

    fn finish(&self) -> Result<()> {
        self.0.finish()
    }
}
