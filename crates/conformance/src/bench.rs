//! What checks share: places, memory of every page size, and the rights that the processor sees.

use core::sync::atomic::{AtomicBool, Ordering};

use execmem_types::{Access, BackendError, Extent, Mapping, PageSize, Protection, Rights, SyncScope, Trap};

use crate::Need;
use crate::port::{Attempt, Memory, Port, Probe};
use crate::report::{Breach, Call, Outcome};

/// Why a check ends before its end.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stop {
    Broken(Breach),
    Needs(Need),
}

/// What a check returns.
pub(crate) type Checked = Result<(), Stop>;

/// Every right there is, from which memory may go to every other.
pub(crate) const ALL_RIGHTS: [Protection; 4] =
    [Protection::ReadWrite, Protection::ReadExecute, Protection::ReadOnly, Protection::NoAccess];

/// What a processor can hold without asking page tables is tried at so many places of an extent.
const PLACES: u64 = 16;

/// Bytes that are compared at once: kernels have small stacks.
const CHUNK: usize = 512;

/// Pages of the largest size that checks use.
const ROOM: u64 = 4;

/// The memory under test while one check runs.
pub(crate) struct Bench<'p> {
    pub(crate) memory: &'p dyn Memory,
    pub(crate) probe: &'p dyn Probe,
    pub(crate) trap: Trap,
    pub(crate) returns: Trap,
    /// Addresses from a multiple of the largest page on.
    window: Extent,
    pages: &'p [PageSize],
    pub(crate) pokes: bool,
}

/// A breach.
pub(crate) const fn broken<T>(call: Call, address: u64, seen: &'static str) -> Result<T, Stop> {
    Err(Stop::Broken(Breach { call, address, seen }))
}

/// Goes on if a claim is true.
pub(crate) const fn claim(is_true: bool, call: Call, address: u64, seen: &'static str) -> Checked {
    if is_true { Ok(()) } else { broken(call, address, seen) }
}

/// A part of an extent, which has it.
pub(crate) fn part(extent: Extent, offset: u64, len: u64) -> Extent {
    extent.part(offset, len).expect("the part of an extent")
}

/// Two extents of which the second follows the first, as one.
pub(crate) fn joined(first: Extent, second: Extent) -> Extent {
    Extent::between(first.start(), second.end()).expect("an extent behind the first")
}

impl<'p> Bench<'p> {
    /// The bench of a port. `None` if the window is too small.
    pub(crate) fn new(port: &Port<'p>) -> Option<Self> {
        let largest = port.pages.last()?;
        let start = largest.round_up(port.window.start())?;
        let window = Extent::between(start, port.window.end())?.part(0, ROOM * largest.bytes())?;
        let Port { memory, probe, trap, returns, pages, .. } = *port;
        let mut bench = Bench { memory, probe, trap, returns, window, pages, pokes: false };
        bench.pokes = bench.can_poke();
        Some(bench)
    }

    /// Whether memory has another mapping that it is written through.
    fn can_poke(&self) -> bool {
        let page = self.extent(self.small(), 0, 1);
        let mapping = Mapping::new(page, self.small(), Protection::ReadExecute, self.trap);
        let pokes = self.memory.map(&mapping).is_ok()
            && self.memory.write(Access::Poke, page.start(), self.trap.bytes()) != Err(BackendError::Unsupported);
        let _ = self.memory.unmap(page);
        pokes
    }

    /// Runs one check, and clears up behind one that ended early.
    pub(crate) fn run(&self, check: impl Fn(&Self) -> Checked) -> Outcome {
        let outcome = match check(self) {
            Ok(()) => return Outcome::Held,
            Err(Stop::Broken(breach)) => Outcome::Broken(breach),
            Err(Stop::Needs(need)) => Outcome::NotCheckable(need),
        };
        self.probe.refuse_frame(None);
        self.probe.hold_frames(false);
        for page in self.pages {
            for index in 0..self.window.len() / page.bytes() {
                let _ = self.memory.unmap(self.extent(*page, index, 1));
            }
        }
        outcome
    }

