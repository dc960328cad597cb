//! Calls from far code and to far code: through veneers, to where they should lead, for every machine that has them.

use execmem_tests::rig::Rig;
use std::collections::BTreeSet;

use execmem::kinds::Text;
use execmem::{Extent, Kind, Table};
use execmem_arch_arm64::{Boot, Boxes};
use execmem_clients::Error;
use execmem_clients::veneer::{Branch, Installed, Island, install};
use execmem_tests::tables::{all, changed, named};
use execmem_types::{NamedTable, Placement};
use quickcheck::quickcheck;

use super::interpret::follow;

/// Bytes of the functions: room for three branches.
const BODY: usize = 96;
/// Where the branches are.
const OFFSETS: [u64; 3] = [0, 32, 64];

fn engine(table: Table) -> Rig {
    Rig::new(table)
}

/// Where a branch in live code leads.
fn leads(engine: &Rig, site: u64) -> Option<u64> {
    let fetch = |address: u64, len: usize| {
        let mut bytes = vec![0; len];
        engine.sim.fetch(address, &mut bytes).ok().map(|()| bytes)
    };
    follow(engine.table().machine().name, site, &fetch)
}

/// Installs a function that calls two targets, and jumps to the second again.
fn function(engine: &Rig, targets: [u64; 2]) -> Result<Installed<Text>, Error> {
    let mut body = vec![0; BODY];
    engine.table().machine().trap().fill(0, &mut body);
    let ways = [(targets[0], true), (targets[1], true), (targets[1], true)];
    let branches: Vec<_> =
        OFFSETS.into_iter().zip(ways).map(|(offset, (target, is_call))| Branch { offset, target, is_call }).collect();
    install(engine, &body, &branches)
}

/// Checks that every branch leads where it should.
fn check(engine: &Rig, installed: &Installed<Text>, targets: [u64; 2]) {
    let found = OFFSETS.map(|offset| leads(engine, installed.code.address() + offset));
    assert_eq!(found, [Some(targets[0]), Some(targets[1]), Some(targets[1])], "{installed:x?}");
}

/// Machines with a kernel and veneers, with room for a few functions near it and the rest of their far window, if they
/// have one.
fn near_and_far() -> impl Iterator<Item = (&'static NamedTable, Table)> {
    all()
        .filter(|named| {
            named.table.machine().anchor.is_some() && !named.table.machine().instructions.veneers.is_empty()
        })
        .filter_map(|named| {
            let text = named.table.descriptor(Kind::Text);
            let page = text.granularities().next().expect("a granularity");
            let far = text.windows().find(|window| named.table.is_far(Kind::Text, *window))?;
            let near = text.windows[0].expect("near");
            let start = page.round_up(near.start())?;
            let far = Extent::between(far.start(), near.start().min(far.last()).into()).unwrap_or(far);
            let table = changed(named.table, Kind::Text, |text| {
                text.windows = [Extent::new(start, page.bytes()), Some(far), None];
                text.placement = Placement::BottomUp;
            });
            Some((named, table))
        })
}

/// The first and the last place of a kernel that code can call.
fn ends(table: &Table) -> [u64; 2] {
    let kernel = table.machine().anchor.expect("a kernel");
    [kernel.start(), kernel.last() & !0xf]
}

#[test]
fn near_code_has_no_veneers_and_far_code_has_one_a_target() {
    let mut names = BTreeSet::new();
    for (named, table) in near_and_far() {
        let engine = engine(table);
        let targets = ends(&table);
        let near = function(&engine, targets).expect(named.name);
        assert_eq!(
            (near.veneers, near.code.extent().len()),
            (0, table.quantum(Kind::Text).round_up(96).expect("small"))
        );
        check(&engine, &near, targets);
        let _rest = engine.alloc::<Text>(table.descriptor(Kind::Text).windows[0].expect("near").len() / 2);
        let mut far = function(&engine, targets).expect(named.name);
        let mut all = vec![near];
        while !far.code.is_far() {
            check(&engine, &far, targets);
            all.push(far);
            far = function(&engine, targets).expect(named.name);
        }
        assert_eq!(far.veneers, 2, "{}: {far:x?}", named.name);
        check(&engine, &far, targets);
        engine.audit().expect("audit");
        names.insert(named.name);
    }
    for name in ["arm64-4k", "arm64-16k", "arm64-64k", "x86-strict", "arm"] {
        assert!(names.contains(name), "{name} in {names:?}");
    }
}

#[test]
fn veneers_of_powerpc_lead_to_any_address_from_the_far_end_of_the_module_area() {
    for name in ["powerpc-8xx", "powerpc-8xx-16k", "powerpc-book3s32"] {
        let named = named(name);
        let [_, Some(area), _] = named.table.descriptor(Kind::Text).windows else { panic!("two windows") };
        let table = changed(named.table, Kind::Text, |text| {
            text.windows[0] = Extent::new(0xbff8_0000, 0x8_0000);
            text.placement = Placement::BottomUp;
        });
        let engine = engine(table);
        let fill = engine.alloc::<Text>(0x8_0000).expect("the near window");
        let targets = [ends(&table)[1], 0xdead_8000];
        let far = function(&engine, targets).expect("room");
        assert!(far.code.is_far() && far.code.address() < area.start() + 0x8_0000);
        assert_eq!(far.veneers, 2);
        check(&engine, &far, targets);
        engine.free(far.code).expect("ours");
        engine.free(fill).expect("ours");
        engine.shrink();
        assert_eq!(engine.stats().bytes_mapped(), 0);
    }
}

