//! What operations take of stack and heap, against the limits that execmem sets itself.

use alloc::vec::Vec;

use execmem::Kind;
use execmem::kinds::{Data, RoAfterInit, Text};

use crate::kernel::code::ANSWER;
use crate::kernel::console::say;
use crate::kernel::engine::{KernelEngine, TABLE, start};
use crate::kernel::{heap, stack};

/// Bytes of stack that an operation may take at all, and one that happens often.
const STACK: u64 = 4096;
const OFTEN: u64 = 2048;

/// Bytes of heap that an engine may take when it is made, that the first allocation of a pool may, and others.
const HEAP_OF_ENGINE: u64 = 8192;
const HEAP_OF_POOL: u64 = 4096;
const NO_HEAP: u64 = 0;

/// What an operation may take: stack and, unless it depends on how much is allocated, heap.
type Limits = (u64, Option<u64>);

/// Runs an operation and prints what it took and what it may.
fn cost<T>(name: &str, (stack_limit, heap_limit): Limits, operation: impl FnOnce() -> T) -> T {
    let before = heap::in_use();
    heap::take_peak();
    let (stack, result) = stack::taken_by(operation);
    let heap = (heap::take_peak() - before) as u64;
    let of = |bytes: u64, limit: Option<u64>| Amount { bytes, limit };
    say!("cost: {name}: stack {}, heap {}", of(stack, Some(stack_limit)), of(heap, heap_limit));
    result
}

/// Bytes, and how many they may be.
struct Amount {
    bytes: u64,
    limit: Option<u64>,
}

impl core::fmt::Display for Amount {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.limit {
            Some(limit) if self.bytes > limit => write!(f, "{} of {limit}: over", self.bytes),
            Some(limit) => write!(f, "{} of {limit}", self.bytes),
            None => write!(f, "{}", self.bytes),
        }
    }
}

/// Measures the operations of an engine, from its start to its end.
pub(super) fn measure() {
    let before = heap::in_use();
    let engine = cost("engine", (STACK, Some(HEAP_OF_ENGINE)), start).expect("an engine");
    first(&engine);
    often(&engine);
    large(&engine);
    cost("shrink", (STACK, Some(NO_HEAP)), || engine.shrink());
    let pools = TABLE_POOLS * HEAP_OF_POOL;
    let kept = Amount { bytes: (heap::in_use() - before) as u64, limit: Some(HEAP_OF_ENGINE + pools) };
    say!("cost: after shrink: heap {kept}");
    super::check_empty(&engine);
}

/// Kinds of the table that have an allocator of their own, which the first allocations touch.
const TABLE_POOLS: u64 = 4;

fn first(engine: &KernelEngine) {
    const LIMITS: Limits = (STACK, Some(HEAP_OF_POOL));
    let text = cost("first allocation of text", LIMITS, || engine.alloc::<Text>(64)).expect("room");
    let data = cost("first allocation of data", LIMITS, || engine.alloc::<Data>(64)).expect("room");
    cost("free the last of a block", (STACK, Some(NO_HEAP)), || engine.free(text)).expect("it is ours");
    engine.free(data).expect("it is ours");
}

fn often(engine: &KernelEngine) {
    const LIMITS: Limits = (OFTEN, Some(NO_HEAP));
    let keeps = engine.alloc::<Text>(64).expect("room");
    engine.free(engine.alloc::<Text>(64).expect("room")).expect("it is ours");
    let mut code = cost("allocation in a block", LIMITS, || engine.alloc::<Text>(64)).expect("room");
    cost("write", LIMITS, || engine.write(&mut code, 0, ANSWER.bytes())).expect("a draft can be written");
    let code = cost("publish", LIMITS, || engine.publish(code)).expect("a draft can be published");
    cost("find", LIMITS, || engine.find(code.address())).expect("it is there");
    let breakpoint = TABLE.machine().instructions.breakpoint;
    cost("patch", LIMITS, || engine.patch(&code, 0, breakpoint)).expect("a breakpoint replaces an instruction");
    cost("free in a block", LIMITS, || engine.free(code)).expect("it is ours");
    engine.free(keeps).expect("it is ours");
}

fn large(engine: &KernelEngine) {
    const LIMITS: Limits = (STACK, None);
    let kinds = [(Kind::Text, 8000), (Kind::Data, 900), (Kind::RoData, 5000), (Kind::InitText, 700)];
    let mut group = cost("group of four", LIMITS, || engine.alloc_group(&kinds)).expect("room");
    cost("free the group", (STACK, Some(NO_HEAP)), || engine.free_group(&mut group)).expect("they are ours");
    let sealed = engine.alloc::<RoAfterInit>(64).expect("room");
    cost("load a module", LIMITS, || super::module::load(engine)).unload();
    let text = cost("growth by 4 MiB", LIMITS, || engine.alloc::<Text>(4 << 20)).expect("room");
    let sealed = engine.publish(sealed).expect("a draft can be published");
    let sealed = cost("seal", LIMITS, || engine.seal(sealed)).expect("it can be sealed");
    let small: Vec<_> = (0..1000).map(|_| engine.alloc::<Text>(200).expect("room")).collect();
    // A picture of the whole engine is some kilobytes: a kernel asks kind by kind, or gives memory for it.
    let all = |sum, kind| sum + engine.kind_stats(kind).live + engine.pool_stats(kind).blocks;
    cost("statistics", LIMITS, || Kind::ALL.into_iter().fold(0, all));
    cost("audit", LIMITS, || engine.audit()).expect("the engine's records agree");
    cost("free 4 MiB", (STACK, Some(NO_HEAP)), || engine.free(text)).expect("it is ours");
    small.into_iter().for_each(|code| engine.free(code).expect("it is ours"));
    engine.free(sealed).expect("it is ours");
}
