//! Closures in this crate's memory: what closure-ffi promises of them holds.
#![expect(unsafe_code, reason = "calls the closures it makes")]

use std::cell::Cell;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::thread;

use closure_ffi::traits::FnPtr;
use closure_ffi::{BareFn, BareFnMut, BareFnOnce, BareFnSync, cc};
use execmem_closure_ffi::ThunkMemory;

type Number = unsafe extern "C" fn(usize) -> usize;

fn memory() -> ThunkMemory {
    ThunkMemory::shared().expect("executable memory")
}

/// What a function answers.
fn call(function: Number, argument: usize) -> usize {
    // SAFETY: every caller here has the closure, which touches what is alive.
    unsafe { function(argument) }
}

#[test]
fn a_closure_has_what_it_borrows_and_what_it_owns() {
    let squares = [0, 1, 4, 9];
    let borrowing = BareFn::new_c_in(|index: usize| squares[index], memory());
    let owned = [7, 8, 9];
    let owning = BareFn::new_c_in(move |index: usize| owned[index], memory());
    assert_eq!((call(borrowing.bare(), 3), call(owning.bare(), 1)), (9, 8));
}

#[test]
fn a_closure_that_changes_something_changes_it_at_each_call() {
    let mut all = Vec::new();
    let pushes = BareFnMut::new_c_in(
        |number: usize| {
            all.push(number);
            all.len()
        },
        memory(),
    );
    assert_eq!([5, 6, 7].map(|number| call(pushes.bare(), number)), [1, 2, 3]);
    drop(pushes);
    assert_eq!(all, [5, 6, 7]);
}

#[test]
fn a_closure_that_is_called_once_keeps_its_thunk_only_if_it_is_leaked() {
    let memory = memory();
    let closure = |text: String| BareFnOnce::new_c_in(move |add: usize| text.len() + add, memory);
    drop(closure("never called".to_owned()));
    assert_eq!(memory.count(), 0);
    assert_eq!(call(closure("forty-two".to_owned()).leak(), 1), 10);
    assert_eq!(memory.count(), 1);
}

#[test]
fn a_leaked_closure_outlives_every_copy_of_its_memory() {
    let text = "forty-two".to_owned();
    let leaked = {
        let memory = memory();
        BareFn::new_c_in(move |add: usize| text.len() + add, memory).leak()
    };
    let later: Vec<_> = (0..100_usize).map(|add| BareFn::new_c_in(move |n: usize| n + add, memory())).collect();
    assert_eq!((call(leaked, 2), call(later[99].bare(), 1)), (11, 100));
}

#[test]
fn a_function_without_state_needs_no_thunk() {
    let memory = memory();
    let double = BareFn::new_c_in(|number: usize| 2 * number, memory);
    assert_eq!((call(double.bare(), 4), memory.count()), (8, 0));
}

#[test]
fn a_panic_passes_through_a_thunk() {
    let limit = 3;
    let picky = BareFn::with_cc_in(cc::CUnwind, move |number: usize| assert!(number < limit), memory());
    let bare = picky.bare();
    // SAFETY: the closure lives, and its panic is caught here.
    let passes = |number| catch_unwind(|| unsafe { bare(number) }).is_ok();
    assert!(passes(2) && !passes(3) && passes(1));
}

#[test]
fn dropping_without_the_type_drops_the_closure_and_releases_its_thunk() {
    struct Notes(&'static Cell<u32>);
    impl Drop for Notes {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let (memory, dropped) = (memory(), &*Box::leak(Box::new(Cell::new(0))));
    let closure = |notes: Notes| {
        BareFn::new_c_in(
            move |number: usize| {
                let _ = &notes;
                number
            },
            memory,
        )
    };
    let untyped = [0, 1].map(|_| closure(Notes(dropped)).into_untyped());
    // SAFETY: the type that was erased.
    let again = unsafe { Number::from_ptr(untyped[0].bare()) };
    assert_eq!((call(again, 6), memory.count()), (6, 2));
    drop(untyped);
    assert_eq!((dropped.get(), memory.count()), (2, 0));
}

#[test]
fn closures_go_in_any_order_and_the_others_answer() {
    let memory = memory();
    let closure = |value: usize| BareFn::new_c_in(move |number: usize| number ^ value, memory);
    let mut closures: Vec<_> = (0..10_000).map(|value| Some(closure(value))).collect();
    for step in [3, 7, 2, 5] {
        closures.iter_mut().step_by(step).for_each(|closure| *closure = None);
        let live = closures.iter().enumerate().filter_map(|(value, closure)| Some((value, closure.as_ref()?)));
        assert!(live.clone().all(|(value, closure)| call(closure.bare(), 1) == 1 ^ value));
        assert_eq!(live.count(), memory.count());
        closures.iter_mut().enumerate().skip(1).step_by(step * 2).for_each(|(value, place)| {
            *place = Some(closure(value));
        });
    }
    closures.reverse();
    drop(closures);
    assert_eq!(memory.count(), 0);
}

#[test]
fn one_closure_serves_many_threads() {
    let sum = Mutex::new(0);
    let adds = BareFnSync::new_c_in(
        |number: usize| {
            let mut sum = sum.lock().expect("no panic");
            *sum += number;
            *sum
        },
        memory(),
    );
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..1000).for_each(|_| assert!(call(adds.bare(), 2) >= 2)));
        }
    });
    drop(adds);
    assert_eq!(*sum.lock().expect("no panic"), 16_000);
}

#[test]
fn threads_make_closures_and_drop_those_of_others() {
    let memory = memory();
    let makes = |value: usize| BareFnSync::new_c_in(move |number: usize| number + value, memory);
    let (gives, takes) = std::sync::mpsc::sync_channel(100);
    thread::scope(|scope| {
        for thread in 0..4 {
            let gives = gives.clone();
            scope.spawn(move || {
                for value in thread * 5000..(thread + 1) * 5000 {
                    gives.send((value, makes(value))).expect("a taker");
                }
            });
        }
        drop(gives);
        for (value, closure) in takes {
            assert_eq!(call(closure.bare(), 1), value + 1);
        }
    });
    assert_eq!(memory.count(), 0);
}
