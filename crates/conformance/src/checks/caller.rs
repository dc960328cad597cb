//! Law 9: where `check_caller` refuses, everything does.

use execmem_types::{Access, Mapping, Protection, SyncScope, Trap};

use super::{Check, check};
use crate::Law::TheCallerIsAsked as LAW;
use crate::Need;
use crate::bench::{Bench, Checked, Stop, claim};
use crate::report::Call;

pub(super) const CHECKS: [Check; 1] =
    [check(LAW, "a_caller_that_is_refused_is_refused_everywhere", is_refused_everywhere)];

/// The calls that must be refused, by number from 1 on. 0 is none.
const CALLS: [Call; 11] = [
    Call::CheckCaller,
    Call::Map,
    Call::Unmap,
    Call::Protect,
    Call::Store,
    Call::Poke,
    Call::FillByStore,
    Call::FillByPoke,
    Call::Read,
    Call::SyncCode,
    Call::Collapse,
];

fn is_refused_everywhere(bench: &Bench<'_>) -> Checked {
    let (mapped, absent) = (bench.extent(bench.small(), 0, 1), bench.extent(bench.small(), 2, 1));
    bench.map(mapped, bench.small(), Protection::ReadWrite, Trap::byte(0x5a))?;
    let body = || {
        let Err(refusal) = bench.memory.check_caller() else { return number(Call::CheckCaller) };
        let mapping = Mapping::new(absent, bench.small(), Protection::ReadWrite, Trap::ZERO);
        let answers = [
            (Call::Map, bench.memory.map(&mapping)),
            (Call::Protect, bench.memory.protect(mapped, Protection::ReadOnly)),
            (Call::Store, bench.memory.write(Access::Store, mapped.start(), &[1])),
            (Call::Poke, bench.memory.write(Access::Poke, mapped.start(), &[1])),
            (Call::FillByStore, bench.memory.fill(Access::Store, mapped, Trap::ZERO)),
            (Call::FillByPoke, bench.memory.fill(Access::Poke, mapped, Trap::ZERO)),
            (Call::Read, bench.memory.read(mapped.start(), &mut [0])),
            (Call::SyncCode, bench.memory.sync_code(mapped, SyncScope::Fresh)),
            (Call::Collapse, bench.memory.collapse(mapped, bench.small())),
            (Call::Unmap, bench.memory.unmap(mapped)),
        ];
        let other = answers.into_iter().find(|(_, answer)| *answer != Err(refusal));
        other.map_or(0, |(call, _)| number(call))
    };
    let found = bench.probe.where_refused(&body).ok_or(Stop::Needs(Need::RefusedCaller))?;
    if let Some(call) = usize::from(found).checked_sub(1).and_then(|index| CALLS.get(index)) {
        return claim(false, *call, mapped.start(), "it answers otherwise than check_caller");
    }
    bench.holds(mapped, Trap::byte(0x5a), Call::CheckCaller, "a caller that is refused changed bytes")?;
    bench.unmap(mapped)
}

fn number(call: Call) -> u8 {
    (1..).zip(CALLS).find(|(_, other)| *other == call).map_or(u8::MAX, |(number, _)| number)
}
