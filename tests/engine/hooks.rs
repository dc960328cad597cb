//! Hooks of the user: when they run, under what, and what happens when they refuse, call the engine, or panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use execmem::kinds::{Bpf, Data, Text};
use execmem::{BackendError, Engine, Error, Extent, Hooked, Hooks, Kind, PageSize};
use execmem_arch_x86::{TABLE, X86_KASAN};
use execmem_clients::shadow::{Shadow, ShadowMemory};
use execmem_sim::{Control, Sim};

use crate::module::budgets::Exempt;
use crate::module::heap::armed;

/// What a hook was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Use(Kind, Extent),
    Published(Kind, Extent),
    Freed(Kind, Extent),
    Mapped(Kind, Extent),
    Unmapped(Kind, Extent),
}

type Hook = Box<dyn Fn(Event) -> Result<(), BackendError> + Send + Sync>;

/// Notes everything, and then does what a test wants.
#[derive(Default)]
struct Notes {
    events: Mutex<Vec<Event>>,
    then: OnceLock<Hook>,
}

impl Notes {
    fn note(&self, event: Event) -> Result<(), BackendError> {
        self.events.lock().expect("no panic").push(event);
        self.then.get().map_or(Ok(()), |then| then(event))
    }

    fn take(&self) -> Vec<Event> {
        core::mem::take(&mut self.events.lock().expect("no panic"))
    }

    fn then(&self, hook: impl Fn(Event) -> Result<(), BackendError> + Send + Sync + 'static) {
        assert!(self.then.set(Box::new(hook)).is_ok(), "once a test");
    }
}

impl Hooks<Kind> for Notes {
    fn before_use(&self, kind: Kind, place: Extent) -> Result<(), BackendError> {
        self.note(Event::Use(kind, place))
    }
    fn published(&self, kind: Kind, place: Extent) {
        let _ = self.note(Event::Published(kind, place));
    }
    fn freed(&self, kind: Kind, place: Extent) {
        let _ = self.note(Event::Freed(kind, place));
    }
    fn mapped(&self, kind: Kind, block: Extent) -> Result<(), BackendError> {
        self.note(Event::Mapped(kind, block))
    }
    fn unmapped(&self, kind: Kind, block: Extent) {
        let _ = self.note(Event::Unmapped(kind, block));
    }
}

type Hooked1 = Engine<Hooked<Sim, Arc<Notes>>>;

fn engine() -> (Arc<Hooked1>, Arc<Notes>, Control) {
    let sim = Sim::new(TABLE.machine());
    let (control, notes) = (sim.control(), Arc::<Notes>::default());
    let memory = Hooked { memory: sim, hooks: Arc::clone(&notes) };
    (Arc::new(Engine::new(TABLE, memory).expect("memory")), notes, control)
}

const REFUSAL: BackendError = BackendError::System { errno: 11 };

#[test]
fn every_step_of_a_life_is_told_in_order_and_with_its_kind() {
    let (engine, notes, _) = engine();
    let draft = engine.alloc::<Bpf>(100).expect("room");
    let place = draft.extent();
    let block = Extent::new(place.start(), 2 << 20).expect("a block");
    // BPF shares the blocks of text: the row's kind has them, and the allocation has its own.
    assert_eq!(notes.take(), [Event::Mapped(Kind::Text, block), Event::Use(Kind::Bpf, place)]);
    let live = engine.publish(draft).expect("memory");
    assert_eq!(notes.take(), [Event::Published(Kind::Bpf, place)]);
    engine.free(live).expect("ours");
    assert_eq!(notes.take(), [Event::Freed(Kind::Bpf, place)]);
    engine.shrink();
    assert_eq!(notes.take(), [Event::Unmapped(Kind::Text, block)]);
    let group = engine.alloc_group(&[(Kind::Text, 64), (Kind::Data, 64)]).expect("room");
    let mut live = engine.publish_group(group).expect("memory");
    let published = notes.take().into_iter().filter(|event| matches!(event, Event::Published(..))).count();
    engine.free_group(&mut live).expect("ours");
    let freed = notes.take().into_iter().filter(|event| matches!(event, Event::Freed(..))).count();
    assert_eq!((published, freed), (2, 2), "groups are told one by one");
}

#[test]
fn a_place_that_is_refused_is_free_again_and_the_error_says_who_refused() {
    let (engine, notes, control) = engine();
    notes.then(|event| if matches!(event, Event::Use(Kind::Bpf, _)) { Err(REFUSAL) } else { Ok(()) });
    for _ in 0..3 {
        let error = engine.alloc::<Bpf>(100).expect_err("refused");
        assert_eq!(error, Error::Hook { kind: Kind::Bpf.into(), source: REFUSAL });
    }
    let text = engine.alloc::<Text>(100).expect("another kind");
    assert_eq!(engine.kind_stats(Kind::Bpf).live, 0);
    engine.free(text).expect("ours");
    engine.shrink();
    engine.audit().expect("audit");
    assert!(control.leaves().is_empty());
}

