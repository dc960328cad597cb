//! Everything at once for as long as `EXECMEM_SOAK_SECONDS` says, while the memory refuses now and then and descriptors run
//! out: no result is wrong, and the process ends with the mappings, bytes and descriptors with which it began.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use execmem::{Backend, BackendError, Draft, Engine, Extent, Kind, Live, PageSize, Protection, kinds::Text};
use execmem_linux::{Linux, Options, Publish, proc};
use execmem_sim::Random;
use execmem_types::{Access, Mapping, PowerOfTwo, SyncScope, Trap};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::code::{constant, run, ways};
use super::process::output_in_a_process;

skip::tests! {
    a_soak_with_faults_ends_where_it_began
}

/// Which calls are refused: one of [`ONE_OF`] while it is on.
#[derive(Debug, Default)]
struct Faults {
    calls: AtomicU64,
    count: AtomicU64,
    is_on: AtomicBool,
}

const ONE_OF: u64 = 8;

/// Linux memory that refuses some calls.
struct Faulty {
    linux: Linux,
    faults: Arc<Faults>,
}

impl Faulty {
    fn may(&self) -> Result<(), BackendError> {
        let Faults { calls, count, is_on } = &*self.faults;
        let call = calls.fetch_add(1, Ordering::Relaxed);
        if !is_on.load(Ordering::Relaxed) || Random::new(call.wrapping_mul(0x9e37_79b9) + 1).below(ONE_OF) > 0 {
            return Ok(());
        }
        count.fetch_add(1, Ordering::Relaxed);
        Err(BackendError::OutOfMemory { len: 1, page: PageSize::kib(4) })
    }
}

impl Backend for Faulty {
    fn check_caller(&self) -> Result<(), BackendError> {
        self.linux.check_caller()
    }
    fn map(&self, mapping: &Mapping) -> Result<(), BackendError> {
        self.may().and_then(|()| self.linux.map(mapping))
    }
    fn unmap(&self, extent: Extent) -> Result<(), BackendError> {
        self.may().and_then(|()| self.linux.unmap(extent))
    }
    fn protect(&self, extent: Extent, protection: Protection) -> Result<(), BackendError> {
        self.may().and_then(|()| self.linux.protect(extent, protection))
    }
    fn write(&self, access: Access, address: u64, bytes: &[u8]) -> Result<(), BackendError> {
        self.may().and_then(|()| self.linux.write(access, address, bytes))
    }
    fn stores_at_once(&self) -> PowerOfTwo {
        self.linux.stores_at_once()
    }
    fn fill(&self, access: Access, extent: Extent, pattern: Trap) -> Result<(), BackendError> {
        self.may().and_then(|()| self.linux.fill(access, extent, pattern))
    }
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), BackendError> {
        self.linux.read(address, bytes)
    }
    fn sync_code(&self, extent: Extent, scope: SyncScope) -> Result<(), BackendError> {
        self.may().and_then(|()| self.linux.sync_code(extent, scope))
    }
    fn sync_group(&self, extents: &[Extent], scope: SyncScope) -> Result<(), BackendError> {
        self.may().and_then(|()| self.linux.sync_group(extents, scope))
    }
    fn collapses(&self) -> bool {
        self.linux.collapses()
    }
    fn collapse(&self, extent: Extent, page: PageSize) -> Result<(), BackendError> {
        self.may().and_then(|()| self.linux.collapse(extent, page))
    }
    fn adopt(&self, extent: Extent, protection: Protection) -> Result<(), BackendError> {
        self.linux.adopt(extent, protection)
    }
}

/// What a thread holds: functions with what they return, and data.
#[derive(Default)]
struct Held {
    functions: Vec<(u32, Live<Text>)>,
    data: Vec<Draft>,
    calls: u64,
}

const MOST_HELD: u64 = 300;

impl Held {
    /// One step of a life, which may be refused.
    fn step(&mut self, engine: &Engine<Faulty>, random: &mut Random) {
        let value = u32::try_from(random.below(1 << 31)).expect("small");
        let any = |len: usize, random: &mut Random| usize::try_from(random.below(len as u64)).expect("an index");
        match random.below(16) {
            0..=5 if (self.functions.len() as u64) < MOST_HELD => {
                self.install(engine, value, 1 << (6 + random.below(9)))
            }
            6 if (self.data.len() as u64) < MOST_HELD => {
                let kind = *random.pick(&[Kind::Data, Kind::RoData, Kind::RoAfterInit]);
                self.data.extend(engine.alloc_kind(kind, 1 + random.below(1 << 18)));
            }
            7 if !self.data.is_empty() => {
                let index = any(self.data.len(), random);
                engine.free(self.data.swap_remove(index)).expect("ours");
            }
            8 if !self.functions.is_empty() => {
                let index = any(self.functions.len(), random);
                let (_, function) = self.functions.swap_remove(index);
                // Refused, it is what it was, unless that is refused as well: then it can only be freed.
                match engine.patch_unexecuted(&function, 0, &constant(value, 6)) {
                    Ok(()) => self.functions.push((value, function)),
                    Err(_) => engine.free(function).expect("ours"),
                }
            }
            9 => drop(engine.maintain()),
            10 if random.below(64) == 0 => {
                let mut some: Vec<_> = self.functions.drain(..self.functions.len() / 2).map(|(_, live)| live).collect();
                engine.free_group(&mut some).expect("ours");
                engine.shrink();
            }
            10..=13 if !self.functions.is_empty() => {
                let index = any(self.functions.len(), random);
                engine.free(self.functions.swap_remove(index).1).expect("ours");
            }
            _ => {}
        }
        if let Some((value, function)) = self.functions.last() {
            assert_eq!(run(function), *value);
            self.calls += 1;
        }
    }

