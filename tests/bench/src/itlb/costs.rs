//! What a miss costs: the two numbers that explain the measured times best, given the model's misses.

use serde::{Deserialize, Serialize};

use super::report::CaseReport;

/// Costs in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Costs {
    /// Of a translation that only the second level has.
    pub(crate) second_level_hit_ns: f64,
    /// Of a walk of the page tables.
    pub(crate) walk_ns: f64,
}

/// Least squares over what the layouts of each case differ by from packing in large pages, relative to the time there.
pub(crate) fn fit(cases: &[CaseReport]) -> Costs {
    let (mut hits_hits, mut hits_walks, mut walks_walks) = (0.0, 0.0, 0.0);
    let (mut hits_time, mut walks_time) = (0.0, 0.0);
    for case in cases {
        let Some((base, others)) = case.layouts.split_last() else { continue };
        for other in others {
            let weight = base.ns_per_call.max(1.0).powi(-2);
            let hits = other.model.second_level_hits - base.model.second_level_hits;
            let walks = other.model.walks - base.model.walks;
            let time = other.ns_per_call - base.ns_per_call;
            hits_hits += weight * hits * hits;
            hits_walks += weight * hits * walks;
            walks_walks += weight * walks * walks;
            hits_time += weight * hits * time;
            walks_time += weight * walks * time;
        }
    }
    let determinant = hits_hits * walks_walks - hits_walks * hits_walks;
    let alone = Costs { second_level_hit_ns: 0.0, walk_ns: walks_time / walks_walks };
    if determinant <= 0.0 {
        return if walks_walks > 0.0 { alone } else { Costs::default() };
    }
    let both = Costs {
        second_level_hit_ns: (hits_time * walks_walks - walks_time * hits_walks) / determinant,
        walk_ns: (walks_time * hits_hits - hits_time * hits_walks) / determinant,
    };
    // No miss saves time.
    if both.second_level_hit_ns < 0.0 { alone } else { both }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::itlb::case::{Case, Law, Layout, Sizes};
    use crate::itlb::model::Misses;
    use crate::itlb::report::LayoutReport;

    #[test]
    fn costs_that_made_the_times_are_found_again() {
        let case = |base: f64, misses: [(f64, f64); 3]| CaseReport {
            case: Case { sizes: Sizes::Small, text_mib: 2, law: Law::Uniform },
            functions: 1,
            layouts: Layout::ALL
                .into_iter()
                .zip(misses)
                .map(|(layout, (second_level_hits, walks))| LayoutReport {
                    layout,
                    bytes: 0,
                    large_bytes: 0,
                    ns_per_call: base + 5.0 * second_level_hits + 40.0 * walks,
                    ratio: 1.0,
                    model: Misses { second_level_hits, walks },
                    predicted_ratio: 0.0,
                })
                .collect(),
        };
        let cases =
            [case(40.0, [(0.2, 0.7), (0.6, 0.0), (0.0, 0.0)]), case(200.0, [(0.1, 1.9), (0.9, 0.8), (0.3, 0.0)])];
        let costs = fit(&cases);
        assert!((costs.second_level_hit_ns - 5.0).abs() < 1e-6 && (costs.walk_ns - 40.0).abs() < 1e-6, "{costs:?}");
        assert_eq!(fit(&[]), Costs::default());
    }
}
