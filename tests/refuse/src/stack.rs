//! The stack of every operation: kernels have 16 KiB for everything, or 8.

use anyhow::{Result, ensure};
use execmem::Table;

use crate::costs::{self, Deepest};
use crate::heap::{self, Refuse};
use crate::memory::Nothing;
use crate::paint::deepest_of;
use crate::scene::Scene;
use crate::scripts::{self, Op};
use crate::world::World;

/// Most bytes of an operation in a release build, its results on the caller's frame included.
const LIMIT: usize = 4096;

/// Tables of every way to fill, to seal and to grow.
pub(crate) const TABLES: &[Table] = &[
    execmem_arch_x86::TABLE,
    execmem_arch_x86::X86_FLIP,
    execmem_arch_x86::X86_STRICT,
    execmem_arch_x86::X86_TAIL,
    execmem_arch_arm64::ARM64_4K,
    execmem_arch_powerpc_8xx::POWERPC_BOOK3S32,
];

/// Requests for heap that are refused, each in a run of its own.
const PLANS: u64 = 160;

fn run(deepest: &mut Deepest, table: Table, defers: bool, script: &[Op], plan: Refuse) -> Result<()> {
    let mut world = World::<Nothing>::new(table, defers);
    heap::plan(plan);
    for op in script {
        let is_written = matches!(op, Op::Publish(slot) if world.is_written_when_live(*slot));
        let (outcome, bytes) = deepest_of(|| heap::armed(|| world.run(*op)));
        ensure!(outcome.is_ok() || plan != Refuse::Nothing || op.reads_memory(), "{op:?}: {outcome:?}");
        costs::note_stack(deepest, *op, defers, is_written, bytes);
    }
    heap::plan(Refuse::Nothing);
    Ok(())
}

/// Measures every operation of every script, on memory that takes no room itself.
pub(crate) fn measure() -> Result<()> {
    let mut deepest = Deepest::new();
    heap::note_nothing();
    for table in TABLES {
        for defers in [false, true] {
            for script in [scripts::everything(), scripts::large(), scripts::crowd(), scripts::cuts()] {
                run(&mut deepest, *table, defers, &script, Refuse::Nothing)?;
            }
            // What undoes other things goes its own ways.
            for nth in 0..PLANS {
                run(&mut deepest, *table, defers, &scripts::everything(), Refuse::From(nth))?;
                run(&mut deepest, *table, defers, &scripts::large(), Refuse::Once(nth))?;
            }
        }
    }
    println!("{:52} {:>8}", "call", "bytes");
    for (name, bytes) in &deepest {
        println!("{name:52} {bytes:8}");
    }
    let over: Vec<_> = deepest.iter().filter(|(_, bytes)| **bytes > LIMIT).collect();
    ensure!(over.is_empty(), "more than {LIMIT} bytes of stack: {over:?}");
    costs::check_stack(&deepest)?;
    println!("no operation of the engine takes more than {LIMIT} bytes of stack");
    Ok(())
}