    fn install(&mut self, engine: &Engine<Faulty>, value: u32, len: usize) {
        let Ok(mut draft) = engine.alloc::<Text>(len as u64) else { return };
        if engine.write(&mut draft, 0, &constant(value, 6)).is_err() {
            return engine.free(draft).expect("ours");
        }
        match engine.publish(draft) {
            Ok(live) => self.functions.push((value, live)),
            Err(failed) => engine.free(failed.handle).expect("ours"),
        }
    }

    fn end(self, engine: &Engine<Faulty>) -> u64 {
        for (value, function) in self.functions {
            assert_eq!(run(&function), value);
            engine.free(function).expect("ours");
        }
        self.data.into_iter().for_each(|draft| engine.free(draft).expect("ours"));
        self.calls
    }
}

/// Runs two threads on an engine, and one that takes descriptors away. Returns calls of functions, and faults.
fn soak(publish: Publish, time: Duration) -> (u64, u64) {
    let linux = Linux::reserve(&Options::default().publish(publish)).expect("executable memory");
    let table = linux.table().expect("a table");
    let faults = Arc::<Faults>::default();
    let engine = &Engine::new(table, Faulty { linux, faults: Arc::clone(&faults) }).expect("memory");
    faults.is_on.store(true, Ordering::Relaxed);
    let (end, is_over) = (Instant::now() + time, &AtomicBool::new(false));
    let work = |seed: u64| {
        let (mut held, mut random) = (Held::default(), Random::new(seed));
        while Instant::now() < end {
            (0..100).for_each(|_| held.step(engine, &mut random));
        }
        held.end(engine)
    };
    let calls = std::thread::scope(|scope| {
        let starve = scope.spawn(|| starve_of_descriptors(is_over));
        let threads = [1, 2].map(|seed| scope.spawn(move || work(seed)));
        let calls = threads.map(std::thread::ScopedJoinHandle::join);
        is_over.store(true, Ordering::Relaxed);
        starve.join().expect("limits");
        calls.map(|calls| calls.expect("no wrong result")).iter().sum()
    });
    faults.is_on.store(false, Ordering::Relaxed);
    engine.maintain();
    engine.shrink();
    engine.audit().expect("audit");
    let stats = engine.stats();
    let withheld: u64 = stats.pools().map(|(_, pool)| pool.bytes_withheld).sum();
    assert_eq!((stats.bytes_mapped(), withheld), (0, 0), "{publish:?}");
    (calls, faults.count.load(Ordering::Relaxed))
}

/// Mappings and their bytes without those of the heap, and descriptors.
fn picture() -> (usize, u64, usize) {
    let areas = proc::areas().expect("proc");
    let mappings = || areas.iter().filter(|area| !["[heap]", "[stack]"].contains(&&*area.name));
    let descriptors = std::fs::read_dir("/proc/self/fd").expect("proc").count();
    (mappings().count(), mappings().map(|area| area.extent.len()).sum(), descriptors)
}

fn a_soak_with_faults_ends_where_it_began() {
    let output = output_in_a_process("soak::a_soak_with_faults_ends_where_it_began", || {
        // Threads allocate from one heap, which grows in one place.
        // SAFETY: mallopt(3) sets a parameter of the allocator; no other thread is there.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
        let seconds = std::env::var("EXECMEM_SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
        let time = Duration::from_secs_f64(seconds.unwrap_or(1.0)) / ways().map(|_| 1).sum::<u32>();
        for publish in ways() {
            // What the process keeps of its first engine and threads.
            soak(publish, Duration::from_millis(50));
            let before = picture();
            let (calls, faults) = soak(publish, time);
            assert_eq!(picture(), before, "{publish:?}: mappings, bytes and descriptors");
            assert!(calls > 1000 && faults > 10, "{calls} calls, {faults} faults");
            let (mappings, bytes, descriptors) = before;
            println!("{publish:?}: {calls} calls, none wrong, and {faults} faults");
            println!("{publish:?}: {mappings} mappings, {bytes} bytes and {descriptors} descriptors before and after");
        }
    });
    output.iter().flat_map(|text| text.lines()).filter(|line| line.contains(": ")).for_each(|line| println!("{line}"));
}

/// Takes all descriptors away for a moment, again and again.
fn starve_of_descriptors(is_over: &AtomicBool) {
    let usual = getrlimit(Resource::Nofile);
    while !is_over.load(Ordering::Relaxed) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..usual }).expect("a lower limit");
        std::thread::sleep(Duration::from_millis(1));
        setrlimit(Resource::Nofile, usual).expect("the limit of before");
        std::thread::sleep(Duration::from_millis(10));
    }
}
