//! The stack of every operation: kernels have 16 KiB for everything, or 8.

use anyhow::{Result, ensure};
use execmem::Table;
use execmem_sim::Nowhere;

use crate::costs::{self, Deepest};
use crate::heap::{self, Refuse};
use crate::modules::{self, Loading};
use crate::paint::deepest_of;
use crate::scene::Scene;
use crate::scripts;
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

/// Runs a script, and notes how much each operation took under the name of what it calls.
fn run<S: Scene>(
    deepest: &mut Deepest,
    mut scene: S,
    script: &[S::Op],
    plan: Refuse,
    call: impl Fn(&S, S::Op) -> Option<&'static str>,
) -> Result<()> {
    heap::plan(plan);
    for op in script {
        let call = call(&scene, *op);
        let (outcome, bytes) = deepest_of(|| heap::armed(|| scene.run(*op)));
        ensure!(outcome.is_ok() || plan != Refuse::Nothing || S::reads_memory(*op), "{op:?}: {outcome:?}");
        if let Some(call) = call {
            let most = deepest.entry(call).or_insert(0);
            *most = bytes.max(*most);
        }
    }
    heap::plan(Refuse::Nothing);
    Ok(())
}

fn measure_engine(deepest: &mut Deepest, table: Table, defers: bool) -> Result<()> {
    let mut run = |script: &[_], plan| {
        let call = |world: &World<Nowhere>, op| costs::call_on(world, op, defers);
        run(deepest, World::<Nowhere>::new(table, defers), script, plan, call)
    };
    for script in [scripts::everything(), scripts::large(), scripts::crowd(), scripts::cuts()] {
        run(&script, Refuse::Nothing)?;
    }
    // What undoes other things goes its own ways.
    for nth in 0..PLANS {
        run(&scripts::everything(), Refuse::From(nth))?;
        run(&scripts::large(), Refuse::Once(nth))?;
    }
    Ok(())
}

fn measure_loader(deepest: &mut Deepest) -> Result<()> {
    let plans = (0..PLANS).flat_map(|nth| [Refuse::From(nth), Refuse::Once(nth)]);
    for plan in plans.chain([Refuse::Nothing]) {
        run(deepest, Loading::<Nowhere>::new(), &modules::script(), plan, |_, op| Some(op.call()))?;
    }
    Ok(())
}

/// Measures every operation of every script of engine and loader, on memory that takes no room itself.
pub(crate) fn measure() -> Result<()> {
    let mut deepest = Deepest::new();
    heap::note_nothing();
    for table in TABLES {
        for defers in [false, true] {
            measure_engine(&mut deepest, *table, defers)?;
        }
    }
    measure_loader(&mut deepest)?;
    println!("{:52} {:>8}", "call", "bytes");
    for (name, bytes) in &deepest {
        println!("{name:52} {bytes:8}");
    }
    let over: Vec<_> = deepest.iter().filter(|(_, bytes)| **bytes > LIMIT).map(|(call, _)| *call).collect();
    ensure!(over.is_empty(), "more than {LIMIT} bytes of stack: {over:?}");
    costs::check_stack(&deepest)?;
    println!("no operation of engine and loader takes more than {LIMIT} bytes of stack");
    Ok(())
}
