//! How many system calls does an allocation in an existing block make? Counted from outside, by tracing a process.
//!
//! The child warms up, then allocates, writes, publishes and frees many times between two marks.

use std::process::{Command, Stdio};

use anyhow::Result;
use execmem::{Engine, kinds::Bpf};
use execmem_linux::{Linux, Options};
use execmem_sim::Random;

use crate::{generate, workload};

const CYCLES: u32 = 10_000;
const SIZES: &[(u32, u32, u32)] = &[(50, 64, 500), (25, 500, 2048), (25, 2048, 16384)];

/// The load of the child.
pub(crate) fn child() -> Result<()> {
    let linux = Linux::reserve(&Options::default())?;
    let engine = Engine::new(linux.table()?, linux)?;
    let mut random = Random::new(7);
    let code = generate::function(1, 16384);
    let install = |len: usize| {
        let mut draft = engine.alloc::<Bpf>(len as u64)?;
        engine.write(&mut draft, 0, &code[..len])?;
        anyhow::Ok(engine.publish(draft)?)
    };
    let mut live = Vec::new();
    for _ in 0..1000 {
        live.push(install(workload::size(&mut random, SIZES) as usize)?);
    }
    let mut cycle = |random: &mut Random| {
        let victim = workload::below(random, 1000) as usize;
        let old = std::mem::replace(&mut live[victim], install(workload::size(random, SIZES) as usize)?);
        anyhow::Ok(engine.free(old)?)
    };
    (0..CYCLES).try_for_each(|_| cycle(&mut random))?;
    execmem_syscalls::wait_for_counter()?;
    execmem_syscalls::mark()?;
    (0..CYCLES).try_for_each(|_| cycle(&mut random))?;
    Ok(execmem_syscalls::mark()?)
}

/// Runs the child and counts its system calls in steady state.
pub(crate) fn count() -> Result<u64> {
    let mut child = Command::new(std::env::current_exe()?);
    Ok(execmem_syscalls::count(child.arg("steady-state").stdout(Stdio::null()))?)
}
