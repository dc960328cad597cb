//! Functions that Cranelift compiles, in its own memory and in execmem's: one by one, each finalized and called before
//! the next.

mod peers;
mod recipe;

use anyhow::{Context as _, Result, ensure};
use execmem_linux::Publish;

use crate::bench::Mode;
use crate::measure::{Measures, Memory, cpu_time, ns_per, ns_per_call};
use crate::random::{Random, SEED};
use peers::{Cranelift, CraneliftEach, Execmem, ExecmemEach, Jit};
use recipe::{ARGUMENT, Recipe, Workshop};

/// How many functions, and whether they stay.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    functions: usize,
    pub(crate) stays: bool,
}

impl Plan {
    /// All of them.
    pub(crate) const ALL: [Plan; 2] = [
        Plan { name: "C1", about: "10,000 functions compiled by Cranelift, all live", functions: 10_000, stays: true },
        Plan { name: "C2", about: "200,000 × compile, call, free with Cranelift", functions: 200_000, stays: false },
    ];

    /// The same, small.
    pub(crate) const fn quick(self) -> Plan {
        Plan { functions: self.functions / 100, ..self }
    }

    /// The peers.
    pub(crate) const fn peers(&self) -> &'static [&'static str] {
        if self.stays {
            &["cranelift-jit", "execmem-provider", "execmem-flip", "execmem-proc-mem", "execmem"]
        } else {
            &["cranelift-jit", "execmem-flip", "execmem-proc-mem", "execmem-each", "execmem"]
        }
    }

    /// Runs it for one peer in this process.
    pub(crate) fn run(&self, peer: &str, mode: Mode) -> Result<Option<Measures>> {
        match (peer, self.stays) {
            ("cranelift-jit", true) => self.run_jit(mode, Cranelift::new),
            ("cranelift-jit", false) => self.run_jit(mode, CraneliftEach::new),
            ("execmem-provider", _) => self.run_jit(mode, Cranelift::provided),
            ("execmem-flip", _) => self.run_jit(mode, || Execmem::new(Publish::Flip)),
            ("execmem-proc-mem", _) => self.run_jit(mode, || Execmem::new(Publish::ProcMem)),
            ("execmem-each", _) => self.run_jit(mode, ExecmemEach::new),
            ("execmem", _) => self.run_jit(mode, || Execmem::new(Publish::Poke)),
            _ => None.with_context(|| format!("no peer {peer} in {}", self.name)),
        }
    }

    fn run_jit<J: Jit>(&self, mode: Mode, new: fn() -> Result<J>) -> Result<Option<Measures>> {
        match (mode, self.stays) {
            (Mode::Measure, true) => self.measure_live(new).map(Some),
            (Mode::Measure, false) => self.measure_replaced(new).map(Some),
            (Mode::Count | Mode::Bare, stays) => {
                let mut workshop = Workshop::default();
                // What is set up once a process does not count.
                let mut jit = new()?;
                if mode == Mode::Count {
                    execmem_syscalls::wait_for_counter()?;
                    execmem_syscalls::mark()?;
                }
                let functions = self.compile(&mut jit, &mut workshop, stays)?;
                if mode == Mode::Count {
                    execmem_syscalls::mark()?;
                }
                jit.finish(functions.into_iter().map(|(function, ..)| function).collect())?;
                Ok(None)
            }
        }
    }

    /// Compiles every function, calls it, and frees it unless it stays. Returns those that stay, with their addresses
    /// and answers.
    fn compile<J: Jit>(
        &self,
        jit: &mut J,
        workshop: &mut Workshop,
        stays: bool,
    ) -> Result<Vec<(J::Function, u64, u64)>> {
        let mut random = Random::new(SEED);
        let mut functions = Vec::with_capacity(if stays { self.functions } else { 0 });
        for _ in 0..self.functions {
            let recipe = Recipe::new(&mut random);
            let (function, address) = jit.compile(workshop, &recipe)?;
            let answer = recipe.answer(ARGUMENT);
            // SAFETY: a function of one integer that touches no memory was finalized there just now.
            ensure!(unsafe { execmem_linux::call(address, [ARGUMENT, 0, 0, 0]) } == answer, "a wrong answer");
            if stays {
                functions.push((function, address, answer));
            } else {
                jit.free(function)?;
            }
        }
        Ok(functions)
    }

    fn measure_live<J: Jit>(&self, new: fn() -> Result<J>) -> Result<Measures> {
        let mut workshop = Workshop::default();
        let before = Memory::now()?;
        let start = cpu_time();
        let mut jit = new()?;
        let functions = self.compile(&mut jit, &mut workshop, true)?;
        let spent = cpu_time() - start;
        let now = Memory::now()?;
        let call = |index: usize| {
            let (_, address, answer) = &functions[index];
            // SAFETY: as in `compile`; nothing was freed.
            (unsafe { execmem_linux::call(*address, [ARGUMENT, 0, 0, 0]) }, *answer)
        };
        let measures = Measures::from([
            ("cpu_ns_per_function".into(), ns_per(spent, self.functions)),
            ("resident_bytes".into(), now.resident.saturating_sub(before.resident) as f64),
            ("large_mapped_bytes".into(), (now.large - before.large) as f64),
            ("wx_bytes".into(), now.writable_and_executable as f64),
            ("ns_per_call".into(), ns_per_call(functions.len(), call)?),
        ]);
        jit.finish(functions.into_iter().map(|(function, ..)| function).collect())?;
        Ok(measures)
    }

    fn measure_replaced<J: Jit>(&self, new: fn() -> Result<J>) -> Result<Measures> {
        // What the C library keeps after the first compilations is none of anybody's growth.
        let warm = Plan { functions: self.functions / 100, ..*self };
        let mut workshop = Workshop::default();
        let mut round = |plan: &Plan| {
            let mut jit = new()?;
            plan.compile(&mut jit, &mut workshop, false)?;
            jit.finish(Vec::new())
        };
        round(&warm)?;
        let before = Memory::now()?;
        let start = cpu_time();
        round(self)?;
        let spent = cpu_time() - start;
        let now = Memory::now()?;
        Ok(Measures::from([
            ("cpu_ns_per_function".into(), ns_per(spent, self.functions)),
            ("resident_growth_bytes".into(), now.resident as f64 - before.resident as f64),
            ("wx_bytes".into(), now.writable_and_executable as f64),
        ]))
    }
}
