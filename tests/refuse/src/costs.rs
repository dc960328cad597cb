//! The table of costs in the documentation of the engine, held to what calls do.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use execmem::Table;
use execmem_sim::{Nowhere, Sim};

use crate::facts::{self, Fact, Facts};
use crate::heap::{self, Refuse};
use crate::memory::{Exempt, Make};
use crate::scene::{Heap, Scene as _};
use crate::scripts::{self, Op};
use crate::stack::TABLES;
use crate::world::World;

/// The documentation.
const TEXT: &str = include_str!("../../../crates/engine/src/costs.md");

/// The columns.
const HEAD: &str = "| call | heap | memory | locks | interrupts off | stack |";

/// A row of the table.
#[derive(Debug)]
struct Row {
    call: &'static str,
    heap: &'static str,
    memory: &'static str,
    locks: &'static str,
    interrupts_off: &'static str,
    stack: usize,
}

/// The rows of the table.
fn rows() -> Result<Vec<Row>> {
    let (_, table) = TEXT.split_once(HEAD).context("no table of costs")?;
    let lines = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    lines.map(row).collect()
}

fn row(line: &'static str) -> Result<Row> {
    let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
    let &[call, heap, memory, locks, interrupts_off, stack] = cells.as_slice() else { bail!("{line}: six cells") };
    let stack = stack.parse().with_context(|| format!("{line}: the stack"))?;
    Ok(Row { call, heap, memory, locks, interrupts_off, stack })
}

/// The row of what an operation calls on a world.
pub(crate) fn call_on<B: Make>(world: &World<B>, op: Op, defers: bool) -> Option<&'static str> {
    call_of(op, defers, matches!(op, Op::Publish(slot) if world.is_written_when_live(slot)))
}

/// The row of an operation: what it calls. `None` if that is several things.
fn call_of(op: Op, defers: bool, is_written_when_live: bool) -> Option<&'static str> {
    Some(match (op, defers) {
        (Op::Make, _) => "`new`, `with_locks`",
        (Op::Alloc(..) | Op::AllocFor(..), _) => "`alloc`, `alloc_kind`, `alloc_for`, `request`",
        (Op::AllocWithin(..), _) => "`request` without growth",
        (Op::Reserve(..), _) => "`reserve`",
        (Op::Take(_), _) => "`Reservation::take`",
        (Op::AllocGroup(_), _) => "`alloc_group`",
        (Op::Write(_), _) => "`write`",
        (Op::Read(_), _) => "`read`, `read_at`",
        (Op::Publish(_), _) if is_written_when_live => "`publish` of data",
        (Op::Publish(_), _) => "`publish` of code and constants",
        (Op::PublishGroup, _) => "`publish_group`",
        (Op::PatchWord(_), _) => "`patch`, `patch_literal`",
        (Op::PatchLong(_), _) => "`patch_unexecuted`",
        (Op::Seal(_), _) => "`seal`",
        (Op::Split(..), _) => "`split`",
        (Op::Truncate(..) | Op::TruncateAgain(..), false) => "`truncate`",
        (Op::Truncate(..) | Op::TruncateAgain(..), true) => "`truncate`, deferring",
        (Op::Free(_) | Op::FreeGroup, false) => "`free`, `free_group`",
        (Op::Free(_) | Op::FreeGroup, true) => "`free`, `free_group`, deferring",
        (Op::OwnAndDrop(_), _) => return None,
        (Op::Find(_), _) => "`find`",
        (Op::Stats, _) => "`kind_stats`, `pool_stats`, `stats`, `stats_into`",
        (Op::Audit, _) => "`audit`",
        (Op::AuditUnused, _) => "`audit_unused`",
        (Op::Donate(_), _) => "`donate`",
        (Op::Maintain, _) => "`maintain`",
        (Op::Shrink, _) => "`shrink`",
        (Op::ShrinkExclusively, _) => "`shrink_exclusively`",
    })
}

/// What calls did, by row.
type Seen = BTreeMap<&'static str, Facts>;

