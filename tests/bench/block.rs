//! What a fresh 2 MiB block of text costs: as one large page, and as it begins by default, with a few small ones.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use execmem::{Backend, Describe as _, Extent, PageSize, Protection};
use execmem_linux::{Linux, Options, proc};
use execmem_types::Mapping;

const BLOCK: PageSize = PageSize::mib(2);

/// Time to map a block; taking it back is not counted.
fn map_blocks(linux: &Linux, has_large_page: bool, rounds: u64) -> Duration {
    let extent = Extent::new(linux.facts().window().start(), BLOCK.bytes()).expect("a block");
    let mapping = Mapping::new(extent, BLOCK, Protection::ReadExecute, linux.facts().machine().trap());
    let mut spent = Duration::ZERO;
    for round in 0..rounds {
        let start = Instant::now();
        linux.map(black_box(&mapping)).expect("memory");
        spent += start.elapsed();
        if round == 0 {
            check(linux, extent, has_large_page);
        }
        linux.unmap(extent).expect("mapped");
    }
    spent
}

/// The kernel says the block is executable, in pages of that size; it holds traps.
fn check(linux: &Linux, extent: Extent, has_large_page: bool) {
    let areas = proc::areas().expect("proc");
    let area = areas.iter().find(|area| area.extent.overlaps(extent) && area.is_executable).expect("the block");
    assert_eq!(area.large_bytes, if has_large_page { BLOCK.bytes() } else { 0 });
    let mut bytes = vec![0; usize::try_from(extent.len()).expect("small")];
    linux.read(extent.start(), &mut bytes).expect("mapped");
    assert!(linux.facts().machine().trap().matches(extent.start(), &bytes));
}

fn fresh_block(c: &mut Criterion) {
    let small = Linux::reserve(&Options::default()).expect("executable memory");
    let large = Linux::reserve(&Options::default().large_at_once()).expect("executable memory");
    let mut group = c.benchmark_group("fresh 2 MiB text block");
    group.bench_function("one large page", |b| b.iter_custom(|rounds| map_blocks(&large, true, rounds)));
    group.bench_function("small at first", |b| b.iter_custom(|rounds| map_blocks(&small, false, rounds)));
    group.finish();
}

/// What an operation pays for the question whether this is the process that made the memory.
fn caller(c: &mut Criterion) {
    let linux = Linux::reserve(&Options::default()).expect("executable memory");
    c.bench_function("whether the caller is the process that made the memory", |b| {
        b.iter(|| black_box(&linux).check_caller().expect("it is"));
    });
}

criterion_group!(benches, fresh_block, caller);
criterion_main!(benches);
