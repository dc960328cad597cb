//! The boxes around the kernel in which modules may lie (`arch/arm64/mm/init.c`, `module_init_limits`).

use execmem_types::{Extent, PageSize};

/// Size of the box whose code calls the kernel directly: what B and BL reach.
pub const DIRECT_BYTES: u64 = 128 << 20;

/// Size of the box whose data names the kernel by PREL32 relocations, and whose code calls it through veneers.
pub const PLT_BYTES: u64 = 2 << 30;

/// Both boxes. Each contains the kernel; the second contains the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Boxes {
    /// Of [`DIRECT_BYTES`]; `None` if the kernel is too large, or it was not asked for.
    pub direct: Option<Extent>,
    /// Of [`PLT_BYTES`]; `None` if the kernel is too large.
    pub plt: Option<Extent>,
}

impl Boxes {
    /// Without KASLR: both end with the kernel.
    #[must_use]
    pub fn fixed(kernel: Extent) -> Self {
        let ending = |len: u64| {
            let start = (kernel.last() - (len - 1)).min(kernel.start());
            Extent::new(start, len).filter(|whole| kernel.len() < len && whole.covers(kernel))
        };
        Boxes { direct: ending(DIRECT_BYTES), plt: ending(PLT_BYTES) }
    }

    /// With KASLR: a random box around the kernel, and a random box around that.
    #[must_use]
    pub fn random(kernel: Extent, page: PageSize, [direct, plt]: [u64; 2]) -> Self {
        let direct = bounding_box(DIRECT_BYTES, kernel, page, direct);
        Boxes { direct, plt: bounding_box(PLT_BYTES, direct.unwrap_or(kernel), page, plt) }
    }

    /// With KASLR and `RANDOMIZE_MODULE_REGION_FULL`: the large box only, so that all calls need veneers.
    #[must_use]
    pub fn random_full(kernel: Extent, page: PageSize, random: u64) -> Self {
        Boxes { direct: None, plt: bounding_box(PLT_BYTES, kernel, page, random) }
    }
}

/// A box of `len` bytes around `inside`, which begins a random number of whole pages before it. `None` if there is no
/// such box.
fn bounding_box(len: u64, inside: Extent, page: PageSize, random: u64) -> Option<Extent> {
    let start = page.round_down(inside.start());
    let end = page.round_up(inside.last())?.max(page.round_up(inside.last().checked_add(1)?)?);
    let spare = len.checked_sub(end - start).filter(|spare| *spare > 0)?;
    let offset = random % (spare / page.bytes() + 1) * page.bytes();
    Extent::new(start.checked_sub(offset)?, len)
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    const PAGES: [PageSize; 3] = [PageSize::kib(4), PageSize::kib(16), PageSize::kib(64)];

    /// A kernel at a random place in the middle half of vmalloc, as `kaslr_early_init` chooses.
    pub(crate) fn kernel(place: u64, pages: u64, page: PageSize) -> Extent {
        let start = 0xffff_8800_0000_0000 + place % (1 << 45) / page.bytes() * page.bytes();
        Extent::new(start, (1 + pages % (100 << 8)) * 4096).expect("below 100 MiB")
    }

    quickcheck! {
        fn every_seed_gives_a_box_around_the_kernel_and_a_box_around_that(place: u64, pages: u64, seeds: (u64, u64)) -> bool {
            PAGES.iter().all(|&page| {
                let kernel = kernel(place, pages, page);
                let boxes = Boxes::random(kernel, page, [seeds.0, seeds.1]);
                let (direct, plt) = (boxes.direct.expect("small"), boxes.plt.expect("small"));
                direct.len() == DIRECT_BYTES && direct.covers(kernel) && direct.start().is_multiple_of(page.bytes())
                    && plt.len() == PLT_BYTES && plt.covers(direct) && plt.start().is_multiple_of(page.bytes())
            })
        }

        fn without_the_small_box_the_large_one_is_around_the_kernel(place: u64, pages: u64, seed: u64) -> bool {
            let kernel = kernel(place, pages, PAGES[0]);
            let boxes = Boxes::random_full(kernel, PAGES[0], seed);
            boxes.direct.is_none() && boxes.plt.is_some_and(|plt| plt.covers(kernel))
        }

        fn without_kaslr_both_boxes_end_with_the_kernel(place: u64, pages: u64) -> bool {
            let kernel = kernel(place, pages, PAGES[0]);
            let boxes = Boxes::fixed(kernel);
            [boxes.direct, boxes.plt].into_iter().all(|found| found.expect("small").last() == kernel.last())
        }
    }

    #[test]
    fn both_ends_of_the_range_of_offsets_occur() {
        let kernel = Extent::new(0xffff_8000_8000_0000, 32 << 20).expect("an image");
        let starts = [0, 96 << 8, (96 << 8) + 1]
            .map(|random| Boxes::random(kernel, PAGES[0], [random, 0]).direct.expect("small").start());
        assert_eq!(starts, [kernel.start(), kernel.start() - (96 << 20), kernel.start()]);
    }

    #[test]
    fn a_kernel_that_fills_a_box_has_none() {
        let kernel = |len| Extent::new(0xffff_8000_8000_0000, len).expect("an image");
        for boxes in [Boxes::fixed(kernel(DIRECT_BYTES)), Boxes::random(kernel(DIRECT_BYTES), PAGES[0], [1, 2])] {
            assert!(boxes.direct.is_none() && boxes.plt.is_some());
        }
        assert_eq!(Boxes::fixed(kernel(PLT_BYTES)), Boxes::default());
    }
}