fn observe<B: Make>(seen: &mut Seen, table: Table, defers: bool, script: &[Op]) -> Result<()> {
    let mut world = World::<B>::new(table, defers);
    heap::plan(Refuse::Nothing);
    for op in script {
        let call = call_on(&world, *op, defers);
        let before = heap::seen();
        facts::take();
        let outcome = heap::armed(|| world.run(*op));
        let mut done = facts::take();
        if heap::seen() > before {
            done = done.and(Fact::Heap);
        }
        ensure!(outcome.is_ok() || World::<B>::reads_memory(*op), "{op:?}: {outcome:?}");
        if let Some(call) = call {
            let known = seen.entry(call).or_default();
            *known = known.union(done);
        }
    }
    Ok(())
}

/// Does everything on every table, and compares what that did with the documentation.
pub(crate) fn check() -> Result<()> {
    let mut seen = Seen::new();
    for table in TABLES {
        for defers in [false, true] {
            observe::<Exempt<Sim>>(&mut seen, *table, defers, &scripts::everything())?;
            observe::<Exempt<Sim>>(&mut seen, *table, defers, &scripts::crowd())?;
            observe::<Exempt<Sim>>(&mut seen, *table, defers, &scripts::cuts())?;
            observe::<Exempt<Nowhere>>(&mut seen, *table, defers, &scripts::large())?;
        }
    }
    let rows = rows()?;
    let mut wrong: Vec<_> = rows.iter().filter_map(|row| contradiction(row, *seen.get(row.call)?)).collect();
    wrong.extend(
        seen.keys().filter(|call| rows.iter().all(|row| row.call != **call)).map(|call| format!("{call}: no row")),
    );
    wrong.extend(rows.iter().filter(|row| !seen.contains_key(row.call)).map(|row| format!("{}: not done", row.call)));
    ensure!(wrong.is_empty(), "the table of costs is wrong:\n{}", wrong.join("\n"));
    println!("{} calls cost what the documentation says", rows.len());
    Ok(())
}

/// What a row says and is not so.
fn contradiction(row: &Row, seen: Facts) -> Option<String> {
    let heap = match (seen.has(Fact::Heap), is_refused_for_heap(row.call)) {
        // Bookkeeping grows now and then: which call meets that, no script foresees.
        (false, true) if row.heap == "asks" => "asks",
        (false, _) => "–",
        (true, true) => "asks",
        (true, false) => "does without",
    };
    let memory = listed(seen, &[(Fact::Copies, "copies"), (Fact::Tells, "tells"), (Fact::Maps, "maps")]);
    let locks = listed(seen, &[(Fact::Spin, "spin"), (Fact::Sleep, "sleep")]);
    let waits = seen.has(Fact::Tells) || seen.has(Fact::Maps) || seen.has(Fact::Sleep);
    let interrupts_off = match (waits, seen == Facts::default()) {
        (true, _) => "no",
        (false, false) => "yes",
        (false, true) => "in any handler",
    };
    let stated = [row.heap, row.memory, row.locks, row.interrupts_off];
    let found = [heap, &memory, &locks, interrupts_off];
    (stated != found).then(|| format!("{}: {stated:?} is stated, and it is {found:?}", row.call))
}

/// Whether a call fails when the heap refuses.
fn is_refused_for_heap(call: &str) -> bool {
    let is_of = |op: &Op| [false, true].into_iter().any(|defers| call_of(*op, defers, false) == Some(call));
    let scripts = [scripts::everything(), scripts::crowd(), scripts::cuts(), scripts::large()];
    scripts.iter().flatten().any(|op| is_of(op) && World::<Nowhere>::heap(*op) == Heap::Needed)
}

fn listed(seen: Facts, names: &[(Fact, &str)]) -> String {
    let words: Vec<_> = names.iter().filter(|(fact, _)| seen.has(*fact)).map(|(_, name)| *name).collect();
    if words.is_empty() { "–".to_owned() } else { words.join(", ") }
}

/// Bytes of stack that operations take, by what they call.
pub(crate) type Deepest = BTreeMap<&'static str, usize>;

/// Compares what was measured with the documentation.
pub(crate) fn check_stack(deepest: &Deepest) -> Result<()> {
    for row in rows()? {
        let bytes = *deepest.get(row.call).with_context(|| format!("{} was not measured", row.call))?;
        ensure!(bytes <= row.stack, "{} takes {bytes} bytes of stack, and {} are stated", row.call, row.stack);
    }
    Ok(())
}
