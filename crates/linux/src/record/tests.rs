//! Extents judged by every page they touch, and pins that rights wait for.

use super::*;

const READ_WRITE: Page = Page(0b011);

fn record() -> (Record, Extent, Extent) {
    let window = Extent::new(0x4000_0000, 2 * UNIT_BYTES).expect("window");
    let part = |offset| window.part(offset, 0x1000).expect("page");
    let record = Record::new(window, PageSize::kib(4)).expect("memory");
    for unit in record.by_unit(window) {
        record.make_unit(unit.start()).expect("memory");
    }
    // The last page of the first unit and the first of the second.
    (record, part(UNIT_BYTES - 0x1000), part(UNIT_BYTES))
}

#[test]
fn accesses_are_judged_by_every_page_they_touch() {
    let (record, first, second) = record();
    record.set(first, READ_WRITE);
    let across = Extent::new(second.start() - 0x10, 0x20).expect("across");
    assert_eq!(record.check_mapped(across, |_| true), Err(BackendError::NotMapped { address: second.start() }));
    record.set(second, READ_WRITE.given(Protection::ReadExecute));
    let denied = BackendError::Denied { address: second.start(), protection: Protection::ReadExecute };
    assert_eq!(record.check_mapped(across, Protection::is_writable), Err(denied));
    assert_eq!(record.pin(across, Protection::is_writable).expect_err("the second"), denied);
    record.restrict(across, Protection::NoAccess);
    assert_eq!(record.page_at(first.start()).rights(), Some(Protection::NoAccess), "no pin is left on the first");
    assert!(!record.is_absent(across));
    let end = record.window().last() + 1;
    let beyond = Extent::new(end - 0x10, 0x20).expect("beyond");
    assert_eq!(record.check_mapped(beyond, |_| true), Err(BackendError::NotMapped { address: end }));
    record.set(across, Page::ABSENT);
    assert!(record.is_absent(across));
}

#[test]
fn rights_are_taken_away_only_when_no_access_relies_on_them() {
    let (record, page, _) = record();
    record.set(page, READ_WRITE.made_of(Backing::Collapsed));
    let pin = record.pin(page, Protection::is_writable).expect("writable");
    std::thread::scope(|scope| {
        let restricted = scope.spawn(|| record.restrict(page, Protection::ReadExecute));
        while record.check_mapped(page, Protection::is_writable).is_ok() {
            std::thread::yield_now();
        }
        assert!(!restricted.is_finished());
        let reads = record.pin(page, |rights| rights != Protection::NoAccess);
        assert!(reads.is_ok(), "reading is possible throughout");
        drop((pin, reads));
        restricted.join().expect("no panic");
    });
    record.restore(page);
    assert!(record.check_mapped(page, Protection::is_writable).is_ok());
    assert_eq!(record.page_at(page.start()).backing(), Some(Backing::Collapsed));
}

#[test]
fn an_access_waits_when_a_page_has_as_many_pins_as_can_be_counted() {
    let (record, page, _) = record();
    record.set(page, READ_WRITE.made_of(Backing::Secret));
    let word = record.word(page.start()).expect("a word");
    let pins = (u32::MAX - word.load(Ordering::Relaxed)) / Page::PIN;
    word.fetch_add(pins * Page::PIN, Ordering::Relaxed);
    std::thread::scope(|scope| {
        let late = scope.spawn(|| drop(record.pin(page, Protection::is_writable).expect("writable")));
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(!late.is_finished());
        word.fetch_sub(Page::PIN, Ordering::Relaxed);
        late.join().expect("no panic");
    });
    word.fetch_sub((pins - 1) * Page::PIN, Ordering::Relaxed);
    assert_eq!(record.page_at(page.start()), READ_WRITE.made_of(Backing::Secret), "no pin is left");
}

#[test]
fn pieces_end_at_units_and_where_latent_pages_begin() {
    let (record, first, second) = record();
    let latent = Page(Page::LATENT | Page::TWICE | 0b100);
    record.set(record.window(), latent);
    let solid = Extent::between(record.window().start(), first.start().into()).expect("an extent");
    record.set_solid(solid);
    let pieces = |extent| record.pieces(extent).map(|piece| (piece.extent, piece.is_latent)).collect::<Vec<_>>();
    let around = Extent::new(first.start() - 8, 0x1000 + 16).expect("an extent");
    let part = |start, len| Extent::new(start, len).expect("an extent");
    let expected = [(part(first.start() - 8, 8), false), (first, true), (part(second.start(), 8), true)];
    assert_eq!(pieces(around), expected);
    assert!(record.has_latent(around) && !record.has_latent(solid) && record.has_latent(second));
    assert_eq!(record.in_view(part(solid.start(), 8)), None, "there is no view");
}
