//! A JIT with two tiers: kinds of its own, so that reports say which tier takes what, and code near what it calls.
#![expect(clippy::print_stdout, reason = "an example says what it did")]

use execmem::{Engine, Extent, PageSize, PowerOfTwo};
use execmem_arch_x86::MACHINE_X86;
use execmem_sim::Sim;
use execmem_types::{Descriptor, Growth, Plan, Table};

execmem_types::kinds! {
    /// What a JIT with two tiers keeps.
    pub enum Jit, types in jit {
        /// Code that was compiled at once.
        Baseline: Code = "baseline",
        /// Code that was compiled well.
        Optimised: Code = "optimised",
        /// Small pieces between them.
        Stubs: Code = "stubs",
        /// What code loads.
        Literals: Constants = "literals",
    }
}

const PAGES: [PageSize; 2] = [PageSize::mib(2), PageSize::kib(4)];
const NEAR: Extent = Extent::between(0x4000_0000, 0x6000_0000).expect("a window");
const LINE: PowerOfTwo = PowerOfTwo::from_log2(6);
const WORDS: PowerOfTwo = PowerOfTwo::from_log2(4);

static TABLE: Table<Jit> = Plan::new(MACHINE_X86)
    .own(jit::Baseline, Descriptor { growth: Growth::Small, ..code() })
    .shares(jit::Stubs, jit::Baseline, WORDS, WORDS)
    // Hot code in lines and large pages of its own.
    .own(jit::Optimised, code().with_units(LINE, LINE))
    .own(jit::Literals, Descriptor::constants(NEAR, &PAGES))
    .table();

/// Code of a process: nothing anchors it to a kernel.
const fn code() -> Descriptor {
    Descriptor { is_anchored: false, ..Descriptor::code(NEAR, &PAGES) }
}

fn main() -> Result<(), execmem::Error> {
    let engine = Engine::<_, Jit>::new(TABLE, Sim::new(TABLE.machine()))?;
    let literals = engine.publish(engine.alloc::<jit::Literals>(64)?)?;
    let mut functions = Vec::new();
    for number in 0..200 {
        functions.push(engine.alloc_kind(Jit::Baseline, 100 + number % 7 * 50)?);
    }
    // Ten of them are hot: they are compiled again, and the first version goes.
    for slot in functions.iter_mut().step_by(20) {
        let better = engine.alloc_kind(Jit::Optimised, 300)?;
        engine.free(core::mem::replace(slot, better))?;
    }
    let stub = engine.publish(engine.alloc::<jit::Stubs>(16)?)?;
    for (kind, stats) in engine.stats().kinds.iter() {
        println!("{kind}: {} live, {} bytes", stats.live, stats.bytes_granted);
    }
    let baseline = engine.pool_stats(Jit::Baseline).bytes_mapped;
    assert!(baseline < 256 << 10, "a block begins with as many small pages as are needed: {baseline}");
    assert_eq!(engine.pool_stats(Jit::Optimised).bytes_mapped, 2 << 20);
    engine.free_group(&mut functions)?;
    engine.free(stub)?;
    engine.free(literals)?;
    engine.shrink();
    assert_eq!(engine.stats().bytes_mapped(), 0);
    Ok(())
}
