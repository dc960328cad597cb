//! The calls that are counted.
//!
//! For each size: as many allocations as fill some blocks, then a random half of them is freed and allocated again, so that
//! calls meet holes of all lengths, and neither the first call nor the growth of the pool is counted.

use anyhow::{Result, ensure};
use execmem::{Draft, Engine, Error, Failed, Found, Kind, Live};
use execmem_linux::{Linux, Options};

/// A size of allocations, and how many are live.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Class {
    pub(crate) bytes: usize,
    live: usize,
}

/// The sizes.
pub(crate) const CLASSES: [Class; 5] = [
    Class { bytes: 64, live: 4096 },
    Class { bytes: 128, live: 4096 },
    Class { bytes: 512, live: 2048 },
    Class { bytes: 4096, live: 1024 },
    Class { bytes: 65536, live: 128 },
];

impl Class {
    /// Calls of each verb.
    pub(crate) const fn calls(&self) -> usize {
        self.live / 2
    }
}

/// The calls, in the order in which they are counted for each size.
pub(crate) const VERBS: [&str; 6] = ["free", "alloc", "write", "publish", "find", "patch"];

/// What the symbols of the functions begin with that each are one call.
pub(crate) const CALL: &str = "execmem_call_";

/// The symbol of the function that is called when all calls of one verb were made.
pub(crate) const DONE: &str = "execmem_calls_done";

/// What is allocated.
const KIND: Kind = Kind::Ftrace;

/// Every run places memory alike.
const SEED: u64 = 21;

/// Makes the calls.
pub(crate) fn run() -> Result<()> {
    for class in &CLASSES {
        let linux = Linux::reserve(&Options::default().seed(SEED))?;
        let engine = Engine::new(linux.table()?, linux)?;
        make_calls(&engine, class)?;
        ensure!(engine.audit().is_ok(), "the audit found a broken invariant");
    }
    Ok(())
}

fn make_calls(engine: &Engine<Linux>, class: &Class) -> Result<()> {
    let (code, len) = (vec![0x90; class.bytes], class.bytes as u64);
    let mut lives = (0..class.live).map(|_| install(engine, &code)).collect::<Result<Vec<_>>>()?;
    shuffle(&mut lives);

    for live in lives.drain(..class.calls()) {
        execmem_call_free(engine, live)?;
    }
    execmem_calls_done();
    let mut drafts = Vec::with_capacity(class.calls());
    for _ in 0..class.calls() {
        drafts.push(execmem_call_alloc(engine, len)?);
    }
    execmem_calls_done();
    for draft in &mut drafts {
        execmem_call_write(engine, draft, &code)?;
    }
    execmem_calls_done();
    for draft in drafts {
        lives.push(execmem_call_publish(engine, draft)?);
    }
    execmem_calls_done();
    let lives = &lives[class.live - class.calls()..];
    for live in lives {
        let found = execmem_call_find(engine, live.address() + len / 2);
        ensure!(found.is_some_and(|found| found.extent == live.extent()), "what is live is not found");
    }
    execmem_calls_done();
    for live in lives {
        execmem_call_patch(engine, live, &[0xcc])?;
    }
    execmem_calls_done();
    Ok(())
}

fn install(engine: &Engine<Linux>, code: &[u8]) -> Result<Live> {
    let mut draft = engine.alloc_kind(KIND, code.len() as u64)?;
    engine.write(&mut draft, 0, code)?;
    Ok(engine.publish(draft)?)
}

/// Another order, the same in each run.
fn shuffle<T>(items: &mut [T]) {
    let mut state = SEED;
    for last in (1..items.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(last, (state >> 33) as usize % (last + 1));
    }
}

// SAFETY of the symbols below: no other code of the program has symbols with these names.

#[unsafe(no_mangle)]
#[inline(never)]
extern "Rust" fn execmem_calls_done() {
    std::hint::black_box(());
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "Rust" fn execmem_call_alloc(engine: &Engine<Linux>, len: u64) -> Result<Draft, Error> {
    engine.alloc_kind(KIND, len)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "Rust" fn execmem_call_write(engine: &Engine<Linux>, draft: &mut Draft, code: &[u8]) -> Result<(), Error> {
    engine.write(draft, 0, code)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "Rust" fn execmem_call_publish(engine: &Engine<Linux>, draft: Draft) -> Result<Live, Failed<Draft>> {
    engine.publish(draft)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "Rust" fn execmem_call_find(engine: &Engine<Linux>, address: u64) -> Option<Found> {
    engine.find(address)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "Rust" fn execmem_call_patch(engine: &Engine<Linux>, live: &Live, bytes: &[u8]) -> Result<(), Error> {
    engine.patch(live, 0, bytes)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "Rust" fn execmem_call_free(engine: &Engine<Linux>, live: Live) -> Result<(), Failed<Live>> {
    engine.free(live)
}
