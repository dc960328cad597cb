//! The memory by itself, as an allocator: refusals change nothing.
#![expect(unsafe_code, reason = "stores through pointers, forks")]

use std::ptr;

use closure_ffi::{BareFn, JitAlloc};
use execmem::{Engine, Kind};
use execmem_closure_ffi::{Error, ThunkMemory};
use execmem_linux::{Linux, Options, Publish};

/// Memory of an engine of its own.
fn memory(options: Options) -> Result<ThunkMemory, Error> {
    let engine: &'static Engine<Linux> = Box::leak(Box::new(Linux::engine(&options)?));
    ThunkMemory::new(engine)
}

/// Memory with a window that is used up soon.
fn small() -> ThunkMemory {
    memory(Options::default().window(16 << 20)).expect("executable memory")
}

fn live(memory: ThunkMemory) -> u64 {
    memory.engine().kind_stats(Kind::Text).live
}

/// Releases what `alloc` returned.
fn release(memory: ThunkMemory, executed: *const u8) -> bool {
    // SAFETY: nothing executes what is there, and no test accesses it afterwards. What is not of this memory is refused.
    unsafe { memory.release(executed) }.is_ok()
}

#[test]
fn what_is_stored_at_one_address_is_read_at_the_other_in_every_unit() {
    let options = Options::default().window(16 << 20);
    check_addresses(memory(options).expect("executable memory"));
    check_addresses(memory(options.lead(64)).expect("executable memory"));
}

fn check_addresses(memory: ThunkMemory) {
    let mut thunks = Vec::new();
    // No divisor of 2 MiB: some would lie in two units.
    while let Ok((executed, written)) = memory.alloc(3 * 64) {
        let number = thunks.len().to_le_bytes();
        assert_eq!((executed.addr() % 64, written.addr() % 64), (0, 0));
        // SAFETY: 192 bytes are there, and only this test knows them.
        unsafe { ptr::copy_nonoverlapping(number.as_ptr(), written.wrapping_add(184), 8) };
        // SAFETY: as above.
        unsafe { memory.flush_instruction_cache(executed.wrapping_add(8), 184) };
        thunks.push(executed);
    }
    assert!(thunks.len() > (4 << 20) / 192, "several units");
    for (number, executed) in thunks.iter().enumerate() {
        // SAFETY: as above, and a multiple of 8.
        assert_eq!(unsafe { executed.wrapping_add(184).cast::<usize>().read() }, number);
    }
    assert_eq!(memory.count(), thunks.len());
    assert!(thunks.iter().all(|executed| release(memory, *executed)));
    assert_eq!((memory.count(), live(memory)), (0, 0));
    memory.engine().audit().expect("sound");
}

#[test]
fn exhausted_memory_is_an_error_and_serves_again_what_was_released() {
    let memory = small();
    let try_closure =
        |value: usize| BareFn::try_with_cc_in(closure_ffi::cc::C, move |number: usize| number + value, memory);
    let mut closures: Vec<_> = (0..).map_while(|value| try_closure(value).ok()).collect();
    assert!(memory.alloc(64).is_err());
    assert_eq!(live(memory), closures.len() as u64, "what was refused took nothing");
    drop(closures.swap_remove(17));
    closures.push(try_closure(17).expect("there is room for one"));
    assert!(try_closure(0).is_err());
    let last = closures.pop().expect("many");
    // SAFETY: the closure lives.
    assert_eq!(unsafe { last.bare()(1) }, 18);
    drop((closures, last));
    assert_eq!(live(memory), 0);
}

#[test]
fn sizes_that_make_no_sense_are_refused() {
    let memory = small();
    for size in [0, (2 << 20) + 1, 1 << 40, isize::MAX as usize, usize::MAX] {
        assert!(memory.alloc(size).is_err(), "{size}");
    }
    assert_eq!((memory.count(), live(memory)), (0, 0));
    let (executed, _) = memory.alloc(2 << 20).expect("a whole unit");
    assert!(release(memory, executed));
    assert_eq!(live(memory), 0);
}

#[test]
fn a_thunk_is_released_before_it_was_flushed_and_flushed_twice() {
    let memory = small();
    let (unflushed, _) = memory.alloc(64).expect("room");
    let (twice, _) = memory.alloc(64).expect("room");
    for _ in 0..2 {
        // SAFETY: nothing executes it.
        unsafe { memory.flush_instruction_cache(twice, 64) };
    }
    assert!(release(memory, unflushed) && release(memory, twice));
    assert_eq!((memory.count(), live(memory)), (0, 0));
}

#[test]
fn a_release_of_what_is_not_there_is_refused_and_nothing_is_lost() {
    let (memory, other) = (small(), small());
    let (own, _) = memory.alloc(64).expect("room");
    let (foreign, _) = other.alloc(64).expect("room");
    let heap = Box::new(0_u8);
    for address in [ptr::null(), foreign, &raw const *heap, own.wrapping_add(64), ptr::without_provenance(usize::MAX)] {
        assert!(!release(memory, address), "{address:?}");
        // SAFETY: as for `release`.
        unsafe { memory.flush_instruction_cache(address, 64) };
    }
    assert_eq!((live(memory), live(other)), (1, 1));
    assert!(release(memory, own) && !release(memory, own), "released once");
    assert!(release(other, foreign));
}

#[test]
fn memory_that_is_mapped_once_or_whose_views_are_hidden_says_so() {
    let options = Options::default().window(16 << 20);
    for way in [Publish::ProcMem, Publish::Flip] {
        let error = memory(options.publish(way)).expect_err("mapped once");
        assert!(matches!(error, Error::NoWritableView { publish } if publish == way), "{error}");
    }
    let error = memory(options.publish(Publish::Poke).hidden_views()).expect_err("hidden");
    assert!(matches!(error, Error::NoWritableView { publish: Publish::Poke }), "{error}");
}

/// Runs a body in a forked child; whether it was true.
fn in_child(body: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child calls what takes no lock that another thread may hold, and `_exit`.
    match unsafe { libc::fork() } {
        // SAFETY: no destructor of the parent runs.
        0 => unsafe { libc::_exit(i32::from(!body())) },
        child => {
            let mut status = -1;
            // SAFETY: a child of this process, and a place for its status.
            unsafe { libc::waitpid(child, &raw mut status, 0) };
            status == 0
        }
    }
}

#[test]
fn a_forked_child_calls_and_commands_nothing_while_threads_of_its_parent_are_at_work() {
    let memory = small();
    let value = 40;
    let closure = BareFn::new_c_in(move |number: usize| number + value, memory);
    let (draft, _) = memory.alloc(64).expect("room");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let (executed, _) = memory.alloc(64).expect("room");
                assert!(release(memory, executed));
            }
        });
        for _ in 0..300 {
            let is_right = in_child(|| {
                // SAFETY: nothing executes it.
                unsafe { memory.flush_instruction_cache(draft, 64) };
                // SAFETY: the closure lives.
                let answer = unsafe { closure.bare()(2) };
                answer == 42 && memory.alloc(64).is_err() && !release(memory, draft)
            });
            assert!(is_right);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(release(memory, draft));
    drop(closure);
    assert_eq!((memory.count(), live(memory)), (0, 0));
}
