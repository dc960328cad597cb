//! A port to the simulator: processors that believe their caches, frames that are refused and held back, and a backend
//! that can be broken in one place.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use execmem_conformance::{Attempt, Probe};
use execmem_sim::{Alias, Control, Options, Sim, Translated};
use execmem_types::{Access, Backend, BackendError, Extent, Machine, Mapping, PageSize, Protection, SyncScope, Trap};

/// What a call of a backend answers.
pub(crate) type Answer = Result<(), BackendError>;

/// Where the map of all memory begins.
const DIRECT: u64 = 0x1000_0000_0000;

/// Memory of the machine.
const BYTES: u64 = 64 << 20;

/// How long a call that is held back waits.
const HOLD: Duration = Duration::from_secs(1);

/// How long a broken call shows its middle.
const PAUSE: Duration = Duration::from_millis(10);

thread_local! {
    /// The processor that a thread stands for.
    static PROCESSOR: Cell<usize> = const { Cell::new(0) };
}

/// What a processor holds.
#[derive(Debug, Default)]
struct Caches {
    /// By page: where it leads, and whether stores are allowed.
    translations: HashMap<u64, (Translated, bool)>,
    /// By address: the instruction that was fetched there.
    instructions: HashMap<u64, [u8; 4]>,
}

/// A simulated machine with two processors.
#[derive(Debug)]
pub(crate) struct TwoProcessors {
    pub(crate) sim: Sim,
    pub(crate) control: Control,
    caches: [Mutex<Caches>; 2],
    pub(crate) returns: Trap,
    /// The lock of slow calls.
    slow: Mutex<()>,
    /// Frames that are taken before one is refused.
    frames_left: Mutex<Option<u64>>,
    holds: AtomicBool,
    is_held: AtomicBool,
    refuses_caller: AtomicBool,
    /// Accesses of the second processor, while one runs.
    looks: AtomicU64,
    has_second: AtomicBool,
    /// Slow calls under way.
    pub(crate) under_way: AtomicU64,
    /// Bytes that were at an address when it was last unmapped.
    pub(crate) left: Mutex<HashMap<u64, Vec<u8>>>,
}

impl TwoProcessors {
    pub(crate) fn new(facts: &Machine, returns: Trap) -> Self {
        let options = Options { bytes_per_node: BYTES, direct_leaf: Some(facts.page()), ..Options::default() };
        let sim = Sim::with_options(facts, &options);
        TwoProcessors {
            control: sim.control(),
            sim,
            caches: Default::default(),
            returns,
            slow: Mutex::default(),
            frames_left: Mutex::default(),
            holds: AtomicBool::default(),
            is_held: AtomicBool::default(),
            refuses_caller: AtomicBool::default(),
            looks: AtomicU64::default(),
            has_second: AtomicBool::default(),
            under_way: AtomicU64::default(),
            left: Mutex::default(),
        }
    }

    fn page(&self) -> u64 {
        self.control.machine().page().bytes()
    }

    /// The caches of the processor that calls.
    fn own(&self) -> &Mutex<Caches> {
        if PROCESSOR.get() == 1 {
            self.looks.fetch_add(1, Ordering::Relaxed);
        }
        &self.caches[PROCESSOR.get()]
    }

    /// Changes memory, and what processors hold of it, in one step for all of them.
    fn change(&self, extent: Extent, body: impl FnOnce() -> Answer) -> Answer {
        let mut held: Vec<_> = self.caches.iter().map(|caches| caches.lock().unwrap()).collect();
        body()?;
        held.iter_mut().for_each(|caches| caches.translations.retain(|page, _| !extent.contains(*page)));
        Ok(())
    }

    /// Forgets translations of every processor, or of the one that calls.
    pub(crate) fn flush(&self, extent: Extent, everywhere: bool) {
        for (number, caches) in self.caches.iter().enumerate() {
            if everywhere || number == PROCESSOR.get() {
                caches.lock().unwrap().translations.retain(|page, _| !extent.contains(*page));
            }
        }
    }

    /// Forgets instructions.
    pub(crate) fn forget_instructions(&self, extent: Extent, everywhere: bool) {
        for (number, caches) in self.caches.iter().enumerate() {
            if everywhere || number == PROCESSOR.get() {
                caches.lock().unwrap().instructions.retain(|address, _| !extent.contains(*address));
            }
        }
    }

