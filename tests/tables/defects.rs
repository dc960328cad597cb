//! Defects of other allocators of executable memory, each as a test that would find it here. They were found by reading
//! `mm/execmem.c` of Linux 6.17 and its neighbours.

use execmem::kinds::Text;
use execmem::{Extent, Kind, Table};
use execmem_tests::rig::Rig;
use execmem_tests::tables::{all, changed, named};
use execmem_types::{Descriptor, NamedTable, Placement};

fn engine(table: Table) -> Rig {
    Rig::new(table)
}

/// Bytes of the largest block of text.
fn block_of(table: &Table) -> u64 {
    table.descriptor(Kind::Text).granularities().next().expect("a granularity").bytes()
}

/// The table with text in the given stretches, in blocks from the first whole block of its own first window.
fn with_windows(named: &NamedTable, stretches: &[(u64, u64)]) -> Table {
    let block = block_of(&named.table);
    let near = named.table.descriptor(Kind::Text).windows[0].expect("a window");
    let first = near.start().next_multiple_of(block);
    let mut windows = stretches.iter().map(|(start, blocks)| Extent::new(first + start * block, blocks * block));
    changed(named.table, Kind::Text, |text: &mut Descriptor| {
        text.windows = [(); 3].map(|()| windows.next().flatten());
        text.placement = Placement::BottomUp;
    })
}

/// Tables whose text has a window of at least six large blocks, and grows by whole blocks.
fn roomy() -> impl Iterator<Item = &'static NamedTable> {
    all().filter(|named| {
        let text = named.table.descriptor(Kind::Text);
        let whole = text.growth == execmem_types::Growth::Whole;
        whole && text.windows[0].expect("a window").len() >= 7 * block_of(&named.table)
    })
}

#[test]
fn defect_1_a_free_area_that_is_large_enough_and_in_no_window_is_not_used() {
    let mut tables = 0;
    for named in roomy() {
        // Kinds share a window's addresses with text: what data leaves free behind the end of text's window is none of it.
        let table = with_windows(named, &[(0, 1), (2, 1)]);
        let block = block_of(&table);
        let engine = engine(table);
        let first = engine.alloc::<Text>(block).expect("the first window");
        let second = engine.alloc::<Text>(block).expect("the second window");
        assert!(engine.alloc::<Text>(block / 2).is_err(), "{}: the gap between the windows is no window", named.name);
        assert_eq!(second.address() - first.address(), 2 * block, "{}", named.name);
        tables += 1;
    }
    assert!(tables >= 15);
}

#[test]
fn defect_2_an_exact_fit_at_the_top_of_a_window_is_not_refused() {
    for named in roomy() {
        let table = with_windows(named, &[(0, 3)]);
        let engine = engine(table);
        let whole = engine.alloc::<Text>(3 * block_of(&table)).expect(named.name);
        assert_eq!(Some(whole.extent()), table.descriptor(Kind::Text).windows[0], "{}", named.name);
    }
    let top = Extent::between(0xffff_ffff_ffe0_0000, 1 << 64);
    let table = changed(execmem_arch_x86::TABLE, Kind::Data, |data| data.windows = [top, None, None]);
    let draft = engine(table).alloc_kind(Kind::Data, 2 << 20).expect("up to the last byte of the address space");
    assert_eq!(draft.extent().last(), u64::MAX);
}

#[test]
fn defect_3_a_free_stretch_that_begins_below_a_window_is_used_from_where_the_window_begins() {
    for named in roomy() {
        // The free addresses begin one block below the second window.
        let table = with_windows(named, &[(0, 1), (3, 2), (2, 3)]);
        let block = block_of(&table);
        let engine = engine(table);
        let drafts: Vec<_> = (0..3).map(|_| engine.alloc::<Text>(block).expect("room")).collect();
        let first = drafts[0].address();
        let at: Vec<_> = drafts.iter().map(|draft| (draft.address() - first) / block).collect();
        assert_eq!(at, [0, 3, 4], "{}", named.name);
        assert_eq!(engine.alloc::<Text>(block).map(|draft| (draft.address() - first) / block), Ok(2), "{}", named.name);
    }
}

#[test]
fn defect_4_alignment_is_that_of_the_kind_in_reused_space_too() {
    let engine = engine(execmem_arch_x86::X86_KASAN);
    let mut drafts: Vec<_> = (0..20).map(|_| engine.alloc::<Text>(100).expect("room")).collect();
    for _ in 0..10 {
        let freed = drafts.swap_remove(3);
        engine.free(freed).expect("ours");
        drafts.push(engine.alloc::<Text>(300).expect("room"));
    }
    assert!(drafts.iter().all(|draft| draft.address().is_multiple_of(0x8000)), "MODULE_ALIGN with KASAN");
}