#[test]
fn a_block_that_is_refused_is_unmapped_and_nothing_is_lost() {
    let (engine, notes, control) = engine();
    notes.then(|event| if matches!(event, Event::Mapped(Kind::Data, _)) { Err(REFUSAL) } else { Ok(()) });
    let error = engine.alloc::<Data>(100).expect_err("refused");
    assert_eq!(error, Error::Hook { kind: Kind::Data.into(), source: REFUSAL });
    assert!(control.leaves().is_empty(), "unmapped again");
    engine.audit().expect("audit");
    engine.free(engine.alloc::<Text>(100).expect("another row")).expect("ours");
}

#[test]
fn a_hook_may_call_its_engine() {
    let (engine, notes, _) = engine();
    let weak: Weak<Hooked1> = Arc::downgrade(&engine);
    notes.then(move |event| {
        let engine = weak.upgrade().expect("it is called by it");
        match event {
            Event::Freed(Kind::Bpf, _) => engine.free(engine.alloc::<Text>(64).expect("room")).expect("ours"),
            Event::Use(Kind::Text, place) => assert!(engine.find(place.start()).is_some(), "it is live already"),
            // Another row, which has a lock of its own.
            Event::Mapped(Kind::Text, _) => engine.free(engine.alloc::<Data>(64).expect("room")).expect("ours"),
            _ => {}
        }
        Ok(())
    });
    let live = engine.publish(engine.alloc::<Bpf>(100).expect("room")).expect("memory");
    engine.free(live).expect("ours");
    engine.audit().expect("audit");
    let allocations = [Kind::Text, Kind::Data].map(|kind| engine.kind_stats(kind).allocations);
    assert_eq!(allocations, [1, 1], "what the hooks allocated");
}

#[test]
fn a_hook_that_panics_leaves_the_memory_of_that_call_live_and_the_engine_usable() {
    let (engine, notes, _) = engine();
    notes.then(|event| match event {
        Event::Use(Kind::Bpf, _) | Event::Freed(Kind::Text, _) => panic!("a defect of the user"),
        _ => Ok(()),
    });
    let outcome = catch_unwind(AssertUnwindSafe(|| drop(engine.alloc::<Bpf>(100))));
    assert!(outcome.is_err());
    let text = engine.alloc::<Text>(100).expect("room");
    let address = text.address();
    assert!(catch_unwind(AssertUnwindSafe(|| engine.free(text))).is_err());
    assert!(engine.find(address).is_some(), "its handle went with the panic, and nobody else gets it");
    for kind in [Kind::Bpf, Kind::Text] {
        let stats = engine.kind_stats(kind);
        assert_eq!((stats.live, stats.dropped, stats.dropped_bytes), (1, 1, 128), "{kind}");
    }
    engine.audit().expect("audit");
    engine.free(engine.alloc::<Data>(64).expect("room")).expect("ours");
}

#[test]
fn of_a_pair_whose_second_panics_the_first_knows_the_memory_that_stays_live() {
    let (first, second) = (Notes::default(), Notes::default());
    second.then(|event| match event {
        Event::Use(Kind::Bpf, _) => panic!("a defect of the user"),
        _ => Ok(()),
    });
    let hooks = (&first, &second);
    let engine = Engine::new(TABLE, Hooked { memory: Sim::new(TABLE.machine()), hooks }).expect("memory");
    assert!(catch_unwind(AssertUnwindSafe(|| drop(engine.alloc::<Bpf>(100)))).is_err());
    let events = first.take();
    let [Event::Mapped(_, block), Event::Use(Kind::Bpf, place)] = events[..] else { panic!("{events:?}") };
    assert!(block.covers(place));
    assert_eq!(engine.find(place.start()).map(|found| found.extent), Some(place), "nobody else gets it");
    engine.free(engine.alloc::<Text>(64).expect("room")).expect("ours");
    assert!(matches!(first.take()[..], [Event::Use(..), Event::Freed(Kind::Text, _)]), "in the block that is there");
    engine.audit().expect("audit");
}

/// Remembers the blocks that are mapped, on the heap, and says so if there is none.
#[derive(Default)]
struct Blocks {
    mapped: Mutex<Vec<Extent>>,
    refuses: AtomicBool,
}

impl Blocks {
    fn add(&self, block: Extent) -> Result<(), BackendError> {
        let mut mapped = self.mapped.lock().expect("no panic");
        if self.refuses.load(Ordering::Relaxed) || mapped.try_reserve_exact(1).is_err() {
            return Err(BackendError::OutOfMemory { len: block.len(), page: PageSize::kib(4) });
        }
        assert!(mapped.iter().all(|other| !other.overlaps(block)), "it was unmapped before it is mapped again");
        mapped.push(block);
        Ok(())
    }

    fn remove(&self, block: Extent) {
        self.mapped.lock().expect("no panic").retain(|mapped| !block.covers(*mapped));
    }

    fn bytes(&self) -> u64 {
        self.mapped.lock().expect("no panic").iter().map(|block| block.len()).sum()
    }
}

impl Hooks<Kind> for Blocks {
    fn mapped(&self, _: Kind, block: Extent) -> Result<(), BackendError> {
        self.add(block)
    }
    fn unmapped(&self, _: Kind, block: Extent) {
        self.remove(block);
    }
}

