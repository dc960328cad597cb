//! The lengths of ranges, each with its alignment, in bytes.

use super::GRANULE;
use crate::random::Random;

const PAGE: usize = 4096;

/// BPF programs: half of them up to 500 bytes, one in twenty above 16 KiB.
pub(super) fn bpf(random: &mut Random) -> (usize, usize) {
    let bytes = match random.below(100) {
        0..50 => random.range(64, 500),
        50..75 => random.range(500, 2048),
        75..95 => random.octaves(2 << 10, 3),
        _ => random.octaves(16 << 10, 2),
    };
    (bytes, GRANULE)
}

/// Modules of 8 to 512 KiB in whole pages.
pub(super) fn module(random: &mut Random) -> (usize, usize) {
    (random.octaves(8 << 10, 6).next_multiple_of(PAGE), PAGE)
}

/// BPF programs, and larger ranges with larger alignments.
pub(super) fn mixed(random: &mut Random) -> (usize, usize) {
    match random.below(100) {
        0..70 => bpf(random),
        70..90 => (random.octaves(4 << 10, 4).next_multiple_of(PAGE), PAGE),
        90..98 => (random.octaves(16 << 10, 4).next_multiple_of(PAGE), 16 << 10),
        _ => (2 << 20, 2 << 20),
    }
}
