//! Sequences of operations on every table, everything checked after each.

use execmem::Error;
use execmem_arch_x86::TABLES;
use execmem_tests::ops::Op;
use execmem_tests::world::World;
use quickcheck::{QuickCheck, TestResult};

fn runs(table: usize, ops: &[Op]) -> Result<(), String> {
    let mut world = World::new(TABLES[table].table);
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

fn property<const TABLE: usize>(ops: Vec<Op>) -> TestResult {
    match runs(TABLE, &ops) {
        Ok(()) => TestResult::passed(),
        Err(why) => TestResult::error(format!("table {}: {why}", TABLES[TABLE].name)),
    }
}

/// One test a table.
macro_rules! stamp {
    ($($index:literal: $test:ident),* $(,)?) => { $(
        #[test]
        fn $test() {
            QuickCheck::new().tests(60).quickcheck(property::<$index> as fn(Vec<Op>) -> TestResult);
        }
    )* };
}

stamp! {
    0: inv_01_03_05_hold_on_the_first_table,
    1: inv_01_03_05_hold_on_the_second_table,
    2: inv_01_03_05_hold_on_the_third_table,
    3: inv_01_03_05_hold_on_the_fourth_table,
    4: inv_01_03_05_hold_on_the_fifth_table,
    5: inv_01_03_05_hold_on_the_sixth_table,
}

#[test]
fn the_stamped_tables_are_there() {
    assert_eq!(TABLES.len(), 8);
}