    /// Lets the second processor look at what is there for a moment only.
    pub(crate) fn pause(&self) {
        let before = self.looks.load(Ordering::Relaxed);
        self.pause_for(|| self.looks.load(Ordering::Relaxed) >= before + 4);
    }

    /// Waits for something that the second processor does, if there is one now, and not for long.
    pub(crate) fn pause_for(&self, has_come: impl Fn() -> bool) {
        let start = Instant::now();
        while self.has_second.load(Ordering::Relaxed) && !has_come() && start.elapsed() < PAUSE {
            thread::yield_now();
        }
    }

    /// Fetches instructions that nothing executes yet.
    pub(crate) fn fetch_ahead(&self, extent: Extent) {
        for page in (extent.start()..=extent.last()).step_by(usize::try_from(self.page()).unwrap()) {
            let mut bytes = [0; 4];
            let _ = self.control.read(page, &mut bytes);
            self.caches.iter().for_each(|caches| {
                caches.lock().unwrap().instructions.insert(page, bytes);
            });
        }
    }

    /// Runs a slow call under the lock of all slow calls.
    pub(crate) fn slowly(&self, body: impl FnOnce() -> Answer) -> Answer {
        let _one_at_a_time = self.slow.lock().unwrap();
        body()
    }

    /// Whether another frame may be taken: for a leaf, or for a table.
    pub(crate) fn take_frame(&self, mapping: Extent, page: PageSize) -> Answer {
        let start = Instant::now();
        while self.holds.load(Ordering::Acquire) && start.elapsed() < HOLD {
            self.is_held.store(true, Ordering::Release);
            thread::yield_now();
        }
        self.is_held.store(false, Ordering::Release);
        let mut left = self.frames_left.lock().unwrap();
        let is_refused = *left == Some(0);
        *left = left.and_then(|left| left.checked_sub(1));
        if is_refused { Err(BackendError::OutOfMemory { len: mapping.len(), page }) } else { Ok(()) }
    }

    /// Where a processor that holds `caches` is led, if `allowed`, and whether page tables lead there too.
    fn translate(
        &self,
        caches: &mut Caches,
        address: u64,
        allowed: impl Fn(&(Translated, bool)) -> bool,
    ) -> Option<bool> {
        let page = address & !(self.page() - 1);
        let now = self.control.translate(page);
        let leads_there = |held: &Translated| now.is_some_and(|now| now.physical == held.physical);
        if let Some((held, _)) = caches.translations.get(&page).filter(|held| allowed(held)) {
            return Some(leads_there(held));
        }
        let walked = (now?, self.control.can_store(page));
        caches.translations.insert(page, walked);
        allowed(&walked).then_some(true)
    }

    fn is_direct(&self, address: u64) -> Option<u64> {
        address.checked_sub(DIRECT).filter(|physical| *physical < BYTES)
    }
}

fn attempt(done: bool) -> Attempt {
    if done { Attempt::Done } else { Attempt::Faulted }
}

impl Probe for TwoProcessors {
    fn execute(&self, address: u64) -> Attempt {
        let mut caches = self.own().lock().unwrap();
        let led = self.translate(&mut caches, address, |(leaf, _)| leaf.protection.is_executable());
        let Some(is_current) = led else { return Attempt::Faulted };
        let unit = self.returns.bytes();
        let fetched = caches.instructions.entry(address).or_insert_with(|| {
            let mut bytes = [0; 4];
            let _ = self.control.read(address, &mut bytes[..unit.len()]);
            bytes
        });
        attempt(!is_current || fetched.starts_with(unit))
    }

    fn load(&self, address: u64, bytes: &mut [u8]) -> Attempt {
        let mut caches = self.own().lock().unwrap();
        let led = self.translate(&mut caches, address, |(leaf, _)| leaf.protection != Protection::NoAccess);
        let Some(is_current) = led else { return Attempt::Faulted };
        if !is_current {
            // Memory of another owner.
            bytes.fill(0xee);
            return Attempt::Done;
        }
        attempt(self.control.read(address, bytes).is_ok())
    }

    fn store(&self, address: u64, byte: u8) -> Attempt {
        if let Some(physical) = self.is_direct(address) {
            return attempt(self.control.direct_leaf(physical).is_some_and(|(_, alias)| alias == Alias::ReadWrite));
        }
        let mut caches = self.own().lock().unwrap();
        let led = self.translate(&mut caches, address, |(_, can_store)| *can_store);
        let Some(is_current) = led else { return Attempt::Faulted };
        attempt(!is_current || self.control.corrupt(address, &[byte]).is_ok())
    }