#[test]
fn the_anchor_reaches_far_code_through_an_island() {
    for (named, table) in near_and_far() {
        let engine = engine(table);
        let mut island = Island::<_, Text>::new(&engine, 2).expect("room near");
        let [first, last] = ends(&table);
        let targets = [0x1234_5678 & !0xf, 0x4000_0000];
        for target in targets {
            let entry = island.lead(target).expect("room");
            assert_eq!(island.lead(target).expect("known"), entry);
            for site in [first, last] {
                let call = named.table.machine().instructions.call.expect("a call").encode(site, entry);
                assert!(call.is_some(), "{}: {site:#x} to {entry:#x}", named.name);
            }
            assert_eq!(leads(&engine, entry), Some(target), "{}", named.name);
        }
        assert!(matches!(island.lead(0x5000_0000), Err(Error::NoVeneer { .. })), "both entries are taken");
        let entry = island.lead(targets[0]).expect("known");
        island.forget(targets[0]).expect("known");
        assert_eq!(leads(&engine, entry), None, "it traps");
        assert_eq!(island.lead(0x5000_0000), Ok(entry));
        island.free();
        engine.shrink();
        engine.audit_unused().expect("audit");
        assert_eq!(engine.stats().bytes_mapped(), 0);
    }
}

#[test]
fn an_island_is_near_or_there_is_none() {
    let (_, table) = near_and_far().next().expect("a machine");
    let engine = engine(table);
    let near = table.descriptor(Kind::Text).windows[0].expect("near");
    let _fill = engine.alloc::<Text>(near.len()).expect("all of it");
    assert!(matches!(Island::<_, Text>::new(&engine, 4), Err(Error::FarIsland { .. })));
    assert_eq!(engine.kind_stats(Kind::Text).live, 1);
}

#[test]
fn what_cannot_be_reached_is_an_error_and_leaves_nothing() {
    let named = named("s390");
    let engine = engine(named.table);
    let error = function(&engine, [0x1000, 0x2000]).expect_err("4 GiB away, and no veneers");
    assert!(matches!(error, Error::NoVeneer { target: 0x1000, .. }), "{error}");
    let branches = [Branch { offset: 94, target: ends(&named.table)[0], is_call: true }];
    let error = install::<Text, _, _>(&engine, &[0; BODY], &branches).expect_err("outside");
    assert_eq!(error, Error::OutsideCode { offset: 94 });
    engine.shrink();
    assert_eq!(engine.stats().bytes_mapped(), 0);
}

#[test]
fn veneers_are_installed_where_text_cannot_be_poked() {
    for (_, table) in near_and_far() {
        let table = table.without_poking().expect("every rule");
        let engine = engine(table);
        let _fill = engine.alloc::<Text>(table.descriptor(Kind::Text).windows[0].expect("near").len()).expect("near");
        let far = function(&engine, ends(&table)).expect("room");
        assert!(far.code.is_far());
        check(&engine, &far, ends(&table));
    }
}

quickcheck! {
    /// For every seed of KASLR: code lands in a window of the boot, and each of its calls to the kernel arrives.
    fn every_placed_call_is_within_reach_or_has_a_veneer(place: u64, mib: u64, seeds: (u64, u64), full: bool) -> bool {
        ["arm64-4k", "arm64-16k", "arm64-64k"].into_iter().all(|name| {
            let named = named(name);
            let page = named.table.machine().page();
            let start = 0xffff_8800_0000_0000 + place % (1 << 45) / 0x1_0000 * 0x1_0000;
            let kernel = Extent::new(start, (1 + mib % 100) << 20).expect("an image");
            let boxes = if full { Boxes::random_full(kernel, page, seeds.0) } else { Boxes::random(kernel, page, [seeds.0, seeds.1]) };
            let table = Boot { kernel, boxes }.apply(named.table).expect("every rule");
            let engine = engine(table);
            let targets = ends(&table);
            let first = function(&engine, targets).expect("room");
            check(&engine, &first, targets);
            first.code.is_far() == (first.veneers > 0) && (full || !first.code.is_far())
        })
    }

    /// The same at the far end: windows of a few pages, so that code goes to the 2 GiB box.
    fn every_far_call_has_a_veneer_for_every_seed(place: u64, mib: u64, seeds: (u64, u64)) -> bool {
        let named = named("arm64-4k");
        let start = 0xffff_8800_0000_0000 + place % (1 << 45) / 0x1_0000 * 0x1_0000;
        let kernel = Extent::new(start, (1 + mib % 100) << 20).expect("an image");
        let boxes = Boxes::random(kernel, named.table.machine().page(), [seeds.0, seeds.1]);
        let booted = Boot { kernel, boxes }.apply(named.table).expect("every rule");
        let plt = boxes.plt.expect("small");
        let end = if kernel.start() - plt.start() > plt.len() / 2 { plt.start() } else { plt.last() - 0xf_ffff };
        let table = changed(booted, Kind::Text, |text| {
            let near = text.windows[0].expect("near");
            text.granularities = [Some(named.table.machine().page()), None, None, None];
            text.windows = [Extent::new(near.start(), 4096), Extent::new(end, 1 << 20), None];
        });
        let engine = engine(table);
        let _fill = engine.alloc::<Text>(4096).expect("near");
        let targets = ends(&table);
        let far = function(&engine, targets).expect("room");
        check(&engine, &far, targets);
        far.code.is_far() && far.veneers == 2
    }
}
