//! Sites, tracers and dispatchers that change while a processor executes them.

use execmem::Live;
use execmem::kinds::Text;
use execmem_clients::bpf::{Bpf, Options};
use execmem_clients::ftrace::Ftrace;
use execmem_clients::patch::{NoBreakpoints, Replacement, Sites, replace};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};

use crate::processor::{Machine, machine, machine_of};
use crate::{search, spawn};

fn install(machine: &Machine, code: &[u8]) -> Live<Text> {
    let mut draft = machine.alloc::<Text>(code.len() as u64).expect("room");
    machine.write(&mut draft, 0, code).expect("a draft");
    machine.publish(draft).expect("memory")
}

/// Runs a processor beside `change`. The processor is told how far the change is known to be when it begins.
fn execute_beside(
    machine: &Machine,
    times: usize,
    processor: impl Fn(&Machine, usize) + Send + 'static,
    change: impl FnOnce(&dyn Fn(usize)),
) {
    let done = Arc::new(AtomicUsize::new(0));
    let thread = spawn({
        let (machine, done) = (Arc::clone(machine), Arc::clone(&done));
        move || {
            for _ in 0..times {
                processor(&machine, done.load(Ordering::Relaxed));
            }
        }
    });
    change(&|steps| done.store(steps, Ordering::Relaxed));
    thread.join().expect("no panic");
}

#[test]
fn a_site_that_begins_to_call_is_executed_as_it_was_or_as_it_is() {
    search(|| {
        let machine = machine();
        let ftrace = Ftrace::new(&*machine, machine.facts(), u64::MAX).expect("rows");
        let function = install(&machine, &[ftrace.nop().bytes(), &[0xc3]].concat());
        let ops = ftrace.register(0x1000, 7).expect("room");
        let (site, trampoline) = (function.address(), ftrace.address(ops).expect("registered"));
        machine.facts().watch(1, site..site + 5);
        let processor = move |machine: &Machine, enabled| match machine.facts().step(site) {
            next if next == trampoline => {}
            next => assert!(next == site + 5 && enabled == 0, "{next:#x}, enabled: {enabled}"),
        };
        execute_beside(&machine, 2, processor, |done| {
            ftrace.enable(ops, &function, 0).expect("a site");
            done(1);
        });
    });
}

#[test]
fn a_trampoline_goes_when_nobody_calls_it_and_nobody_is_in_it() {
    search(|| {
        let machine = machine();
        let ftrace = Ftrace::new(&*machine, machine.facts(), u64::MAX).expect("rows");
        let function = install(&machine, &[ftrace.nop().bytes(), &[0xc3]].concat());
        let ops = ftrace.register(0x1000, 7).expect("room");
        ftrace.enable(ops, &function, 0).expect("a site");
        let (site, trampoline) = (function.address(), ftrace.address(ops).expect("registered"));
        let [first] = machine.facts().fetch::<1>(trampoline);
        machine.facts().watch(1, (site..site + 5).chain([trampoline]));
        let processor = move |machine: &Machine, gone| {
            let backend = machine.facts();
            backend.inside(|| match backend.step(site) {
                next if next == trampoline => assert_eq!((backend.fetch(trampoline), gone), ([first], 0)),
                next => assert_eq!(next, site + 5),
            });
        };
        execute_beside(&machine, 1, processor, |done| {
            ftrace.disable(ops, &function, 0).expect("enabled");
            ftrace.unregister(ops, || machine.facts().grace()).expect("no sites");
            done(1);
        });
    });
}

#[test]
fn a_word_that_is_replaced_is_the_new_one_for_everybody_from_then_on() {
    search(|| {
        let machine = machine_of(execmem_arch_arm64::TABLES[0].table);
        let sites = Sites::of(machine.table().machine()).expect("a row");
        let function = install(&machine, sites.nop().bytes());
        let site = function.address();
        let call = sites.call(site, site + 0x1000).expect("near");
        machine.facts().watch(4, [site]);
        let processor = move |machine: &Machine, replaced| match machine.facts().fetch::<4>(site) {
            word if word == call.bytes() => {}
            word => assert!(word == sites.nop().bytes() && replaced == 0, "{word:x?}, replaced: {replaced}"),
        };
        execute_beside(&machine, 2, processor, |done| {
            let what = Replacement { offset: 0, old: sites.nop(), new: call, resume: 0 };
            replace(&machine, &sites, &NoBreakpoints, &function, &what).expect("a site");
            done(1);
        });
    });
}

/// Bytes that tell which update a half is of: of the address it compares with, and of the distance it branches by.
const MARKS: [u64; 2] = [2, 15];

#[test]
fn a_dispatcher_is_in_one_half_from_entry_to_end_while_both_are_replaced() {
    search(|| {
        let machine = machine();
        let bpf = Bpf::new(&*machine, Options { limit: u64::MAX, seed: 1, flush_predictors: || () });
        let mut dispatcher = bpf.dispatcher(machine.facts()).expect("rows");
        let (entry, first) = (dispatcher.entry(), dispatcher.half());
        // Near, and such that each update has marks of its own.
        let target = move |update: u64| (first & !0xffff) + update * 0x10;
        bpf.update(&mut dispatcher, &[target(0)], || ()).expect("near");
        let second = dispatcher.half();
        let halves = [first, second].into_iter().flat_map(|half| MARKS.map(|mark| half + mark));
        machine.facts().watch(1, (entry..entry + 5).chain(halves));
        let low = |number: u64| number.to_le_bytes()[0];
        let processor = move |machine: &Machine, update: usize| {
            let backend = machine.facts();
            let (half, found) = backend.inside(|| {
                let half = backend.step(entry);
                (half, MARKS.map(|mark| backend.fetch::<1>(half + mark)[0]))
            });
            assert!(half == first || half == second, "{half:#x}");
            let marks_of = |update| [low(target(update)), low(target(update).wrapping_sub(half + 19))];
            let of = (0..3).position(|update| marks_of(update) == found).expect("of one update");
            assert!(of >= update, "of update {of} after {update}");
        };
        execute_beside(&machine, 1, processor, |done| {
            for update in 1..3 {
                bpf.update(&mut dispatcher, &[target(update)], || machine.facts().grace()).expect("near");
                done(usize::try_from(update).expect("small"));
            }
        });
    });
}
