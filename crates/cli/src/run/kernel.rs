//! A module set laid out at kernel addresses: sizes by kind, in load order, init kinds freed after each module.

use anyhow::{Context as _, Result};

use execmem::{Draft, Engine, Kind, Live, Table};
use execmem_sim::{Control, Sim};

use super::report::{LayoutReport, Report};
use super::{baseline, progress};
use crate::arch;
use crate::workload::{ModuleSizes, Workload, module_set};

/// Lays the set out with the table of the run, and with the one like it that trades bytes for entries, if there is one:
/// whole blocks large, the tail of each kind in small pages.
pub(crate) fn run(table: &Table, workload: &Workload, report: &mut Report) -> Result<()> {
    let Some(modules) = &workload.modules else { return Ok(()) };
    let set = module_set(&modules.set)?;
    let name = report.arch.clone();
    let main = arch::table(&name)?.name;
    let (engine, machine) = lay_out(table, &set, main, &modules.set, report)?;
    report.add_engine(&engine);
    report.add_mappings(&engine.stats());
    report.wx_bytes += machine.wx_bytes();
    report.baseline_mappings += set.iter().map(baseline::module_pages).sum::<u64>();
    report.modules_loaded += set.len() as u64;
    if let Some(tail) = arch::tail_of(main) {
        lay_out(&tail.table, &set, tail.name, &modules.set, report)?;
    }
    Ok(())
}

fn lay_out(
    table: &Table,
    set: &[ModuleSizes],
    table_name: &'static str,
    set_name: &str,
    report: &mut Report,
) -> Result<(Engine<Sim>, Control)> {
    let sim = Sim::new(table.machine());
    let machine = sim.control();
    let engine = Engine::new(*table, sim)?;
    let bar = progress(set.len() as u64, "module set");
    for module in set {
        load(&engine, module).with_context(|| format!("module {}", module.name))?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    report.audited(engine.audit());
    report.audited(engine.audit_unused());
    let stats = engine.stats();
    report.module_layouts.push(LayoutReport {
        set: set_name.to_owned(),
        table: table_name,
        modules: set.len() as u64,
        mappings: machine.leaves().into_iter().map(|(page, count)| (page.bytes(), count)).collect(),
        bytes_requested: stats.kinds.values().map(|kind| kind.bytes_requested).sum(),
        bytes_mapped: stats.bytes_mapped(),
        baseline_mappings: set.iter().map(baseline::module_pages).sum(),
    });
    Ok((engine, machine))
}

/// The life of a module up to the end of its initialisation. What it keeps is never freed: the engine is looked at with
/// everything loaded, and thrown away.
fn load(engine: &Engine<Sim>, module: &ModuleSizes) -> Result<()> {
    let mut wanted: Vec<_> = Kind::MODULE.into_iter().zip(module.bytes).collect();
    if let Some((_, bytes)) = wanted.iter_mut().find(|(kind, _)| *kind == Kind::Data) {
        *bytes = bytes.next_multiple_of(8) + module.symbol_table_bytes;
    }
    wanted.retain(|(_, bytes)| *bytes > 0);
    let drafts: Vec<Draft> = engine.alloc_group(&wanted)?;
    let mut kept: Vec<Live> = Vec::new();
    for draft in drafts {
        kept.push(engine.publish(draft)?);
    }
    for live in kept {
        match live.kind() {
            Kind::InitText | Kind::InitData | Kind::InitRoData => engine.free(live)?,
            Kind::RoAfterInit => drop(engine.seal(live)?),
            _ => drop(live),
        }
    }
    Ok(())
}
