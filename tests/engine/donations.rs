//! Memory that another caller mapped and gave: the slack behind the kernel's text.

use execmem::kinds::{Bpf, Text};
use execmem::{Error, Extent, Kind, PageSize, Protection};
use execmem_arch_x86::{TABLE, X86_FLIP};
use execmem_sim::Sim;
use execmem_tests::rig::Rig;

/// The last large page of a kernel's text, of which the image uses the first part.
const TEXT_END: u64 = 0xffff_ffff_8120_0000;
const LARGE: PageSize = PageSize::mib(2);

fn image() -> Extent {
    Extent::new(TEXT_END, LARGE.bytes()).expect("a page")
}

fn slack() -> Extent {
    image().part(0x12_3000, LARGE.bytes() - 0x12_3000).expect("slack")
}

fn engine() -> Rig {
    let sim = Sim::new(TABLE.machine());
    sim.map_kernel(image(), LARGE, Protection::ReadExecute).expect("memory");
    Rig::on(TABLE, sim)
}

#[test]
fn donated_memory_is_used_first_never_unmapped_and_counts_for_itself() {
    let engine = engine();
    engine.donate(Kind::Text, slack(), LARGE).expect("slack");
    let mut draft = engine.alloc::<Text>(5000).expect("room");
    assert!(slack().covers(draft.extent()));
    engine.write(&mut draft, 0, &[0x90; 100]).expect("a poke");
    let code = engine.publish(draft).expect("memory");
    assert_eq!(engine.stats().bytes_mapped(), 0, "nothing was mapped for it");
    assert_eq!(engine.pool_stats(Kind::Text).bytes_donated, slack().len());
    let beyond = engine.alloc::<Bpf>(LARGE.bytes()).expect("room");
    assert!(!slack().overlaps(beyond.extent()));
    engine.free(code).expect("ours");
    engine.free(beyond).expect("ours");
    engine.shrink();
    engine.audit().expect("audit");
    engine.audit_unused().expect("donated memory traps where it is free");
    assert!(engine.sim.fetch(slack().start(), &mut [0]).is_ok(), "still mapped");
}

#[test]
fn several_regions_can_be_donated() {
    let engine = engine();
    let (one, other) = (slack().part(0, 0x1000).expect("a page"), slack().part(0x4000, 0x1000).expect("a page"));
    engine.donate(Kind::Text, one, LARGE).expect("slack");
    engine.donate(Kind::Text, other, LARGE).expect("slack");
    let drafts: Vec<_> = (0..2).map(|_| engine.alloc::<Text>(0x1000).expect("room")).collect();
    assert_eq!(drafts.iter().map(|draft| draft.extent()).collect::<Vec<_>>(), [one, other]);
}

#[test]
fn donations_that_make_no_sense_are_refused() {
    let engine = engine();
    let bad = |extent| Error::BadDonation { extent, limit: 5 };
    let in_window = Extent::new(0xffff_ffff_c000_0000, 0x1000).expect("a page");
    assert_eq!(engine.donate(Kind::Text, in_window, LARGE), Err(bad(in_window)));
    let odd = slack().part(1, 64).expect("bytes");
    assert_eq!(engine.donate(Kind::Text, odd, LARGE), Err(bad(odd)));
    let unmapped = Extent::new(0xffff_ffff_9000_0000, 0x1000).expect("a page");
    assert!(matches!(engine.donate(Kind::Text, unmapped, LARGE), Err(Error::Backend { .. })));
    engine.donate(Kind::Text, slack(), LARGE).expect("slack");
    let again = slack().part(0x1000, 0x1000).expect("a page");
    assert_eq!(engine.donate(Kind::Text, again, LARGE), Err(bad(again)), "given before");
    let flipping = Rig::new(X86_FLIP);
    assert_eq!(flipping.donate(Kind::Text, slack(), LARGE), Err(bad(slack())), "its rights cannot flip");
}