impl ShadowMemory for &Blocks {
    fn map(&self, shadow: Extent) -> Result<(), BackendError> {
        assert!(shadow.is_aligned(4096), "whole pages");
        self.add(shadow)
    }
    fn unmap(&self, shadow: Extent) {
        self.remove(shadow);
    }
}

fn mapped_bytes(control: &Control) -> u64 {
    control.leaves().iter().map(|(page, count)| page.bytes() * count).sum()
}

#[test]
fn inv_09_a_heap_that_refuses_within_a_hook_or_behind_it_leaves_nothing_of_the_growth() {
    let mut refusals = 0;
    for nth in 0.. {
        let (sim, blocks) = (Sim::new(TABLE.machine()), Blocks::default());
        let control = sim.control();
        let engine = Engine::new(TABLE, Hooked { memory: Exempt(sim), hooks: &blocks }).expect("memory");
        let (outcome, used) = armed(nth, || engine.alloc_group(&[(Kind::Text, 5 << 20), (Kind::Data, 100)]));
        assert_eq!(blocks.bytes(), mapped_bytes(&control), "request {nth}");
        engine.audit().expect("audit");
        let is_done = match outcome {
            Ok(mut drafts) => {
                engine.free_group(&mut drafts).expect("ours");
                used.requests <= nth
            }
            Err(Error::OutOfMemory | Error::Hook { source: BackendError::OutOfMemory { .. }, .. }) => false,
            Err(error) => panic!("request {nth}: {error}"),
        };
        assert!(Kind::ALL.iter().all(|kind| engine.kind_stats(*kind).live == 0), "request {nth}");
        engine.shrink();
        assert_eq!((control.leaves().len(), blocks.bytes()), (0, 0), "request {nth}");
        if is_done {
            break;
        }
        refusals += 1;
    }
    assert!(refusals > 5, "{refusals}");
}

/// `KASAN_SHADOW_OFFSET` of x86-64.
const SHADOW_OFFSET: u64 = 0xdfff_fc00_0000_0000;

#[test]
fn every_block_of_a_row_with_shadow_has_it_as_long_as_it_is_mapped() {
    let (sim, shadow) = (Sim::new(X86_KASAN.machine()), Blocks::default());
    let control = sim.control();
    let hooks = Shadow::new(&X86_KASAN, SHADOW_OFFSET, &shadow);
    let engine = Engine::new(X86_KASAN, Hooked { memory: sim, hooks }).expect("memory");
    let mut drafts = engine.alloc_group(&[(Kind::Text, 5 << 20), (Kind::Data, 100), (Kind::Bpf, 100)]).expect("room");
    control.limit_large_pages(0);
    drafts.push(engine.alloc_kind(Kind::Text, 3 << 20).expect("small pages"));
    let of = |address: u64| (address >> 3) + SHADOW_OFFSET;
    for address in drafts.iter().flat_map(|draft| [draft.address(), draft.extent().last()]) {
        let is_shadow = |mapped: &Extent| mapped.contains(of(address));
        assert!(shadow.mapped.lock().expect("no panic").iter().any(is_shadow), "{address:#x}");
    }
    assert_eq!(shadow.bytes(), mapped_bytes(&control) / 8);
    engine.free_group(&mut drafts).expect("ours");
    engine.shrink();
    assert_eq!((shadow.bytes(), control.leaves().len()), (0, 0));

    let plain = Blocks::default();
    let hooks = Shadow::new(&TABLE, SHADOW_OFFSET, &plain);
    let engine = Engine::new(TABLE, Hooked { memory: Sim::new(TABLE.machine()), hooks }).expect("memory");
    engine.free(engine.alloc::<Text>(100).expect("room")).expect("ours");
    assert_eq!(plain.bytes(), 0, "no row of this table is shadowed");
}

#[test]
fn shadow_that_cannot_be_had_refuses_growth_and_leaks_nothing_also_of_hooks_before_it() {
    let (sim, shadow, first) = (Sim::new(X86_KASAN.machine()), Blocks::default(), Blocks::default());
    let control = sim.control();
    let hooks = (&first, Shadow::new(&X86_KASAN, SHADOW_OFFSET, &shadow));
    let engine = Engine::new(X86_KASAN, Hooked { memory: sim, hooks }).expect("memory");
    let kept = engine.alloc::<Text>(2 << 20).expect("room");
    let mapped = (first.bytes(), shadow.bytes());
    shadow.refuses.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        let error = engine.alloc::<Text>(100).expect_err("no shadow");
        assert!(matches!(error, Error::Hook { source: BackendError::OutOfMemory { .. }, .. }), "{error}");
    }
    assert_eq!((first.bytes(), shadow.bytes(), mapped_bytes(&control)), (mapped.0, mapped.1, 2 << 20));
    engine.audit().expect("audit");
    shadow.refuses.store(false, Ordering::Relaxed);
    engine.free(engine.alloc::<Text>(100).expect("room")).expect("ours");
    engine.free(kept).expect("ours");
    engine.shrink();
    assert_eq!((first.bytes(), shadow.bytes(), control.leaves().len()), (0, 0, 0));
}
