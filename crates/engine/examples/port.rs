//! A port in a hundred lines: page tables of a model, the laws checked on it, and an engine over it.
//!
//! Leaves are entries of a map, and frames are vectors. A kernel has its own for both, and flushes translations where the
//! comments say so; `crates/bare` in the repository is that kernel.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use execmem::{Engine, kinds::Text};
use execmem_arch_x86::{MACHINE_X86, TABLE};
use execmem_conformance::{Attempt, Need, Port, Probe, run};
use execmem_types::{Access, Backend, BackendError, Extent, Mapping, PageSize, Protection, Rights, SyncScope, Trap};

type Answer<T = ()> = Result<T, BackendError>;

/// Page sizes of the machine, smallest first.
const SIZES: [PageSize; 2] = [PageSize::kib(4), PageSize::mib(2)];

struct Leaf {
    page: PageSize,
    protection: Protection,
    rights: Rights,
    frame: Vec<u8>,
}

/// Page tables: leaves by address. A kernel walks them without a lock, so that accesses never wait (law 6).
struct Model {
    leaves: Mutex<BTreeMap<u64, Leaf>>,
    /// Frames that are granted before one is refused.
    granted: AtomicU64,
}

impl Backend for Model {
    fn map(&self, mapping: &Mapping) -> Answer {
        let Mapping { extent, page, protection, rights, unused, .. } = *mapping;
        if !SIZES.contains(&page) || !extent.is_aligned(page.bytes()) {
            return Err(BackendError::NotPages { extent, page });
        }
        if mapping.is_writable_and_executable {
            return Err(BackendError::Unsupported);
        }
        let mut leaves = self.leaves();
        if pieces(&leaves, extent).next().is_some() {
            return Err(BackendError::AlreadyMapped { extent });
        }
        // All frames first: what can be refused comes before anything that a processor sees (law 1). They are filled
        // before there is a way to them (law 3).
        let leaf = |start| {
            let mut frame = self.take_frame(page)?;
            unused.fill(start, &mut frame);
            Some((start, Leaf { page, protection, rights, frame }))
        };
        let starts = (extent.start()..=extent.last()).step_by(frame_len(page));
        let fresh: Option<Vec<_>> = starts.map(leaf).collect();
        leaves.extend(fresh.ok_or(BackendError::OutOfMemory { len: extent.len(), page })?);
        Ok(())
    }

    fn unmap(&self, extent: Extent) -> Answer {
        let mut leaves = self.leaves();
        check(&leaves, extent, |_| true)?;
        if let Some((_, leaf)) = pieces(&leaves, extent).find(|(whole, _)| !extent.covers(*whole)) {
            return Err(BackendError::NotPages { extent, page: leaf.page });
        }
        // A kernel flushes here, on every processor, before it gives frames back (law 4).
        leaves.retain(|start, _| !extent.contains(*start));
        Ok(())
    }

    fn protect(&self, extent: Extent, protection: Protection) -> Answer {
        let [page, _] = SIZES;
        if !extent.is_aligned(page.bytes()) {
            return Err(BackendError::NotPages { extent, page });
        }
        let mut leaves = self.leaves();
        check(&leaves, extent, |_| true)?;
        if let Some((_, leaf)) = pieces(&leaves, extent).find(|(_, leaf)| !leaf.rights.contain(protection)) {
            return Err(BackendError::NeverAllowed { extent, rights: leaf.rights, protection });
        }
        let cut: Vec<_> = pieces(&leaves, extent).filter(|(whole, _)| !extent.covers(*whole)).map(|(w, _)| w).collect();
        cut.into_iter().for_each(|whole| divide(&mut leaves, whole));
        // A kernel takes the old rights, flushes on every processor, and then gives the new ones (laws 2 and 4).
        leaves.range_mut(extent.start()..=extent.last()).for_each(|(_, leaf)| leaf.protection = protection);
        Ok(())
    }

    fn write(&self, access: Access, address: u64, bytes: &[u8]) -> Answer {
        let Some(extent) = Extent::new(address, bytes.len() as u64) else { return Ok(()) };
        self.access(extent, may_write(access), |frame, from| frame.copy_from_slice(&bytes[from..from + frame.len()]))
    }

    fn fill(&self, access: Access, extent: Extent, pattern: Trap) -> Answer {
        self.access(extent, may_write(access), |frame, from| pattern.fill(extent.start() + from as u64, frame))
    }

    fn read(&self, address: u64, bytes: &mut [u8]) -> Answer {
        let Some(extent) = Extent::new(address, bytes.len() as u64) else { return Ok(()) };
        let may_read = |protection| protection != Protection::NoAccess;
        self.access(extent, may_read, |frame, from| bytes[from..from + frame.len()].copy_from_slice(frame))
    }

    fn sync_code(&self, extent: Extent, _: SyncScope) -> Answer {
        // A kernel cleans its caches here, and asks other processors to forget what they fetched.
        check(&self.leaves(), extent, |_| true)
    }
}

impl Model {
    fn leaves(&self) -> MutexGuard<'_, BTreeMap<u64, Leaf>> {
        self.leaves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A frame, unless it is refused.
    fn take_frame(&self, page: PageSize) -> Option<Vec<u8>> {
        let left = self.granted.load(Ordering::Relaxed);
        let next = left.checked_sub(1).unwrap_or(u64::MAX);
        self.granted.store(if left == u64::MAX { left } else { next }, Ordering::Relaxed);
        (left > 0).then(|| vec![0; frame_len(page)])
    }

