//! Tables that a boot adjusts to anything: refused with the rule that they break, or an engine works by them.

use execmem::{Engine, Error, Extent, Kind, PageSize, Protection};
use execmem_sim::Nowhere;
use execmem_tests::tables;
use execmem_types::{Descriptor, Fill, Growth, Placement, Plan, PowerOfTwo, Row, Seal, Unused};

/// Bytes of a change.
const BYTES: usize = 8;

/// Changes one fact of a plan, by eight bytes: of which kind, which fact, and what it becomes.
fn change(plan: &mut Plan, bytes: &[u8]) {
    let kind = Kind::ALL[usize::from(bytes[0]) % Kind::COUNT];
    let index = usize::from(bytes[2]);
    let power = PowerOfTwo::from_log2(bytes[3] % 64);
    let start = u64::from_le_bytes([0, 0, 0, bytes[4], bytes[5], bytes[6], bytes[6], bytes[6]]) << (bytes[7] & 7);
    let extent = Extent::new(start, power.bytes());
    match bytes[1] % 8 {
        0 => plan.machine.leaves[index % 8] = (bytes[7] & 1 == 0).then_some(power),
        1 => plan.machine.anchor = extent,
        2 => plan.machine.limits.executable_segment = (bytes[7] & 1 == 0).then_some(power),
        3 => plan.machine.limits.shadow_scale_log2 = bytes[3],
        4 => {
            let with = Kind::ALL[index % Kind::COUNT];
            plan.set(kind, Row::sharing(with, power, PowerOfTwo::from_log2(bytes[4] % 64)));
        }
        5 => plan.flip(),
        _ => plan.own_mut(kind).into_iter().for_each(|own| describe(own, bytes, (power, extent))),
    }
}

/// Changes one fact of a row.
fn describe(own: &mut Descriptor, bytes: &[u8], (power, extent): (PageSize, Option<Extent>)) {
    let (index, choice) = (usize::from(bytes[4]), usize::from(bytes[5]));
    let rights =
        [Protection::NoAccess, Protection::ReadOnly, Protection::ReadWrite, Protection::ReadExecute][choice % 4];
    match bytes[2] % 15 {
        0 => own.windows[index % 3] = extent,
        1 => own.windows[index % 3] = None,
        2 => own.placement = [Placement::BottomUp, Placement::TopDown][choice % 2],
        3 => own.granularities[index % 4] = (choice % 4 > 0).then_some(power),
        4 => own.growth = Growth::ALL[choice % 3].0,
        5 => own.alignment = power,
        6 => own.quantum = power,
        7 => own.protection = rights,
        8 => own.fill = [Fill::Direct, Fill::Poke, Fill::Flip][choice % 3],
        9 => own.unused = [Unused::Trap, Unused::Zero][choice % 2],
        10 => own.seal = [Seal::Never, Seal::Pages, Seal::Block][choice % 3],
        11 => own.is_anchored ^= true,
        12 => own.is_shadowed ^= true,
        13 => own.is_exclusive ^= true,
        _ => own.lead = u16::from_le_bytes([bytes[4], bytes[5]]),
    }
}

pub(super) fn run(data: &[u8]) -> bool {
    let Some((first, rest)) = data.split_first() else { return false };
    let Some(named) = tables::all().nth(usize::from(*first) % tables::all().count()) else { return false };
    let adjusted = named.table.adjusted(|plan| rest.chunks_exact(BYTES).take(16).for_each(|bytes| change(plan, bytes)));
    let table = match adjusted {
        Ok(table) => table,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    let engine = match Engine::<Nowhere>::new(table, Nowhere) {
        Ok(engine) => engine,
        Err(error) => panic!("{}: a table that keeps every rule makes no engine: {error}", named.name),
    };
    for kind in Kind::ALL {
        use_kind(&engine, kind);
    }
    engine.audit().expect("audit");
    true
}

/// An allocation of a kind lies where the table says, or there is no room.
fn use_kind(engine: &Engine<Nowhere>, kind: Kind) {
    for len in [1, 100, 5000, 3 << 20] {
        match engine.alloc_kind(kind, len) {
            Ok(draft) => {
                let (table, extent) = (engine.table(), draft.extent());
                assert!(table.descriptor(kind).windows().any(|window| window.covers(extent)), "{kind} at {extent}");
                let alignment = table.alignment(kind).bytes();
                assert!(extent.start().is_multiple_of(alignment) && extent.len() >= len, "{kind} at {extent}");
                engine.free(draft).expect("an allocation of this engine");
            }
            Err(Error::Exhausted { .. } | Error::OutOfMemory | Error::TooLarge { .. }) => {}
            Err(error) => panic!("{kind}, {len} bytes: {error}"),
        }
    }
}