#[test]
fn defect_5_a_hole_in_the_near_window_beats_a_lower_one_in_the_far_window() {
    for named in roomy() {
        // The far window is the lower one.
        let table = with_windows(named, &[(3, 2), (0, 2)]);
        let block = block_of(&table);
        if block < 4 * table.alignment(Kind::Text).bytes() {
            continue;
        }
        let engine = engine(table);
        let quarter = block / 4;
        let mut near: Vec<_> = (0..8).map(|_| engine.alloc::<Text>(quarter).expect("room")).collect();
        let mut far: Vec<_> = (0..8).map(|_| engine.alloc::<Text>(quarter).expect("room")).collect();
        assert!(far.iter().all(|draft| draft.address() < near[0].address()), "{}", named.name);
        let (low, high) = (far.swap_remove(2), near.swap_remove(5));
        let at = high.address();
        engine.free(low).expect("ours");
        engine.free(high).expect("ours");
        assert_eq!(engine.alloc::<Text>(quarter).expect("room").address(), at, "{}", named.name);
    }
}

#[test]
fn defect_6_the_free_head_of_a_large_allocation_goes_without_its_busy_tail() {
    for named in roomy() {
        let table = with_windows(named, &[(0, 6)]);
        let block = block_of(&table);
        let engine = engine(table);
        let mut head = engine.alloc::<Text>(4 * block).expect("room");
        let mut tail = engine.split(&mut head, 2 * block).expect("inside");
        engine.write(&mut tail, 0, b"busy").expect("a draft");
        engine.free(head).expect("ours");
        engine.shrink();
        let mut bytes = [0; 4];
        engine.read(&tail, 0, &mut bytes).expect("mapped");
        assert_eq!(&bytes, b"busy", "{}", named.name);
        let largest = engine.table().descriptor(Kind::Text).granularities().next().expect("one").bytes();
        let is_one_block = largest == table.machine().page().bytes();
        let mapped = if is_one_block { 4 * block } else { 2 * block };
        assert_eq!(engine.stats().bytes_mapped(), mapped, "{}: whole blocks only, all that are empty", named.name);
        engine.audit().expect("audit");
    }
}

#[test]
fn defect_7_no_range_is_lost_and_none_is_listed_twice_when_a_step_is_refused() {
    for named in roomy() {
        for refused in 0..6 {
            let table = with_windows(named, &[(0, 6)]);
            let block = block_of(&table);
            let engine = engine(table);
            let keep = engine.alloc::<Text>(block / 2).expect("room");
            engine.sim.refuse_once(refused);
            let outcome = engine.alloc::<Text>(2 * block);
            engine.sim.refuse_nothing();
            engine.audit().unwrap_or_else(|broken| panic!("{}, call {refused}: {broken}", named.name));
            outcome.into_iter().for_each(|draft| engine.free(draft).expect("ours"));
            let again = engine.alloc::<Text>(2 * block).expect("nothing was lost");
            engine.free(again).expect("ours");
            engine.free(keep).expect("ours");
            engine.shrink();
            assert_eq!(engine.stats().bytes_mapped(), 0, "{}, call {refused}", named.name);
        }
    }
}

#[test]
fn windows_that_overlap_hold_every_byte_once() {
    // The module area of powerpc contains the near window.
    for name in ["powerpc-8xx", "powerpc-8xx-16k", "powerpc-book3s32"] {
        let table = named(name).table;
        let [Some(near), Some(area), _] = table.descriptor(Kind::Text).windows else { panic!("two windows") };
        assert!(area.covers(near) && area != near);
        let engine = engine(table);
        let mut taken: u64 = 0;
        let mut far = 0;
        while let Ok(draft) = engine.alloc::<Text>(512 << 10) {
            assert!(!draft.is_far() || !near.covers(draft.extent()), "{name}: far only below the near window");
            taken += draft.extent().len();
            far += u64::from(draft.is_far());
        }
        assert_eq!(taken, area.len(), "{name}: every byte of the area");
        assert_eq!(far, (area.len() - near.len()) >> 19, "{name}");
        engine.audit().expect("audit");
    }
}

#[test]
fn unused_memory_of_every_machine_traps_in_its_byte_order() {
    let bytes = |name: &str| {
        let engine = engine(named(name).table);
        let draft = engine.alloc::<Text>(64).expect("room");
        let mut bytes = [0; 4];
        engine.sim.read(draft.extent().start(), &mut bytes).expect("mapped");
        bytes
    };
    assert_eq!(bytes("powerpc-8xx"), 0x7fe0_0008_u32.to_be_bytes());
    assert_eq!(bytes("arm64-64k"), 0xd420_2000_u32.to_le_bytes());
    assert_eq!(bytes("riscv64"), [2, 0x90, 2, 0x90]);
    assert_eq!(bytes("mips"), 0x0200_000d_u32.to_be_bytes());
    assert_eq!(bytes("sparc64"), 0x91d0_2005_u32.to_be_bytes());
    assert_eq!(bytes("s390"), [0; 4]);
    assert_eq!(bytes("x86-32"), [0xcc; 4]);
}
