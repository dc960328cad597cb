//! The allocator of ranges against the oracle of its own tests, by sequences of operations.

#![allow(redundant_imports, reason = "the oracle is written for a crate without a prelude of std")]

use std::ops::Range;

/// The oracle, and operations on both; range's tests make them by chance.
#[expect(dead_code, reason = "range's tests use more of it")]
#[path = "../../../../crates/range/src/tests/alone.rs"]
mod alone;
#[path = "../../../../crates/range/src/tests/naive.rs"]
mod naive;
#[path = "../../../../crates/range/src/tests/ops.rs"]
mod ops;

use alone::Alone;
use naive::Naive;
use ops::{Op, SPACE};

/// Bytes of an operation.
const BYTES: usize = 6;
/// The most operations of an input: the oracle takes time for each that grows with the space.
const MOST: usize = 256;

/// Six bytes as an operation.
fn operation(bytes: &[u8]) -> Op {
    let number = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]) % 1024;
    let (first, second) = (number(1), number(3));
    let quanta = 1 + if bytes[5] & 0x80 == 0 { second % 12 } else { second % 300 };
    match bytes[0] % 32 {
        0..=12 => Op::Alloc { quanta, align_log2: bytes[5] % 8, tag: u32::from(bytes[5] & 0x40) * u32::from(first) },
        // Nothing is withheld: where records are short such a hole takes in free memory, which the oracle does not.
        13..=20 => Op::Free { pick: first },
        21 | 22 => Op::FreeWrong { at: first },
        23 => Op::ReleaseWrong { at: first },
        24 | 25 => Op::Split { pick: first, quanta },
        26 => Op::Find { at: first },
        27 | 28 => Op::Add { start: first, quanta },
        29 => Op::Remove { start: first, quanta },
        30 => Op::Drain { start: first, quanta: second % 256 },
        _ => Op::Trim,
    }
}

pub(super) fn run(data: &[u8]) -> bool {
    let Some((first, rest)) = data.split_first() else { return false };
    let quantum_log2 = [4, 6, 12, 0][usize::from(*first) % 4];
    let mut arena = Alone::new(quantum_log2).expect("a quantum");
    let mut naive = Naive::new(1 << quantum_log2);
    let first = (SPACE / 2) << quantum_log2;
    arena.add(0..first).expect("a span");
    naive.add(0..first);
    let mut held: Vec<Range<u64>> = Vec::new();
    for (step, bytes) in rest.chunks_exact(BYTES).take(MOST).enumerate() {
        let op = operation(bytes);
        op.run(&mut arena, &mut naive, &mut held).unwrap_or_else(|why| panic!("step {step}, {op:?}: {why}"));
        arena.audit().unwrap_or_else(|broken| panic!("step {step}, {op:?}: {broken}"));
        if step % 8 == 0 {
            assert!(arena.ranges().eq(naive.ranges()), "step {step}, {op:?}: other ranges");
            assert_eq!(arena.free_len(), naive.free_len(), "step {step}, {op:?}");
        }
    }
    !held.is_empty()
}
