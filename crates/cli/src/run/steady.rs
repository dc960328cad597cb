//! How many system calls does an allocation in an existing block make? Counted from outside, by tracing a process.
//!
//! The child warms up, sends itself a signal, allocates, writes, publishes and frees many times, and sends itself the
//! signal again. The parent counts the system calls between the two.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use execmem::{Engine, kinds::Bpf};
use execmem_linux::{Linux, Options};
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::generate;
use crate::workload::Random;

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
        live.push(install(random.size(SIZES) as usize)?);
    }
    let mut cycle = |random: &mut Random| {
        let victim = random.below(1000) as usize;
        let old = std::mem::replace(&mut live[victim], install(random.size(SIZES) as usize)?);
        anyhow::Ok(engine.free(old)?)
    };
    (0..CYCLES).try_for_each(|_| cycle(&mut random))?;
    // The parent says when it is ready to count.
    let _ = std::io::stdin().read(&mut [0])?;
    let own = rustix::process::getpid();
    rustix::process::kill_process(own, rustix::process::Signal::USR1)?;
    (0..CYCLES).try_for_each(|_| cycle(&mut random))?;
    rustix::process::kill_process(own, rustix::process::Signal::USR1)?;
    Ok(())
}

/// Runs the child and counts its system calls in steady state.
pub(crate) fn count() -> Result<u64> {
    let program = std::env::current_exe()?;
    let mut child = Command::new(program).arg("steady-state").stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    let mut ready = child.stdin.take().context("the child's input")?;
    let counted = trace(pid, || Ok(ready.write_all(b"x")?));
    if counted.is_err() {
        let _ = child.kill();
    }
    let _ = child.wait();
    counted
}

fn trace(pid: Pid, release: impl FnOnce() -> Result<()>) -> Result<u64> {
    ptrace::seize(pid, ptrace::Options::PTRACE_O_TRACESYSGOOD).context("tracing is not allowed")?;
    ptrace::interrupt(pid)?;
    let mut release = Some(release);
    let mut calls = None;
    let mut is_inside = false;
    loop {
        match waitpid(pid, None)? {
            WaitStatus::PtraceSyscall(_) => {
                is_inside = !is_inside;
                calls = calls.map(|calls: u64| calls + u64::from(is_inside));
            }
            // The second signal is itself sent by a system call, which was counted.
            WaitStatus::Stopped(_, Signal::SIGUSR1) => match calls {
                None => calls = Some(0),
                Some(calls) => {
                    ptrace::detach(pid, None)?;
                    return Ok(calls.saturating_sub(1));
                }
            },
            WaitStatus::PtraceEvent(..) => {
                if let Some(release) = release.take() {
                    release()?;
                }
            }
            WaitStatus::Exited(_, status) => bail!("the traced process ended with status {status}"),
            _ => {}
        }
        ptrace::syscall(pid, None)?;
    }
}
