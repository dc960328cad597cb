//! Functions and modules of ours in the memory of this process: installed, executed, measured, freed.

use anyhow::{Context as _, Result};
use execmem::kinds::Bpf;
use execmem::{Engine, Kind, Live, Memory, Table};
use execmem_clients::module::{Loader, Module};
use execmem_linux::{Linux, Options, proc};
use execmem_sim::{Random, Sim};

use super::report::{Checked, Report, TextReport};
use super::{baseline, progress};
use crate::args::BackendChoice;
use crate::execute;
use crate::generate::{self, IMPORTED};
use crate::workload::{self, Functions, Workload};

/// What the function that modules import adds.
const ADDEND: u32 = 1000;

/// Runs the process's part of a load on the memory chosen.
pub(crate) fn run(choice: BackendChoice, table: &Table, workload: &Workload, report: &mut Report) -> Result<()> {
    match choice {
        BackendChoice::Linux => {
            let linux = Linux::reserve(&Options::default())?;
            let engine = Engine::new(linux.table()?, linux)?;
            let runner = Runner { engine: &engine, executes: generate::runs_here() };
            runner.run(workload, report, measure_process)
        }
        BackendChoice::Sim => {
            let sim = Sim::new(table.machine());
            let machine = sim.control();
            let engine = Engine::new(*table, sim)?;
            let runner = Runner { engine: &engine, executes: false };
            runner.run(workload, report, |engine, report| {
                report.add_mappings(&engine.stats());
                report.wx_bytes += machine.wx_bytes();
                Ok(())
            })
        }
    }
}

/// What the kernel says about this process: rights, and the sizes of the pages our window is mapped with.
pub(super) fn measure_process(engine: &Engine<Linux>, report: &mut Report) -> Result<()> {
    let window = engine.facts().window();
    let areas = proc::areas().context("reading /proc/self/smaps")?;
    report.wx_bytes +=
        areas.iter().filter(|area| area.is_writable && area.is_executable).map(|area| area.extent.len()).sum::<u64>();
    let mut text = TextReport { bytes_mapped: 0, bytes_in_large_pages: 0 };
    let large = 2 << 20;
    let small = rustix::param::page_size() as u64;
    for area in areas.iter().filter(|area| window.covers(area.extent) && area.is_readable) {
        *report.mappings.entry(large).or_default() += area.large_bytes / large;
        *report.mappings.entry(small).or_default() += area.resident_bytes.saturating_sub(area.large_bytes) / small;
        if area.is_executable {
            text.bytes_mapped += area.extent.len();
            text.bytes_in_large_pages += area.large_bytes;
        }
    }
    report.mappings.retain(|_, count| *count > 0);
    report.text = Some(text);
    Ok(())
}

/// One function that is installed.
struct Function {
    code: Live<Bpf>,
    tag: u32,
    len: u32,
}

struct Runner<'e, B> {
    engine: &'e Engine<B>,
    /// Whether the code can be executed here; if not, it is read back and compared.
    executes: bool,
}

impl<B: Memory<Kind>> Runner<'_, B> {
    fn run(
        &self,
        workload: &Workload,
        report: &mut Report,
        measure: impl Fn(&Engine<B>, &mut Report) -> Result<()>,
    ) -> Result<()> {
        let functions = self.functions(&workload.functions, report)?;
        let modules = self.objects(workload.objects.count, report)?;
        report.add_engine(self.engine);
        measure(self.engine, report)?;
        report.audited(self.engine.audit());
        for function in &functions {
            report.baseline_mappings += baseline::function_pages(function.len.into());
        }
        for module in &modules {
            report.baseline_mappings += module.extents().map(|(_, extent)| extent.len().div_ceil(4096)).sum::<u64>();
        }
        for function in functions {
            self.engine.free(function.code)?;
        }
        modules.into_iter().for_each(|module| module.unload());
        report.audited(self.engine.audit_unused());
        self.engine.shrink();
        report.audited(self.engine.audit());
        Ok(())
    }

    /// Installs functions, replaces some, and calls every one of them.
    fn functions(&self, load: &Functions, report: &mut Report) -> Result<Vec<Function>> {
        let mut random = Random::new(load.seed);
        let mut installed = Vec::new();
        let bar = progress(u64::from(load.count) + u64::from(load.churn), "functions");
        for tag in 0..load.count {
            installed.push(self.install(tag, workload::size(&mut random, &load.sizes))?);
            bar.inc(1);
        }
        for tag in load.count..load.count.saturating_add(load.churn) {
            let victim = workload::below(&mut random, load.count) as usize;
            let fresh = self.install(tag, workload::size(&mut random, &load.sizes))?;
            let old = std::mem::replace(&mut installed[victim], fresh);
            self.check(&old, &mut report.functions)?;
            self.engine.free(old.code)?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        for function in &installed {
            self.check(function, &mut report.functions)?;
        }
        report.functions.made += u64::from(load.count) + u64::from(load.churn);
        Ok(installed)
    }

    fn install(&self, tag: u32, len: u32) -> Result<Function> {
        let code = generate::function(tag, len as usize);
        let mut draft = self.engine.alloc::<Bpf>(code.len() as u64)?;
        self.engine.write(&mut draft, 0, &code)?;
        Ok(Function { code: self.engine.publish(draft)?, tag, len })
    }

    fn check(&self, function: &Function, checked: &mut Checked) -> Result<()> {
        let is_right = if self.executes {
            execute::call(function.code.address(), 0) == generate::result_of(function.tag)
        } else {
            let code = generate::function(function.tag, function.len as usize);
            let mut bytes = vec![0; code.len()];
            self.engine.read(&function.code, 0, &mut bytes)?;
            bytes == code
        };
        checked.checked += 1;
        checked.wrong += u64::from(!is_right);
        Ok(())
    }

    /// Loads modules of ours, runs their init functions, and calls into them.
    fn objects(&self, count: u32, report: &mut Report) -> Result<Vec<Module<&'_ Engine<B>>>> {
        let mut modules = Vec::new();
        if count == 0 || (!self.executes && self.engine.table().machine().name != "x86") {
            return Ok(modules);
        }
        let mut imported = self.engine.alloc::<Bpf>(generate::adder(ADDEND).len() as u64)?;
        self.engine.write(&mut imported, 0, &generate::adder(ADDEND))?;
        let imported = self.engine.publish(imported)?;
        let address = imported.address();
        let loader = Loader::new(self.engine)?;
        for number in 1..=count {
            let data = generate::module(number)?;
            let coming = loader.load(&data, &|name: &str| (name == IMPORTED).then_some(address))?;
            if self.executes {
                let init = coming.init().context("init_module")?;
                report.objects.wrong += u64::from(execute::call(init, 0) != 0);
            }
            let module = coming.finish_or_unload()?;
            for name in ["answer", "through_pointer"] {
                let entry = module.names().symbol(name).context(name)?;
                let is_right =
                    !self.executes || execute::call(entry, number) == generate::module_result(number, number, ADDEND);
                report.objects.checked += 1;
                report.objects.wrong += u64::from(!is_right);
            }
            report.objects.made += 1;
            modules.push(module);
        }
        self.engine.free(imported)?;
        Ok(modules)
    }
}
