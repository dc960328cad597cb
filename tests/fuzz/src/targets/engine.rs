//! The engine on every machine against a model of every byte, by sequences of operations.

use execmem::Error;
use execmem_tests::ops::Op;
use execmem_tests::tables;
use execmem_tests::world::World;

/// Bytes of an operation.
const BYTES: usize = 8;
/// The most operations of an input, and the most bytes that are held: the model has each.
const MOST: usize = 64;
const MOST_HELD: usize = 4 << 20;
/// After so many operations everything is checked, which reads all that is held.
const CHECKED: usize = 8;

/// A length: mostly small, some of pages, a few of more than a large block.
fn size(exponent: u8, rest: u16) -> u32 {
    let exponent = match exponent % 16 {
        small @ 0..=9 => 4 + u32::from(small),
        pages @ 10..=14 => 6 + u32::from(pages),
        _ => 19,
    };
    (1 << exponent) + u32::from(rest) % (1 << exponent)
}

/// Eight bytes as an operation.
fn operation(bytes: &[u8]) -> Op {
    let number = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let (pick, rest) = (number(1), number(3));
    let len = size(bytes[5], rest);
    match bytes[0] % 16 {
        0..=4 => Op::Alloc { kind: bytes[6], len },
        5 => Op::Group { lens: std::array::from_fn(|kind| if bytes[6] >> kind & 1 == 0 { 0 } else { len }) },
        6 | 7 => Op::Write { pick, offset: len, byte: bytes[6] },
        8..=10 => Op::Advance { pick },
        11 | 12 => Op::Free { pick },
        13 if bytes[7] & 1 == 0 => Op::FreeGroup { pick, count: bytes[6] % 32 },
        13 => Op::Shrink,
        14 => Op::Split { pick, len },
        _ => Op::Truncate { pick, len },
    }
}

pub(super) fn run(data: &[u8]) -> bool {
    let Some((first, rest)) = data.split_first() else { return false };
    let Some(named) = tables::all().nth(usize::from(*first) % tables::all().count()) else { return false };
    let mut world = World::new(named.table);
    for (step, bytes) in rest.chunks_exact(BYTES).take(MOST).enumerate() {
        let op = operation(bytes);
        let held: usize = world.held.iter().map(|held| held.bytes.len()).sum();
        if held > MOST_HELD {
            break;
        }
        match op.run(&mut world) {
            Ok(()) | Err(Error::BadCut { .. }) => {}
            Err(error) => panic!("{}: step {step}, {op:?}: {error}", named.name),
        }
        if step % CHECKED == 0 {
            world.check().unwrap_or_else(|why| panic!("{}: step {step}, {op:?}: {why}", named.name));
        }
    }
    let is_any = !world.held.is_empty();
    world.clear().unwrap_or_else(|why| panic!("{}: at the end: {why}", named.name));
    is_any
}
