//! A caller that the memory refuses, such as a forked child: it gets the refusal, its handles back, and nothing happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use execmem::kinds::{RoAfterInit, Text};
use execmem::{BackendError, Engine, Error, Failed, Kind, PageSize, Violation};
use execmem_arch_x86::TABLE;
use execmem_sim::Sim;
use execmem_types::{Access, Backend, Extent, Mapping, Protection, SyncScope, Trap};

/// Memory that can turn callers away, and then must not be asked for anything.
#[derive(Debug)]
struct Doorkeeper {
    inner: Sim,
    refuses: Arc<AtomicBool>,
}

impl Doorkeeper {
    fn open(&self) -> &Sim {
        assert!(!self.refuses.load(Ordering::Relaxed), "commanded without being asked first");
        &self.inner
    }
}

impl Backend for Doorkeeper {
    fn check_caller(&self) -> Result<(), BackendError> {
        if self.refuses.load(Ordering::Relaxed) { Err(BackendError::Forked) } else { Ok(()) }
    }
    fn map(&self, mapping: &Mapping) -> Result<(), BackendError> {
        self.open().map(mapping)
    }
    fn unmap(&self, extent: Extent) -> Result<(), BackendError> {
        self.open().unmap(extent)
    }
    fn protect(&self, extent: Extent, protection: Protection) -> Result<(), BackendError> {
        self.open().protect(extent, protection)
    }
    fn write(&self, access: Access, address: u64, bytes: &[u8]) -> Result<(), BackendError> {
        self.open().write(access, address, bytes)
    }
    fn fill(&self, access: Access, extent: Extent, pattern: Trap) -> Result<(), BackendError> {
        self.open().fill(access, extent, pattern)
    }
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), BackendError> {
        self.open().read(address, bytes)
    }
    fn sync_code(&self, extent: Extent, scope: SyncScope) -> Result<(), BackendError> {
        self.open().sync_code(extent, scope)
    }
}

fn is_forked(error: &Error) -> bool {
    matches!(error, Error::Backend { source: BackendError::Forked, .. })
}

/// What a failed operation gave back.
fn returned<H: std::fmt::Debug, O: std::fmt::Debug>(outcome: Result<O, Failed<H>>) -> H {
    let failed = outcome.expect_err("refused");
    assert!(is_forked(&failed.error));
    failed.handle
}

#[test]
fn a_refused_caller_gets_its_handles_back_and_nothing_happens() {
    let refuses = Arc::new(AtomicBool::new(false));
    let memory = Doorkeeper { inner: Sim::new(TABLE.machine()), refuses: Arc::clone(&refuses) };
    let engine = Engine::new(TABLE, memory).expect("memory");
    let draft = engine.alloc::<Text>(100).expect("room");
    let live = engine.publish(engine.alloc::<Text>(5000).expect("room")).expect("memory");
    let sealable = engine.publish(engine.alloc::<RoAfterInit>(64).expect("room")).expect("memory");
    let before = format!("{:?}", engine.stats());
    refuses.store(true, Ordering::Relaxed);

    let refused = |error: Error| assert!(is_forked(&error), "{error}");
    refused(engine.alloc::<Text>(1).expect_err("refused"));
    refused(engine.alloc_group(&[(Kind::Data, 64)]).expect_err("refused"));
    let (mut draft, live, sealable) = (returned(engine.publish(draft)), live, returned(engine.seal(sealable)));
    refused(engine.write(&mut draft, 0, &[1]).expect_err("refused"));
    refused(engine.read(&live, 0, &mut [0]).expect_err("refused"));
    refused(engine.patch(&live, 0, &[1]).expect_err("refused"));
    refused(engine.split(&mut draft, 64).expect_err("refused"));
    let mut live = returned(engine.free(live));
    refused(engine.truncate(&mut live, 64).expect_err("refused"));
    let mut group = vec![sealable.erase(), live.erase()];
    refused(engine.free_group(&mut group).expect_err("refused"));
    let slack = Extent::new(0xffff_ffff_8100_0000, 1 << 20).expect("an extent");
    refused(engine.donate(Kind::Text, slack, PageSize::mib(2)).expect_err("refused"));
    assert_eq!((engine.shrink(), engine.stats().bytes_mapped(), group.len()), (0, 0, 2));
    assert_eq!(engine.audit(), Err(Violation::Caller { source: BackendError::Forked }));
    assert_eq!(engine.audit_unused(), Err(Violation::Caller { source: BackendError::Forked }));
    assert_eq!(engine.find(draft.address()).map(|found| found.extent), Some(draft.extent()));

    refuses.store(false, Ordering::Relaxed);
    assert_eq!(format!("{:?}", engine.stats()), before);
    engine.free_group(&mut group).expect("ours");
    engine.free(draft).expect("ours");
    engine.audit_unused().expect("nothing was written");
}
