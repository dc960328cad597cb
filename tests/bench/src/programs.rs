//! PROGRAMS: what an eBPF machine does with each program: translates it, makes the code executable, runs it for long, and
//! replaces it. 10,000 programs, each in a mapping of its own or in execmem, there with its length or with twice that, which
//! is truncated when it is known.

use std::time::Duration;

use anyhow::{Result, ensure};
use execmem::Kind;
use execmem_linux::proc;

use crate::code::{self, RUNS_HERE};
use crate::measure::{Measures, Memory, faults, ns_per, ns_per_call, thread_cpu_time};
use crate::peers::Peer;
use crate::random::{Random, SEED};

pub(crate) const NAME: &str = "PROGRAMS";
pub(crate) const ABOUT: &str =
    "10,000 eBPF-like programs of 0.5 to 13 KiB, translated, made executable, run in turn, all replaced";
pub(crate) const PEERS: &[&str] = &["mmap", "execmem", "execmem-estimated"];
pub(crate) const COUNT: usize = 10_000;
pub(crate) const QUICK_COUNT: usize = 200;

/// Instructions of the least and the largest program; each becomes five bytes.
const INSTRUCTIONS: (usize, usize) = (100, 2_700);

/// A program: what it adds up.
struct Program(Vec<u32>);

impl Program {
    fn new(random: &mut Random) -> Self {
        let len = u32::try_from(random.range(INSTRUCTIONS.0, INSTRUCTIONS.1)).unwrap_or(u32::MAX);
        Program((0..len).map(|index| index ^ len << 8).collect())
    }

    /// Its code, one instruction after the other.
    fn translate(&self, code: &mut Vec<u8>) {
        code.clear();
        code.extend([0x31, 0xc0]); // xor eax, eax
        for term in &self.0 {
            code.push(0x05); // add eax, term
            code.extend(term.to_le_bytes());
        }
        code.push(0xc3); // ret
    }

    fn answer(&self) -> u32 {
        self.0.iter().fold(0, |sum, term| sum.wrapping_add(*term))
    }
}

/// Programs that are live, and how long each part took.
struct Machine<'a, P: Peer> {
    peer: &'a P,
    live: Vec<(P::Code, u32)>,
    random: Random,
    code: Vec<u8>,
    translating: Duration,
    installing: Duration,
}

impl<P: Peer> Machine<'_, P> {
    fn make(&mut self) -> Result<(P::Code, u32)> {
        let program = Program::new(&mut self.random);
        let start = thread_cpu_time();
        program.translate(&mut self.code);
        let translated = thread_cpu_time();
        let code = self.peer.install(&self.code)?;
        self.installing += thread_cpu_time() - translated;
        self.translating += translated - start;
        Ok((code, program.answer()))
    }

    /// Calls each in turn. What a call takes.
    fn run(&self) -> Result<f64> {
        let entries: Vec<_> = self.live.iter().map(|(code, answer)| (self.peer.entry(code), *answer)).collect();
        let call = |index: usize| {
            let (entry, answer) = entries[index];
            // SAFETY: a function without arguments was installed there, and is live.
            (u64::from(unsafe { code::call(entry) }), u64::from(answer))
        };
        if RUNS_HERE { ns_per_call(entries.len(), call) } else { Ok(0.0) }
    }
}

/// Makes, runs and replaces programs.
pub(crate) fn measure<P: Peer>(count: usize) -> Result<Measures> {
    let (mappings, before, faults_before) = (proc::mappings()?.len(), Memory::now()?, faults());
    let peer = P::new(Kind::Bpf)?;
    let [translating, installing] = [Duration::ZERO; 2];
    let (random, live) = (Random::new(SEED), Vec::with_capacity(count));
    let mut machine = Machine { peer: &peer, live, random, code: Vec::new(), translating, installing };
    for _ in 0..count {
        let made = machine.make()?;
        machine.live.push(made);
    }
    let (made, faults) = (Memory::now()?, faults() - faults_before);
    let more_mappings = proc::mappings()?.len().saturating_sub(mappings);
    let (translating, installing) = (machine.translating, machine.installing);
    let ns_per_call = machine.run()?;
    let replacing = replace(&mut machine)?;
    let replaced = Memory::now()?;
    ensure!(machine.run()? >= 0.0, "a program that was replaced is wrong");
    for (code, _) in machine.live.drain(..) {
        peer.remove(code)?;
    }
    peer.finish()?;
    let more = |after: Memory, before: Memory| after.resident as f64 - before.resident as f64;
    Ok(Measures::from([
        ("translate_ns".into(), ns_per(translating, count)),
        ("install_ns".into(), ns_per(installing, count)),
        ("install_share".into(), installing.as_secs_f64() / (installing + translating).as_secs_f64()),
        ("replace_ns".into(), ns_per(replacing, count)),
        ("ns_per_call".into(), ns_per_call),
        ("mappings".into(), more_mappings as f64),
        ("resident_bytes".into(), more(made, before)),
        ("resident_growth_bytes".into(), more(replaced, made)),
        ("faults_per_program".into(), faults as f64 / count as f64),
    ]))
}

/// Replaces every program by another. How long the memory took.
fn replace<P: Peer>(machine: &mut Machine<'_, P>) -> Result<Duration> {
    let (before, mut removing) = (machine.installing, Duration::ZERO);
    for slot in 0..machine.live.len() {
        let made = machine.make()?;
        let (old, _) = std::mem::replace(&mut machine.live[slot], made);
        let start = thread_cpu_time();
        machine.peer.remove(old)?;
        removing += thread_cpu_time() - start;
    }
    Ok(machine.installing - before + removing)
}
