//! Every call that the table of costs allows so, made with interrupts off.
//!
//! The names are those of the table, and `cargo xtask bare` compares them.

use alloc::vec::Vec;

use execmem::kinds::{Data, Text};
use execmem::{Engine, Error, Kind, Request, Stats};
use execmem_types::{Access, Backend, BackendError, Extent, Mapping, Protection, SyncScope, Trap};

use crate::kernel::arch::{self, MANAGED};
use crate::kernel::code::ANSWER;
use crate::kernel::console::say;
use crate::kernel::engine::{Locks, TABLE};
use crate::kernel::memory::KernelMemory;
use crate::kernel::processors::without_interrupts;

/// Memory that is not commanded to do anything slow while interrupts are off, and still finds them off when it copies.
#[derive(Debug)]
struct Quick(KernelMemory);

/// Runs a call that may have to wait for other processors.
fn slow<T>(body: impl FnOnce() -> T) -> T {
    assert!(arch::interrupts_are_on(), "a slow call with interrupts off");
    body()
}

impl Backend for Quick {
    fn map(&self, mapping: &Mapping) -> Result<(), BackendError> {
        slow(|| self.0.map(mapping))
    }
    fn unmap(&self, extent: Extent) -> Result<(), BackendError> {
        slow(|| self.0.unmap(extent))
    }
    fn protect(&self, extent: Extent, protection: Protection) -> Result<(), BackendError> {
        slow(|| self.0.protect(extent, protection))
    }
    fn sync_code(&self, extent: Extent, scope: SyncScope) -> Result<(), BackendError> {
        slow(|| self.0.sync_code(extent, scope))
    }
    fn write(&self, access: Access, address: u64, bytes: &[u8]) -> Result<(), BackendError> {
        self.0.write(access, address, bytes)
    }
    fn fill(&self, access: Access, extent: Extent, pattern: Trap) -> Result<(), BackendError> {
        self.0.fill(access, extent, pattern)
    }
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), BackendError> {
        self.0.read(address, bytes)
    }
}

type QuickEngine = Engine<Quick, Kind, Locks>;

/// Makes a call with interrupts off, and checks that it leaves them so.
fn off<T>(name: &str, call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let result = without_interrupts(|| {
        let result = call();
        assert!(!arch::interrupts_are_on(), "{name} let interrupts in");
        result
    });
    assert!(arch::interrupts_are_on());
    say!("interrupts off: {name}");
    result
}

/// Makes all of them.
pub(super) fn off_in_all() -> Result<(), Error> {
    let start = || Ok(QuickEngine::with_locks(TABLE, Quick(KernelMemory::new(MANAGED)))?.deferring());
    let engine = off("`new`, `with_locks`", start)?;
    contents(&engine)?;
    ends(&engine)?;
    pictures(&engine)?;
    engine.maintain();
    engine.audit_unused().expect("what is free holds what unused memory holds");
    engine.shrink();
    assert_eq!(engine.stats().bytes_mapped(), 0, "everything is unmapped");
    Ok(())
}

/// Allocations from what was reserved, and their content.
fn contents(engine: &QuickEngine) -> Result<(), Error> {
    let mut reserved = engine.reserve(&Request::new(Kind::Text, 1000), 2)?;
    let mut code = off("`Reservation::take`", || Ok(reserved.take()))?.expect("two");
    engine.free_group(&mut reserved.into_drafts())?;
    let within = || engine.request(&Request::new(Kind::Text, 1000).without_growth());
    engine.free(off("`request` without growth", within)?)?;
    off("`write`", || engine.write(&mut code, 0, ANSWER.bytes()))?;
    let mut bytes = [0; 4];
    off("`read`, `read_at`", || {
        engine.read(&code, 0, &mut bytes)?;
        engine.read_at(code.address(), &mut bytes)
    })?;
    assert_eq!(bytes, ANSWER.bytes()[..4]);
    let data = engine.alloc::<Data>(100)?;
    let data = off("`publish` of data", || Ok(engine.publish(data)?))?;
    let found = off("`find`", || Ok(engine.find(data.address())))?;
    assert_eq!(found.map(|found| found.kind), Some(Kind::Data));
    engine.free(data)?;
    Ok(engine.free(code)?)
}

/// Cuts and frees.
fn ends(engine: &QuickEngine) -> Result<(), Error> {
    let mut code = engine.alloc::<Text>(1000)?;
    let rest = off("`split`", || engine.split(&mut code, 500))?;
    off("`truncate`, deferring", || engine.truncate(&mut code, 100))?;
    let mut group: Vec<_> = (0..3).map(|_| engine.alloc::<Text>(100)).collect::<Result<_, _>>()?;
    off("`free`, `free_group`, deferring", || {
        engine.free(code)?;
        engine.free(rest)?;
        engine.free_group(&mut group)
    })
}

/// Statistics and audits.
fn pictures(engine: &QuickEngine) -> Result<(), Error> {
    engine.maintain();
    let mut stats = Stats::default();
    off("`kind_stats`, `pool_stats`, `stats`, `stats_into`", || {
        engine.stats_into(&mut stats);
        Ok(())
    })?;
    assert_eq!(stats.kinds[Kind::Text].live, 0);
    off("`audit`", || Ok(engine.audit()))?.expect("the engine's records agree");
    off("`audit_unused`", || Ok(engine.audit_unused()))?.expect("what is free holds what unused memory holds");
    Ok(())
}
