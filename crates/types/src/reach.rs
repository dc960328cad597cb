//! How far a direct branch reaches.

use crate::Extent;

/// Which targets one direct branch instruction can name, exactly.
///
/// Relative forms are asymmetric by one unit of two's complement, so no rule here says |distance| ≤ reach. Segment forms
/// (J and JAL of mips, `call` of nios2) reach what shares the high bits of the address: containment, not distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// `target - (site + base)` lies in `min..=max`.
    Relative {
        /// Bytes from the instruction to what its displacement counts from.
        base: u32,
        /// Most negative displacement in bytes.
        min: i64,
        /// Most positive displacement in bytes.
        max: i64,
    },
    /// The target and `site + base` agree in all bits above `size_log2`.
    Segment {
        /// Bytes from the instruction to what names the segment.
        base: u32,
        /// Base-two logarithm of the segment size in bytes.
        size_log2: u8,
    },
}

impl Reach {
    /// Whether a branch at `site` can name `target`.
    #[must_use]
    pub const fn reaches(self, site: u64, target: u64) -> bool {
        match self {
            Reach::Relative { base, min, max } => {
                let distance = target as i128 - (site as i128 + base as i128);
                distance >= min as i128 && distance <= max as i128
            }
            Reach::Segment { base, size_log2 } => match site.checked_add(base as u64) {
                Some(from) => from >> size_log2 == target >> size_log2,
                None => false,
            },
        }
    }

    /// Whether any branch in one extent can name any address of the other, both ways.
    ///
    /// Byte by byte, for instructions whose displacement counts from their end;
    /// [`Machine::connects`](crate::Machine::connects) knows where instructions start.
    #[must_use]
    pub const fn connects(self, a: Extent, b: Extent) -> bool {
        let (Reach::Relative { base, .. } | Reach::Segment { base, .. }) = self;
        let rest = (base as u64).saturating_sub(1);
        self.spans(a, b, rest) && self.spans(b, a, rest)
    }

    /// Whether any branch in `sites`, of which each has `rest` more bytes behind it, can name any address of `targets`.
    /// The extremes decide: reach is convex.
    #[must_use]
    pub(crate) const fn spans(self, sites: Extent, targets: Extent, rest: u64) -> bool {
        let last = if sites.len() > rest { sites.last() - rest } else { sites.start() };
        self.reaches(sites.start(), targets.start())
            && self.reaches(sites.start(), targets.last())
            && self.reaches(last, targets.start())
            && self.reaches(last, targets.last())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REL32: Reach = Reach::Relative { base: 5, min: i32::MIN as i64, max: i32::MAX as i64 };

    #[test]
    fn relative_reach_is_exact_and_asymmetric() {
        let site = 0x1_0000_0000;
        assert!(REL32.reaches(site, site + 5 + 0x7fff_ffff));
        assert!(!REL32.reaches(site, site + 5 + 0x8000_0000));
        assert!(REL32.reaches(site, site + 5 - 0x8000_0000));
        assert!(!REL32.reaches(site, site + 4 - 0x8000_0000));
    }

    #[test]
    fn segment_reach_is_containment() {
        let reach = Reach::Segment { base: 4, size_log2: 28 };
        assert!(reach.reaches(0x1000_0000, 0x1fff_fffc));
        assert!(!reach.reaches(0x1000_0000, 0x2000_0000));
        assert!(!reach.reaches(0x1fff_fffc, 0x1000_0000), "the delay slot lies in the next segment");
    }

    #[test]
    fn connecting_extents_checks_all_corners() {
        let a = Extent::new(0x1_0000_0000, 0x1000).expect("extent");
        let near = Extent::new(0x1_7fff_f000, 0x1000).expect("extent");
        assert!(REL32.connects(a, near));
        let far = Extent::new(0x1_7fff_f000, 0x2000).expect("extent");
        assert!(!REL32.connects(a, far));
    }
}
