//! Dispatchers whose targets change, and are freed and replaced, while another thread calls them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use execmem::Engine;
use execmem_clients::bpf::{Bpf, Options, Program, ProgramRequest, Trust};
use execmem_clients::{Credit, Id};
use execmem_linux::Linux;

use super::support::{Traps, check_empty, engine, pin, run, stress_time};

skip::tests! {
    dispatchers_reach_known_and_unknown_targets
    stress_dispatchers_change_while_another_thread_calls_them
}

type Client<'e> = Bpf<&'e Engine<Linux>, fn()>;

fn client(engine: &Engine<Linux>) -> Client<'_> {
    Bpf::new(engine, Options { limit: u64::MAX, seed: 3, flush_predictors: || () })
}

/// `lea eax, [rdi + addend]; ret`
fn adder(bpf: &Client<'_>, addend: u32) -> (Id<Program>, u64) {
    let code = [&[0x8d, 0x87][..], &addend.to_le_bytes(), &[0xc3]].concat();
    let request = ProgramRequest { len: code.len() as u64, align: 16, trust: Trust::Trusted, credit: Credit::Limited };
    let mut binary = bpf.alloc(&request).expect("room");
    binary.image_mut().copy_from_slice(&code);
    let address = binary.address();
    (binary.finalize().expect("memory"), address)
}

fn dispatchers_reach_known_and_unknown_targets() {
    let engine = engine();
    let bpf = client(&engine);
    let mut dispatcher = bpf.dispatcher(Traps::new()).expect("rows");
    let programs: Vec<_> = (0..48).map(|addend| adder(&bpf, addend)).collect();
    let addresses: Vec<_> = programs.iter().map(|(_, address)| *address).collect();
    for known in [0, 1, 7, 48] {
        bpf.update(&mut dispatcher, &addresses[..known], || ()).expect("near");
        for (addend, address) in (0..).zip(&addresses) {
            assert_eq!(run(dispatcher.entry(), [1000, 0, *address, 0]) & 0xffff_ffff, 1000 + addend);
        }
    }
    bpf.close(&dispatcher).expect("open");
    programs.into_iter().for_each(|(id, _)| bpf.free(id).expect("live"));
    check_empty(&engine);
}

const TARGETS: usize = 8;

/// What the calling thread shares with the one that updates.
#[derive(Default)]
struct Shared {
    /// Address and addend of each target; an address of zero is none.
    targets: [(AtomicU64, AtomicU64); TARGETS],
    /// Begun calls: between two of them, the calling thread is in no target.
    rounds: AtomicU64,
    ends: AtomicBool,
}

impl Shared {
    fn call(&self, entry: u64) {
        let mut pick = 0;
        while !self.ends.load(Ordering::Relaxed) {
            let round = self.rounds.fetch_add(1, Ordering::SeqCst) & 0xffff;
            pick = (pick + 1) % TARGETS;
            let (address, addend) = &self.targets[pick];
            let (address, addend) = (address.load(Ordering::SeqCst), addend.load(Ordering::SeqCst));
            if address != 0 {
                let result = run(entry, [round, 0, address, 0]) & 0xffff_ffff;
                assert_eq!(result, round + addend, "a torn or stale call");
            }
        }
    }

    /// Waits until the calling thread has left what it was in.
    fn grace(&self) {
        let round = self.rounds.load(Ordering::SeqCst);
        while self.rounds.load(Ordering::SeqCst) < round + 2 {
            std::thread::yield_now();
        }
    }
}

fn stress_dispatchers_change_while_another_thread_calls_them() {
    let engine = engine();
    let bpf = client(&engine);
    let mut dispatcher = bpf.dispatcher(Traps::new()).expect("rows");
    let (shared, entry) = (Shared::default(), dispatcher.entry());
    let mut live: [Option<(Id<Program>, u64)>; TARGETS] = [None; TARGETS];
    let end = Instant::now() + stress_time();
    let updates = std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(0);
            shared.call(entry);
        });
        pin(1);
        let mut updates = 0_u32;
        while Instant::now() < end {
            let slot = updates as usize * 5 % TARGETS;
            let (address, addend) = &shared.targets[slot];
            address.store(0, Ordering::SeqCst);
            let old = live[slot].take();
            let known: Vec<u64> = live.iter().flatten().map(|(_, address)| *address).collect();
            bpf.update(&mut dispatcher, &known, || shared.grace()).expect("near");
            // No thread is in the old program any more; the new one may stand in its place.
            old.into_iter().for_each(|(id, _)| bpf.free(id).expect("live"));
            let fresh = adder(&bpf, updates & 0xffff);
            live[slot] = Some(fresh);
            addend.store(u64::from(updates & 0xffff), Ordering::SeqCst);
            address.store(fresh.1, Ordering::SeqCst);
            let known: Vec<u64> = live.iter().flatten().map(|(_, address)| *address).collect();
            bpf.update(&mut dispatcher, &known, || shared.grace()).expect("near");
            updates += 1;
        }
        shared.ends.store(true, Ordering::Relaxed);
        updates
    });
    println!("{updates} programs replaced, {} calls", shared.rounds.load(Ordering::SeqCst));
    assert!(updates > 0);
    bpf.close(&dispatcher).expect("open");
    live.into_iter().flatten().for_each(|(id, _)| bpf.free(id).expect("live"));
    check_empty(&engine);
}
