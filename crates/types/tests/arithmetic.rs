//! Extents, powers of two, rights, words and paddings at their limits.

use execmem_types::{ByteOrder, Extent, InstructionSet, PowerOfTwo, Protection, Reach, Rights};

fn extent(start: u64, len: u64) -> Extent {
    Extent::new(start, len).expect("it has bytes")
}

#[test]
fn an_extent_is_aligned_if_start_and_length_are() {
    assert!(extent(0x1000, 0x2000).is_aligned(0x1000) && extent(0, 0x1000).is_aligned(0x1000));
    assert!(!extent(0x1008, 0x2000).is_aligned(0x1000), "its start is not");
    assert!(!extent(0x1000, 0x2008).is_aligned(0x1000), "its length is not");
    assert!(!extent(0x1008, 0x2008).is_aligned(0x10) && extent(0x1008, 0x2008).is_aligned(8));
    assert!(extent(1, 1).is_aligned(1));
}

#[test]
fn an_intersection_is_what_both_have() {
    let [low, high] = [extent(0x1000, 0x1000), extent(0x1800, 0x1000)];
    assert_eq!((low.intersection(high), high.intersection(low)), (Some(extent(0x1800, 0x800)), low.intersection(high)));
    assert_eq!(low.intersection(extent(0x2000, 1)), None, "they touch");
    assert_eq!(low.intersection(extent(0x1100, 0x10)), Some(extent(0x1100, 0x10)));
    assert_eq!(low.intersection(low), Some(low));
    let top = extent(u64::MAX, 1);
    assert_eq!(top.intersection(extent(u64::MAX - 1, 2)), Some(top));
}

#[test]
fn a_part_lies_inside() {
    let whole = extent(0x1000, 0x10);
    assert_eq!((whole.part(0, 0x10), whole.part(0xf, 1)), (Some(whole), Some(extent(0x100f, 1))));
    assert_eq!(
        (whole.part(0x10, 0), whole.part(0x10, 1), whole.part(8, 9), whole.part(8, 0)),
        (None, None, None, None)
    );
    assert_eq!(whole.part(u64::MAX, 1), None);
    assert!(whole.contains(0x1000) && whole.contains(0x100f) && !whole.contains(0x1010) && !whole.contains(0xfff));
}

#[test]
fn the_larger_and_the_smaller_of_two_powers() {
    let [small, large] = [4, 6].map(PowerOfTwo::from_log2);
    assert_eq!((small.max(large), large.max(small), small.min(large), large.min(small)), (large, large, small, small));
    assert_eq!((small.max(small), small.min(small)), (small, small));
}

#[test]
fn rights_that_are_there_already_stay() {
    let twice = Rights::only(Protection::ReadWrite).and(Protection::ReadWrite);
    assert_eq!(twice, Rights::only(Protection::ReadWrite));
    assert!(twice.and(Protection::NoAccess).contain(Protection::NoAccess));
    for protection in [Protection::ReadOnly, Protection::ReadWrite, Protection::ReadExecute] {
        assert!(Rights::ALL.contain(protection) && Rights::only(protection).contain(protection));
        assert_eq!(twice.contain(protection), protection == Protection::ReadWrite);
    }
}

#[test]
fn a_word_stands_in_memory_in_the_order_of_the_machine_and_is_read_back() {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        assert_eq!(order.word_of(order.bytes_of(0x0102_0304)), 0x0102_0304);
    }
    assert_eq!(
        (ByteOrder::Little.bytes_of(0x0102_0304), ByteOrder::Big.word_of([1, 2, 3, 4])),
        ([4, 3, 2, 1], 0x0102_0304)
    );
}

#[test]
fn paddings_are_of_the_longest_instructions_that_fit() {
    let set = InstructionSet { nops: &[&[0x90], &[0x66, 0x90], &[1, 2, 3, 4]], ..InstructionSet::unknown(64) };
    let padded = |len: usize| {
        let mut bytes = [0xee; 8];
        set.pad(&mut bytes[..len]).map(|()| bytes)
    };
    assert_eq!(padded(0), Some([0xee; 8]), "nothing is padded by nothing");
    assert_eq!(padded(7), Some([1, 2, 3, 4, 0x66, 0x90, 0x90, 0xee]));
    assert_eq!(padded(8), Some([1, 2, 3, 4, 1, 2, 3, 4]));
    let words = InstructionSet { nops: &[&[1, 2, 3, 4]], ..set };
    assert_eq!((words.pad(&mut [0; 6]), words.pad(&mut [0; 4])), (None, Some(())));
}

#[test]
fn an_extent_reaches_as_far_as_its_last_branch() {
    // Displacements count from the end of five bytes, so the last branch of an extent starts four before its last byte.
    let reach = Reach::Relative { base: 5, min: -0x80, max: 0x7f };
    let site = extent(0, 5);
    assert!(reach.connects(site, extent(0x7b, 5)), "one branch each, at 0: nothing lies before it");
    assert!(!reach.connects(site, extent(0x85, 5)));
    assert!(!reach.connects(extent(0, 0x60), extent(0x90, 5)), "its first branch is too far");
    assert!(!reach.connects(extent(0x90, 0x60), extent(0x60, 5)), "its last branch is too far");
    assert!(reach.connects(extent(0x40, 0x30), extent(0x60, 0x10)));
    let short_back = Reach::Relative { base: 5, min: -0x10, max: 0x7f };
    assert!(short_back.connects(extent(0x90, 5), extent(0x88, 5)));
    assert!(!short_back.connects(extent(0x90, 0x60), extent(0x88, 5)), "only its last branch is too far");
    let long_back = Reach::Relative { base: 5, min: -0x100, max: 0x7f };
    assert!(long_back.connects(extent(0x100, 4), extent(0x180, 5)), "less than a branch starts where it starts");
    assert!(!long_back.connects(extent(0x100, 4), extent(0x180, 6)));
}
