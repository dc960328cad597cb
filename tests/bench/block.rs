//! What a fresh 2 MiB block of text costs: as one large page, and filled page by page.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use execmem::{Backend, Extent, PageSize, Protection};
use execmem_linux::{Linux, Options, proc};
use execmem_types::Mapping;

const BLOCK: PageSize = PageSize::mib(2);

/// Time to map a block in pages of a size; taking it back is not counted.
fn map_blocks(linux: &Linux, page: PageSize, rounds: u64) -> Duration {
    let extent = Extent::new(linux.window().start(), BLOCK.bytes()).expect("a block");
    let mapping = Mapping {
        extent,
        page,
        protection: Protection::ReadExecute,
        unused: linux.machine().trap,
        is_shadowed: false,
        is_writable_and_executable: false,
    };
    let mut spent = Duration::ZERO;
    for round in 0..rounds {
        let start = Instant::now();
        linux.map(black_box(&mapping)).expect("memory");
        spent += start.elapsed();
        if round == 0 {
            check(linux, extent, page);
        }
        linux.unmap(extent).expect("mapped");
    }
    spent
}

/// The kernel says the block is executable, in pages of that size; it holds traps.
fn check(linux: &Linux, extent: Extent, page: PageSize) {
    let areas = proc::areas().expect("proc");
    let area = areas.iter().find(|area| area.extent.overlaps(extent) && area.is_executable).expect("the block");
    let large = if page == BLOCK { BLOCK.bytes() } else { 0 };
    assert_eq!(area.large_bytes, large);
    let mut bytes = vec![0; usize::try_from(extent.len()).expect("small")];
    linux.read(extent.start(), &mut bytes).expect("mapped");
    assert!(linux.machine().trap.matches(extent.start(), &bytes));
}

fn fresh_block(c: &mut Criterion) {
    let linux = Linux::reserve(&Options::default()).expect("executable memory");
    let small = linux.machine().page();
    let mut group = c.benchmark_group("fresh 2 MiB text block");
    group.bench_function("one large page", |b| b.iter_custom(|rounds| map_blocks(&linux, BLOCK, rounds)));
    group.bench_function("page by page", |b| b.iter_custom(|rounds| map_blocks(&linux, small, rounds)));
    group.finish();
}

criterion_group!(benches, fresh_block);
criterion_main!(benches);
