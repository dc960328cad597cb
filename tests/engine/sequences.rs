//! Sequences of operations on every table, everything checked after each.

use execmem::Error;
use execmem_tests::ops::Op;
use execmem_tests::tables::{all, named};
use execmem_tests::world::World;
use quickcheck::{QuickCheck, TestResult};

fn runs(name: &str, ops: &[Op]) -> Result<(), String> {
    let mut world = World::new(named(name).table);
    for (step, op) in ops.iter().enumerate() {
        match op.run(&mut world) {
            Ok(()) | Err(Error::BadCut { .. }) => {}
            Err(error) => return Err(format!("step {step}, {op:?}: {error}")),
        }
        world.check().map_err(|why| format!("step {step}, {op:?}: {why}"))?;
        if step % 16 == 0 {
            world.check_unused().map_err(|why| format!("step {step}, {op:?}: {why}"))?;
        }
    }
    world.clear()
}

/// One test a table.
macro_rules! stamp {
    ($($test:ident: $name:literal),* $(,)?) => {
        $(
            #[test]
            fn $test() {
                fn property(ops: Vec<Op>) -> TestResult {
                    runs($name, &ops).map_or_else(TestResult::error, |()| TestResult::passed())
                }
                QuickCheck::new().tests(30).quickcheck(property as fn(Vec<Op>) -> TestResult);
            }
        )*

        const STAMPED: &[&str] = &[$($name),*];
    };
}

stamp! {
    inv_01_03_05_hold_on_x86: "x86",
    inv_01_03_05_hold_on_x86_32: "x86-32",
    inv_01_03_05_hold_on_x86_flip: "x86-flip",
    inv_01_03_05_hold_on_x86_kasan: "x86-kasan",
    inv_01_03_05_hold_on_x86_legacy: "x86-legacy",
    inv_01_03_05_hold_on_x86_strict: "x86-strict",
    inv_01_03_05_hold_on_x86_strict_packed: "x86-strict-packed",
    inv_01_03_05_hold_on_x86_tail: "x86-tail",
    inv_01_03_05_hold_on_arm64_16k: "arm64-16k",
    inv_01_03_05_hold_on_arm64_4k: "arm64-4k",
    inv_01_03_05_hold_on_arm64_64k: "arm64-64k",
    inv_01_03_05_hold_on_powerpc_8xx: "powerpc-8xx",
    inv_01_03_05_hold_on_powerpc_8xx_16k: "powerpc-8xx-16k",
    inv_01_03_05_hold_on_powerpc_book3s32: "powerpc-book3s32",
    inv_01_03_05_hold_on_riscv64: "riscv64",
    inv_01_03_05_hold_on_arm: "arm",
    inv_01_03_05_hold_on_loongarch: "loongarch",
    inv_01_03_05_hold_on_loongarch_4k: "loongarch-4k",
    inv_01_03_05_hold_on_mips: "mips",
    inv_01_03_05_hold_on_nios2: "nios2",
    inv_01_03_05_hold_on_parisc: "parisc",
    inv_01_03_05_hold_on_s390: "s390",
    inv_01_03_05_hold_on_sparc64: "sparc64",
}

#[test]
fn every_table_has_a_stamp() {
    assert_eq!(all().map(|table| table.name).collect::<Vec<_>>(), STAMPED);
}