    /// The smallest page.
    pub(crate) fn small(&self) -> PageSize {
        self.pages.first().copied().unwrap_or(PageSize::kib(4))
    }

    /// The largest.
    pub(crate) fn large(&self) -> PageSize {
        self.pages.last().copied().unwrap_or(PageSize::kib(4))
    }

    /// All of them.
    pub(crate) fn pages(&self) -> impl Iterator<Item = PageSize> + 'p {
        self.pages.iter().copied()
    }

    /// `count` pages from the `index`-th on.
    pub(crate) fn extent(&self, page: PageSize, index: u64, count: u64) -> Extent {
        part(self.window, index * page.bytes(), count * page.bytes())
    }

    /// Small pages on both sides of a multiple of the largest page, so that different page tables map them.
    pub(crate) fn straddling(&self) -> Extent {
        let (small, large) = (self.small().bytes(), self.large().bytes());
        part(self.window, large - small, 2 * small)
    }

    /// Three pages of each size, in one call, and two that different page tables map.
    pub(crate) fn each_extent(&self, mut check: impl FnMut(Extent, PageSize) -> Checked) -> Checked {
        for page in self.pages() {
            check(self.extent(page, 0, 3), page)?;
        }
        check(self.straddling(), self.small())
    }

    /// Maps memory that may have all rights.
    pub(crate) fn map(&self, extent: Extent, page: PageSize, protection: Protection, unused: Trap) -> Checked {
        let mapping = Mapping { rights: Rights::ALL, ..Mapping::new(extent, page, protection, unused) };
        self.map_as(&mapping)
    }

    /// Maps memory. Large pages may be missing.
    pub(crate) fn map_as(&self, mapping: &Mapping) -> Checked {
        let lacks = |error| matches!(error, BackendError::PageUnavailable { .. } | BackendError::OutOfMemory { .. });
        match self.memory.map(mapping) {
            Ok(()) => Ok(()),
            Err(error) if mapping.page > self.small() && lacks(error) => Err(Stop::Needs(Need::LargePages)),
            Err(_) => broken(Call::Map, mapping.extent.start(), "absent memory was refused"),
        }
    }

    /// Unmaps memory that is mapped.
    pub(crate) fn unmap(&self, extent: Extent) -> Checked {
        claim(self.memory.unmap(extent).is_ok(), Call::Unmap, extent.start(), "mapped memory was refused")
    }

    /// Changes rights to some that the mapping said.
    pub(crate) fn protect(&self, extent: Extent, protection: Protection) -> Checked {
        let done = self.memory.protect(extent, protection).is_ok();
        claim(done, Call::Protect, extent.start(), "rights that the mapping said were refused")
    }

    /// Writes to memory that allows it.
    pub(crate) fn write(&self, access: Access, address: u64, bytes: &[u8]) -> Checked {
        let done = self.memory.write(access, address, bytes).is_ok();
        claim(done, by(access), address, "bytes that may be written were refused")
    }

    /// Tells instruction fetch.
    pub(crate) fn sync(&self, extent: Extent, scope: SyncScope) -> Checked {
        let done = self.memory.sync_code(extent, scope).is_ok();
        claim(done, Call::SyncCode, extent.start(), "mapped memory was refused")
    }

    /// Compares memory with a pattern, as `read` and the processor see it.
    pub(crate) fn holds(&self, extent: Extent, pattern: Trap, call: Call, seen: &'static str) -> Checked {
        let (mut expected, mut bytes) = ([0; CHUNK], [0; CHUNK]);
        // A chunk has whole patterns, so all begin alike.
        pattern.fill(extent.start(), &mut expected);
        let mut rest = Some(extent);
        while let Some(at) = rest {
            let len = usize::try_from(at.len()).unwrap_or(CHUNK).min(CHUNK);
            let done = self.memory.read(at.start(), &mut bytes[..len]).is_ok();
            claim(done, Call::Read, at.start(), "memory that may be read was refused")?;
            claim(bytes[..len] == expected[..len], call, at.start(), seen)?;
            rest = at.part(len as u64, at.len() - len as u64);
        }
        for place in self.places(extent) {
            let byte = self.load(place);
            claim(byte == Some(pattern.at(place)), call, place, seen)?;
        }
        Ok(())
    }

    /// A byte as the processor loads it. `None` if it faults.
    pub(crate) fn load(&self, address: u64) -> Option<u8> {
        let mut byte = [0];
        (self.probe.load(address, &mut byte) == Attempt::Done).then_some(byte[0])
    }

    /// A byte as the backend reads it.
    pub(crate) fn read(&self, address: u64) -> Option<u8> {
        let mut byte = [0];
        self.memory.read(address, &mut byte).is_ok().then_some(byte[0])
    }

    /// Places in an extent at which an instruction may stand: page starts all over it, and its end.
    pub(crate) fn places(&self, extent: Extent) -> impl Iterator<Item = u64> + use<> {
        let step = self.small().round_up(extent.len() / PLACES).unwrap_or(extent.len()).max(self.small().bytes());
        let last = extent.last() - (self.returns.unit().max(self.trap.unit()) - 1);
        (0..extent.len().div_ceil(step)).map(move |index| extent.start() + index * step).chain([last])
    }

    /// Whether the processor that calls has just these rights to memory that is full of [`Port::returns`].
    pub(crate) fn rights_here(&self, extent: Extent, protection: Protection, call: Call) -> Checked {
        for place in self.places(extent) {
            let (reads, writes, executes) = (
                self.load(place).is_some(),
                self.probe.store(place, self.returns.at(place)) == Attempt::Done,
                self.probe.execute(place) == Attempt::Done,
            );
            claim(!writes || protection.is_writable(), call, place, "a store was possible and must not be")?;
            claim(!executes || protection.is_executable(), call, place, "a call was possible and must not be")?;
            claim(!reads || protection != Protection::NoAccess, call, place, "a load was possible and must not be")?;
            let all = [reads == (protection != Protection::NoAccess), writes == protection.is_writable()];
            let all = all.into_iter().all(|right| right) && executes == protection.is_executable();
            claim(all, call, place, "a right is missing")?;
        }
        // What was stored are the bytes that stood there; a processor whose instruction fetch does not see stores cannot know.
        if protection.is_writable() { self.sync(extent, SyncScope::Fresh) } else { Ok(()) }
    }

    /// The same for the second processor too, if there is one.
    pub(crate) fn rights(&self, extent: Extent, protection: Protection, call: Call) -> Checked {
        self.rights_here(extent, protection, call)?;
        match self.on_second(|| self.rights_here(extent, protection, call)) {
            Err(Stop::Needs(Need::SecondProcessor)) => Ok(()),
            other => other,
        }
    }

    /// Runs something on the second processor.
    pub(crate) fn on_second(&self, body: impl Fn() -> Checked + Sync) -> Checked {
        self.beside(|| Ok(()), |_| body())
    }

    /// Runs `here`, and on the second processor `there`, which is told when `here` has ended.
    pub(crate) fn beside(&self, here: impl Fn() -> Checked, there: impl Fn(&AtomicBool) -> Checked + Sync) -> Checked {
        let has_ended = AtomicBool::new(false);
        let (mut first, mut second) = (Ok(()), Ok(()));
        let ran = self.probe.together(
            &mut || {
                first = here();
                has_ended.store(true, Ordering::Release);
            },
            &mut || second = there(&has_ended),
        );
        if !ran {
            return Err(Stop::Needs(Need::SecondProcessor));
        }
        first.and(second)
    }

    /// Frames in use.
    pub(crate) fn frames(&self) -> Result<u64, Stop> {
        self.probe.frames().ok_or(Stop::Needs(Need::Frames))
    }
}

/// The call of a write.
pub(crate) const fn by(access: Access) -> Call {
    match access {
        Access::Store => Call::Store,
        Access::Poke => Call::Poke,
    }
}

/// The call of a fill.
pub(crate) const fn fill_by(access: Access) -> Call {
    match access {
        Access::Store => Call::FillByStore,
        Access::Poke => Call::FillByPoke,
    }
}