    fn view(&self, address: u64, index: usize) -> Option<u64> {
        let physical = self.control.translate(address)?.physical;
        (index == 0).then_some(DIRECT + physical)
    }

    fn foreign(&self) -> Option<(Extent, Protection)> {
        let extent = Extent::new(KERNEL, 4 * self.page())?;
        let _ = self.sim.map_kernel(extent, self.control.machine().page(), Protection::ReadExecute);
        Some((extent, Protection::ReadExecute))
    }

    fn frames(&self) -> Option<u64> {
        Some((BYTES - self.control.free_bytes()) / self.page())
    }

    fn refuse_frame(&self, after: Option<u64>) -> bool {
        *self.frames_left.lock().unwrap() = after;
        true
    }

    fn hold_frames(&self, holds: bool) -> bool {
        self.holds.store(holds, Ordering::Release);
        true
    }

    fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Acquire)
    }

    fn together(&self, here: &mut dyn FnMut(), there: &mut (dyn FnMut() + Send)) -> bool {
        self.has_second.store(true, Ordering::Relaxed);
        thread::scope(|scope| {
            scope.spawn(|| {
                PROCESSOR.set(1);
                there();
                self.has_second.store(false, Ordering::Relaxed);
            });
            here();
        });
        true
    }

    fn where_refused(&self, body: &dyn Fn() -> u8) -> Option<u8> {
        self.refuses_caller.store(true, Ordering::Relaxed);
        let answer = body();
        self.refuses_caller.store(false, Ordering::Relaxed);
        Some(answer)
    }
}

/// Where the kernel's own text is.
pub(crate) const KERNEL: u64 = 0x2000_0000_0000;

impl Backend for TwoProcessors {
    fn check_caller(&self) -> Answer {
        if self.refuses_caller.load(Ordering::Relaxed) { Err(BackendError::Forked) } else { Ok(()) }
    }

    fn map(&self, mapping: &Mapping) -> Answer {
        self.check_caller()?;
        self.slowly(|| {
            let leaves = mapping.extent.len() / mapping.page.bytes();
            (0..leaves).try_for_each(|_| self.take_frame(mapping.extent, mapping.page))?;
            self.change(mapping.extent, || self.sim.map(mapping))?;
            self.forget_instructions(mapping.extent, true);
            Ok(())
        })
    }

    fn unmap(&self, extent: Extent) -> Answer {
        self.check_caller()?;
        self.slowly(|| self.change(extent, || self.sim.unmap(extent)))
    }

    fn protect(&self, extent: Extent, protection: Protection) -> Answer {
        self.check_caller()?;
        self.slowly(|| {
            let divides = |place: u64| {
                let leaf = self.control.translate(place);
                leaf.and_then(|leaf| Extent::new(leaf.start, leaf.size.bytes()))
                    .is_some_and(|leaf| !extent.covers(leaf))
            };
            for place in [extent.start(), extent.last()].into_iter().filter(|place| divides(*place)) {
                self.take_frame(Extent::new(place, 1).unwrap_or(extent), self.control.machine().page())?;
            }
            self.change(extent, || self.sim.protect(extent, protection))
        })
    }

    fn write(&self, access: Access, address: u64, bytes: &[u8]) -> Answer {
        self.check_caller()?;
        self.sim.write(access, address, bytes)
    }

    fn fill(&self, access: Access, extent: Extent, pattern: Trap) -> Answer {
        self.check_caller()?;
        self.sim.fill(access, extent, pattern)
    }

    fn read(&self, address: u64, bytes: &mut [u8]) -> Answer {
        self.check_caller()?;
        Backend::read(&self.sim, address, bytes)
    }

    fn sync_code(&self, extent: Extent, scope: SyncScope) -> Answer {
        self.check_caller()?;
        self.sim.sync_code(extent, scope)?;
        self.forget_instructions(extent, true);
        Ok(())
    }

    fn collapse(&self, extent: Extent, page: PageSize) -> Answer {
        self.check_caller()?;
        self.slowly(|| {
            self.take_frame(extent, page)?;
            self.change(extent, || self.sim.collapse(extent, page))
        })
    }

    fn adopt(&self, extent: Extent, protection: Protection) -> Answer {
        self.check_caller()?;
        self.sim.adopt(extent, protection)
    }
}
