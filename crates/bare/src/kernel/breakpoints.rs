//! Breakpoints: where processors go on that hit one.

use core::sync::atomic::{AtomicU64, Ordering};

use execmem_clients::patch::Breakpoints;

const SITES: usize = 8;

/// Sites, zero if the entry is free, and where each leads.
static ARMED: [[AtomicU64; 2]; SITES] = [const { [AtomicU64::new(0), AtomicU64::new(0)] }; SITES];
static HITS: AtomicU64 = AtomicU64::new(0);

/// The breakpoints of this kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Armed;

impl Breakpoints for Armed {
    fn arm(&self, site: u64, resume: u64) {
        let take = |entry: &&[AtomicU64; 2]| {
            entry[0].compare_exchange(0, u64::MAX, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        let [address, leads_to] = ARMED.iter().find(take).expect("a free entry");
        leads_to.store(resume, Ordering::Relaxed);
        address.store(site, Ordering::Release);
    }

    /// Handlers run without interrupts, and the site was patched since, which waited for them.
    fn disarm(&self, site: u64) {
        ARMED.iter().filter(|entry| entry[0].load(Ordering::Relaxed) == site).for_each(|entry| {
            entry[0].store(0, Ordering::Release);
        });
    }
}

/// Where a processor goes on that hit a breakpoint at `site`, if it is one of these.
pub(crate) fn hit(site: u64) -> Option<u64> {
    let [_, leads_to] = ARMED.iter().find(|entry| entry[0].load(Ordering::Acquire) == site)?;
    HITS.fetch_add(1, Ordering::Relaxed);
    Some(leads_to.load(Ordering::Relaxed))
}

/// How many were hit.
pub(crate) fn hits() -> u64 {
    HITS.load(Ordering::Relaxed)
}