    /// Runs `body` on each piece of memory of an extent, with its offset, if all of it may be accessed. Here is the other
    /// mapping of law 5: a kernel has its map of all memory, or maps the frame elsewhere for the moment.
    fn access(
        &self,
        extent: Extent,
        allowed: impl Fn(Protection) -> bool,
        mut body: impl FnMut(&mut [u8], usize),
    ) -> Answer {
        let mut leaves = self.leaves();
        check(&leaves, extent, allowed)?;
        let first = leaves.range(..=extent.start()).next_back().map_or(0, |(start, _)| *start);
        for (start, leaf) in leaves.range_mut(first..=extent.last()) {
            let end = start + leaf.page.bytes() - 1;
            let [from, to] = [extent.start().max(*start), extent.last().min(end)];
            let index = |address: u64| usize::try_from(address - start).unwrap_or(usize::MAX);
            let offset = usize::try_from(from - extent.start()).unwrap_or(usize::MAX);
            body(&mut leaf.frame[index(from)..=index(to)], offset);
        }
        Ok(())
    }
}

/// The leaves that lie in an extent, or reach into it.
fn pieces(leaves: &BTreeMap<u64, Leaf>, extent: Extent) -> impl Iterator<Item = (Extent, &Leaf)> {
    let whole = |(start, leaf): (&u64, _)| -> Option<(Extent, &Leaf)> {
        let leaf: &Leaf = leaf;
        Some((Extent::new(*start, leaf.page.bytes())?, leaf))
    };
    let before = leaves.range(..extent.start()).next_back();
    let all = before.into_iter().chain(leaves.range(extent.start()..=extent.last()));
    all.filter_map(whole).filter(move |(whole, _)| whole.overlaps(extent))
}

/// Finds the first address of an extent that is not mapped, or may not be accessed.
fn check(leaves: &BTreeMap<u64, Leaf>, extent: Extent, allowed: impl Fn(Protection) -> bool) -> Answer {
    let mut next = extent.start();
    for (whole, Leaf { protection, .. }) in pieces(leaves, extent) {
        if whole.start() > next {
            break;
        }
        if !allowed(*protection) {
            return Err(BackendError::Denied { address: next, protection: *protection });
        }
        if whole.last() >= extent.last() {
            return Ok(());
        }
        next = whole.last() + 1;
    }
    Err(BackendError::NotMapped { address: next })
}

/// Makes small leaves of a large one.
fn divide(leaves: &mut BTreeMap<u64, Leaf>, whole: Extent) {
    let Some(Leaf { protection, rights, frame, .. }) = leaves.remove(&whole.start()) else { return };
    let [page, _] = SIZES;
    let frames = frame.chunks(frame_len(page)).map(|frame| Leaf { page, protection, rights, frame: frame.to_vec() });
    leaves.extend((whole.start()..).step_by(frame_len(page)).zip(frames));
}

fn may_write(access: Access) -> impl Fn(Protection) -> bool {
    move |protection| access == Access::Poke || protection.is_writable()
}

fn frame_len(page: PageSize) -> usize {
    usize::try_from(page.bytes()).unwrap_or(usize::MAX)
}

/// An instruction that returns.
const RETURN: u8 = 0xc3;

/// What a processor does with the model. On a machine, three functions whose faults the handler of exceptions survives.
impl Probe for Model {
    fn execute(&self, address: u64) -> Attempt {
        let mut byte = [0];
        let may_execute = |protection: Protection| protection.is_executable();
        let fetched =
            Extent::new(address, 1).map(|one| self.access(one, may_execute, |frame, _| byte.copy_from_slice(frame)));
        if fetched == Some(Ok(())) && byte == [RETURN] { Attempt::Done } else { Attempt::Faulted }
    }

    fn load(&self, address: u64, bytes: &mut [u8]) -> Attempt {
        if self.read(address, bytes).is_ok() { Attempt::Done } else { Attempt::Faulted }
    }

    fn store(&self, address: u64, byte: u8) -> Attempt {
        if self.write(Access::Store, address, &[byte]).is_ok() { Attempt::Done } else { Attempt::Faulted }
    }

    fn frames(&self) -> Option<u64> {
        Some(self.leaves().values().map(|leaf| leaf.page.bytes() / SIZES[0].bytes()).sum())
    }

    fn refuse_frame(&self, after: Option<u64>) -> bool {
        self.granted.store(after.unwrap_or(u64::MAX), Ordering::Relaxed);
        true
    }

    fn together(&self, here: &mut dyn FnMut(), there: &mut (dyn FnMut() + Send)) -> bool {
        std::thread::scope(|scope| {
            scope.spawn(there);
            here();
        });
        true
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = Model { leaves: Mutex::default(), granted: AtomicU64::new(u64::MAX) };
    let report = run(&Port {
        memory: &model,
        probe: &model,
        window: Extent::new(1 << 40, 16 << 20).ok_or("addresses")?,
        pages: &SIZES,
        trap: MACHINE_X86.trap(),
        returns: Trap::byte(RETURN),
        lacks: &[Need::Collapse, Need::Adopt, Need::Views, Need::Holding, Need::RefusedCaller],
    });
    assert!(report.passes(), "{report}");

    let engine = Engine::new(TABLE, model)?;
    let mut draft = engine.alloc::<Text>(1)?;
    engine.write(&mut draft, 0, &[RETURN])?;
    let code = engine.publish(draft)?;
    assert_eq!(engine.stats().leaves_of(SIZES[1]), 1, "the function lies in one large page");
    engine.free(code)?;
    engine.shrink();
    assert_eq!(engine.stats().bytes_mapped(), 0);
    Ok(())
}
