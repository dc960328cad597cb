//! Operations for the property tests.

use execmem::{Error, Kind};
use quickcheck::{Arbitrary, Gen};

use crate::world::World;

/// One operation. `pick` chooses among what is held.
#[derive(Debug, Clone)]
pub enum Op {
    /// Allocate.
    Alloc {
        /// Kind, by index.
        kind: u8,
        /// Bytes.
        len: u32,
    },
    /// Allocate the kinds of a module in one step.
    Group {
        /// Bytes of each kind; 0 is not wanted.
        lens: [u32; 7],
    },
    /// Write or patch.
    Write {
        /// Which.
        pick: u16,
        /// Where.
        offset: u32,
        /// What, and how often.
        byte: u8,
    },
    /// Publish or seal.
    Advance {
        /// Which.
        pick: u16,
    },
    /// Free.
    Free {
        /// Which.
        pick: u16,
    },
    /// Free several in one step.
    FreeGroup {
        /// The first.
        pick: u16,
        /// How many.
        count: u8,
    },
    /// Cut in two.
    Split {
        /// Which.
        pick: u16,
        /// After how many bytes.
        len: u32,
    },
    /// Shorten.
    Truncate {
        /// Which.
        pick: u16,
        /// To how many bytes.
        len: u32,
    },
    /// Give empty blocks back.
    Shrink,
}

/// Sizes as they occur: mostly small, some of pages, a few of more than a large block.
fn size(g: &mut Gen) -> u32 {
    let exponent = match u8::arbitrary(g) % 16 {
        0..=9 => 4 + u32::from(u8::arbitrary(g) % 8),
        10..=14 => 10 + u32::from(u8::arbitrary(g) % 8),
        _ => 17 + u32::from(u8::arbitrary(g) % 6),
    };
    (1 << exponent) + u32::arbitrary(g) % (1 << exponent)
}

impl Arbitrary for Op {
    fn arbitrary(g: &mut Gen) -> Self {
        let pick = u16::arbitrary(g);
        match u8::arbitrary(g) % 16 {
            0..=4 => Op::Alloc { kind: u8::arbitrary(g), len: size(g) },
            5 => Op::Group { lens: core::array::from_fn(|_| if bool::arbitrary(g) { size(g) } else { 0 }) },
            6 | 7 => Op::Write { pick, offset: size(g), byte: u8::arbitrary(g) },
            8..=10 => Op::Advance { pick },
            11 | 12 => Op::Free { pick },
            13 => Op::FreeGroup { pick, count: u8::arbitrary(g) % 32 },
            14 => {
                [Op::Split { pick, len: size(g) }, Op::Truncate { pick, len: size(g) }][usize::from(pick) % 2].clone()
            }
            _ => Op::Shrink,
        }
    }
}

impl Op {
    /// Runs the operation. Operations on nothing do nothing.
    ///
    /// # Errors
    ///
    /// The engine's.
    pub fn run(&self, world: &mut World) -> Result<(), Error> {
        let picked = |pick: u16, world: &World| usize::from(pick).checked_rem(world.held.len());
        match *self {
            Op::Alloc { kind, len } => world.alloc(Kind::ALL[usize::from(kind) % Kind::COUNT], len.into()),
            Op::Group { lens } => {
                let wanted = Kind::MODULE.into_iter().zip(lens).map(|(kind, len)| (kind, u64::from(len)));
                let wanted: Vec<_> = wanted.filter(|(_, len)| *len > 0).collect();
                world.alloc_group(&wanted)
            }
            Op::Write { pick, offset, byte } => {
                let Some(index) = picked(pick, world) else { return Ok(()) };
                let held = &world.held[index];
                if held.kind() == Kind::RoData || held.kind() == Kind::InitRoData {
                    return Ok(());
                }
                let len = held.bytes.len();
                let start = usize::try_from(offset).unwrap() % len;
                let bytes = vec![byte; (len - start).min(usize::from(byte) * 4)];
                world.write(index, start as u64, &bytes)
            }
            Op::Advance { pick } => picked(pick, world).map_or(Ok(()), |index| world.advance(index)),
            Op::Free { pick } => picked(pick, world).map_or(Ok(()), |index| world.free(index)),
            Op::FreeGroup { pick, count } => {
                picked(pick, world).map_or(Ok(()), |index| world.free_group(index, count.into()))
            }
            Op::Split { pick, len } => picked(pick, world).map_or(Ok(()), |index| world.split(index, len.into())),
            Op::Truncate { pick, len } => picked(pick, world).map_or(Ok(()), |index| world.truncate(index, len.into())),
            Op::Shrink => {
                world.engine.shrink();
                Ok(())
            }
        }
    }
}
