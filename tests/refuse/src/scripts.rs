//! What is done with an engine: operations, and scripts of them.

use execmem::{Kind, Owner};

/// An operation. Numbers are places for what is held.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Op {
    Make,
    Alloc(usize, Kind, u64),
    AllocFor(usize, Kind, u64, Owner),
    /// From what is mapped.
    AllocWithin(usize, Kind, u64),
    Write(usize),
    Read(usize),
    Publish(usize),
    Seal(usize),
    PatchWord(usize),
    PatchLong(usize),
    /// And where the second part goes.
    Split(usize, usize, u64),
    Truncate(usize, u64),
    /// The same where the cut needs nothing new, so that all that could ask for heap is the free.
    TruncateAgain(usize, u64),
    Free(usize),
    AllocGroup(&'static [(Kind, u64)]),
    PublishGroup,
    FreeGroup,
    OwnAndDrop(usize),
    Reserve(Kind, u64, usize),
    /// Takes the next allocation of what was reserved.
    Take(usize),
    Donate(u64),
    Find(usize),
    Stats,
    Audit,
    AuditUnused,
    Maintain,
    Shrink,
    ShrinkExclusively,
}

/// The sections of a module.
const GROUP: &[(Kind, u64)] =
    &[(Kind::Text, 9000), (Kind::Data, 100_000), (Kind::RoData, 700), (Kind::InitText, 64), (Kind::InitData, 5)];

/// A life of everything.
pub(crate) fn everything() -> Vec<Op> {
    let mut ops = vec![Op::Make, Op::Stats];
    for (slot, &kind) in Kind::ALL.iter().enumerate() {
        ops.extend([Op::Alloc(slot, kind, 5000), Op::Write(slot), Op::Publish(slot), Op::Find(slot), Op::Read(slot)]);
        if kind.is_code() {
            ops.extend([Op::PatchWord(slot), Op::PatchLong(slot)]);
        }
        if kind.is_sealable() {
            ops.push(Op::Seal(slot));
        }
    }
    ops.extend([Op::Stats, Op::Audit, Op::AuditUnused]);
    ops.extend([Op::Alloc(20, Kind::Text, 300_000), Op::Alloc(21, Kind::Text, 100), Op::Alloc(22, Kind::Data, 70_000)]);
    ops.extend([Op::Split(0, 30, 4096), Op::Split(22, 31, 8192), Op::Truncate(22, 4096), Op::Truncate(31, 4096)]);
    ops.extend([Op::Alloc(25, Kind::Data, 70_000), Op::Split(25, 26, 8192), Op::Free(26), Op::TruncateAgain(25, 4096)]);
    ops.extend([
        Op::Free(25),
        Op::Alloc(27, Kind::Data, 1000),
        Op::Free(27),
        Op::AllocWithin(27, Kind::Data, 1000),
        Op::Alloc(28, Kind::Text, 1000),
        Op::Free(28),
        Op::Maintain,
        Op::AllocWithin(28, Kind::Text, 1000),
        Op::Reserve(Kind::RoData, 1000, 50),
        Op::Take(29),
        Op::Free(29),
        Op::Donate(0),
        Op::Donate(1),
        Op::Alloc(23, Kind::Text, 300),
    ]);
    ops.extend([Op::AllocGroup(GROUP), Op::Audit, Op::PublishGroup, Op::FreeGroup]);
    ops.extend([Op::AllocGroup(GROUP), Op::FreeGroup]);
    ops.extend([Op::Alloc(24, Kind::Bpf, 100), Op::OwnAndDrop(24), Op::Maintain]);
    ops.extend((0..10).chain(20..24).chain([27, 28, 30, 31]).map(Op::Free));
    ops.extend([Op::Stats, Op::Audit, Op::Maintain, Op::Shrink, Op::ShrinkExclusively, Op::Stats]);
    ops
}

/// Requests of several blocks, and blocks of which one is drained in favour of the others.
pub(crate) fn large() -> Vec<Op> {
    let mut ops = vec![Op::Make];
    for mib in 1..=11 {
        ops.extend([Op::Alloc(0, Kind::Text, 5000), Op::Alloc(1, Kind::Text, mib << 20), Op::Free(0), Op::Free(1)]);
        ops.push(Op::Shrink);
    }
    ops.extend([Op::AllocGroup(&[(Kind::Text, 3 << 20), (Kind::Data, 10 << 20)]), Op::PublishGroup, Op::FreeGroup]);
    ops.extend((40..60).map(|slot| Op::Alloc(slot, Kind::Text, 700_000)));
    ops.extend((40..60).filter(|slot| slot % 3 != 0).map(Op::Free));
    ops.extend([Op::Audit, Op::Alloc(61, Kind::Text, 600_000), Op::Maintain]);
    ops.extend((40..60).filter(|slot| slot % 3 == 0).chain([61]).map(Op::Free));
    ops.extend([Op::Audit, Op::Shrink, Op::ShrinkExclusively]);
    ops
}

/// Many small allocations of as many owners, then half of them, then none.
pub(crate) fn crowd() -> Vec<Op> {
    let owner = |slot: usize| Owner(u16::try_from(slot).unwrap_or(0) + 1);
    let mut ops = vec![Op::Make];
    ops.extend((0..1000).map(|slot| Op::AllocFor(slot, Kind::Text, 64, owner(slot))));
    ops.extend((0..1000).step_by(2).map(Op::Free));
    ops.extend([Op::Audit, Op::Stats, Op::Shrink]);
    ops.extend((1..1000).step_by(2).map(Op::Free));
    ops.extend([Op::Shrink, Op::ShrinkExclusively]);
    ops
}

/// Memory cut into many pieces, between which holes are left, and allocations that were reserved.
pub(crate) fn cuts() -> Vec<Op> {
    const PIECES: usize = 150;
    const BYTES: u64 = 8192;
    let mut ops = vec![Op::Make];
    for kind in [Kind::Text, Kind::Data, Kind::RoAfterInit] {
        ops.extend([Op::Alloc(0, kind, BYTES * (PIECES as u64 + 2)), Op::Publish(0)]);
        for (piece, rest) in (1..=PIECES).zip((2..PIECES as u64 + 2).rev()) {
            ops.extend([Op::Split(0, piece, BYTES * rest), Op::Truncate(piece, BYTES / 2)]);
        }
        ops.push(Op::Audit);
        ops.extend((0..=PIECES).map(Op::Free));
        ops.push(Op::Maintain);
    }
    ops.push(Op::Reserve(Kind::Text, 5000, PIECES));
    ops.extend((0..PIECES).map(Op::Take));
    ops.extend((0..PIECES).map(Op::Free));
    ops.extend([Op::ShrinkExclusively, Op::Audit]);
    ops
}
