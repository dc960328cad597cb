//! What a miss costs: the numbers that explain the measured times best, given the model's misses.

use serde::{Deserialize, Serialize};

use super::case::Layout;
use super::model::Misses;
use super::report::CaseReport;

/// Costs in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Costs {
    /// Of a translation that only the second level has.
    pub(crate) second_level_hit_ns: f64,
    /// Of a walk of page tables that are in the cache.
    pub(crate) walk_ns: f64,
    /// Of a walk of page tables that are not.
    pub(crate) far_walk_ns: f64,
}

/// Enough for what converges in some dozen.
const STEPS: usize = 10_000;

impl Costs {
    /// Time that misses take.
    pub(crate) fn of(self, misses: Misses) -> f64 {
        let [hits, walks, far_walks] = misses.by_cost();
        hits * self.second_level_hit_ns + walks * self.walk_ns + far_walks * self.far_walk_ns
    }
}

/// Least squares over what layouts in small pages take longer than the same in large ones, relative to the time there.
/// No cost is negative, since no miss saves time.
pub(crate) fn fit(cases: &[CaseReport]) -> Costs {
    let mut products = [[0.0; 3]; 3];
    let mut times = [0.0; 3];
    for (case, (small, large)) in cases.iter().flat_map(|case| Layout::TWINS.map(|twins| (case, twins))) {
        let (small, large) = (&case.layouts[small], &case.layouts[large]);
        let weight = large.ns_per_call.max(1.0).powi(-2);
        let (of_small, of_large) = (small.model.by_cost(), large.model.by_cost());
        let misses = [0, 1, 2].map(|index| of_small[index] - of_large[index]);
        for row in 0..3 {
            times[row] += weight * misses[row] * (small.ns_per_call - large.ns_per_call);
            (0..3).for_each(|column| products[row][column] += weight * misses[row] * misses[column]);
        }
    }
    // One cost after the other takes the value that fits best beside the others (Gauss and Seidel).
    let mut costs = [0.0_f64; 3];
    for step in 0..STEPS {
        let row = step % 3;
        let others: f64 =
            (0..3).filter(|column| *column != row).map(|column| products[row][column] * costs[column]).sum();
        if products[row][row] > 0.0 {
            costs[row] = ((times[row] - others) / products[row][row]).max(0.0);
        }
    }
    let [second_level_hit_ns, walk_ns, far_walk_ns] = costs;
    Costs { second_level_hit_ns, walk_ns, far_walk_ns }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::itlb::case::{Case, Law, Sizes};
    use crate::itlb::report::LayoutReport;

    #[test]
    fn costs_that_made_the_times_are_found_again() {
        let made_of = Costs { second_level_hit_ns: 5.0, walk_ns: 40.0, far_walk_ns: 90.0 };
        let case = |base: f64, misses: [[f64; 3]; 4]| {
            let layouts = Layout::ALL.into_iter().zip(misses).map(|(layout, [second_level_hits, walks, far_walks])| {
                let model = Misses { second_level_hits, walks, far_walks };
                let ns_per_call = base + made_of.of(model);
                let (bytes, large_bytes) = (0, 0);
                LayoutReport { layout, bytes, large_bytes, ns_per_call, ratio: 1.0, model, predicted_ns: None }
            });
            let layouts = layouts.collect();
            CaseReport { case: Case { sizes: Sizes::Small, text_mib: 2, law: Law::Uniform }, functions: 1, layouts }
        };
        let cases = [
            case(40.0, [[0.2, 0.7, 0.0], [0.0; 3], [0.6, 0.0, 0.0], [0.0; 3]]),
            case(200.0, [[0.1, 1.9, 0.9], [0.3, 0.1, 0.0], [0.9, 0.8, 0.1], [0.3, 0.0, 0.0]]),
        ];
        let costs = fit(&cases);
        let is_near = |one: f64, other: f64| (one - other).abs() < 1e-3;
        assert!(is_near(costs.second_level_hit_ns, 5.0) && is_near(costs.walk_ns, 40.0), "{costs:?}");
        assert!(is_near(costs.far_walk_ns, 90.0), "{costs:?}");
        assert_eq!(fit(&[]), Costs::default());
    }
}
