//! What threads would wait for on more processors than there are: a simulation.
//!
//! The engine is the product's, its locks are not: each thread has a clock of its own that runs while it does, a lock knows
//! when it was held on these clocks, and whoever comes in between waits until then on its own. The thread whose clock is
//! behind all others goes next, one replacement at a time. So 64 threads are simulated by one processor, and the result is the
//! same in each run.

mod clock;
mod rules;
mod trace;
mod turns;

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};

use crate::args::Threads;
use rules::{Each, One, Product};
use trace::{Outcome, Owners};

/// Numbers of threads.
const COUNTS: [usize; 4] = [1, 2, 8, 64];

/// Simulates a number of threads that make so many steps each.
type Simulate = fn(usize, usize, Owners) -> Result<Outcome>;

/// Rules by which threads choose shards, the product's last.
const RULES: [(&str, Simulate); 3] = [
    ("one shard for all", trace::run::<One>),
    ("a shard by number", trace::run::<Each>),
    ("its own once it meets another", trace::run::<Product>),
];

/// Simulates all numbers of threads under all rules, and prints a table of each load.
pub(crate) fn run(options: &Threads) -> Result<()> {
    for (owners, about) in Owners::ALL {
        println!("{about}, {} replacements a thread", options.steps);
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        let measures = ["threads", "pairs/us", "scaling", "waits/1000", "waiting %", "mapping waits", "met"];
        table.set_header(std::iter::once("rule").chain(measures).chain(["blocks"]));
        for (rule, simulate) in RULES {
            let mut alone = None;
            for threads in COUNTS {
                let outcome = simulate(threads, options.steps, owners)?;
                let alone = *alone.get_or_insert(outcome.pairs_per_us);
                table.add_row(row(rule, threads, &outcome, alone));
            }
        }
        table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        println!("{table}\n");
    }
    Ok(())
}

fn row(rule: &str, threads: usize, outcome: &Outcome, alone: f64) -> Vec<String> {
    let per_1000 = |count: u64| format!("{:.1}", count as f64 * 1000.0 / outcome.pairs as f64);
    vec![
        rule.to_owned(),
        threads.to_string(),
        format!("{:.1}", outcome.pairs_per_us),
        format!("{:.1}", outcome.pairs_per_us / alone),
        per_1000(outcome.counts.shard_waits),
        format!("{:.1}", outcome.waiting_share() * 100.0),
        outcome.counts.mapping_waits.to_string(),
        outcome.counts.met.to_string(),
        outcome.blocks.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_waits_for_nobody_and_two_wait_less_with_a_shard_each() {
        let simulate = |run: Simulate, threads| run(threads, 1_000, Owners::Left).expect("memory");
        let alone = simulate(trace::run::<Product>, 1);
        assert_eq!((alone.counts.shard_waits, alone.counts.waited_ns, alone.counts.met), (0, 0, 0));
        let [one, each, product] =
            [trace::run::<One>, trace::run::<Each>, trace::run::<Product>].map(|run: Simulate| simulate(run, 2));
        assert!(one.counts.shard_waits > 2 * each.counts.shard_waits && one.pairs_per_us < each.pairs_per_us);
        assert!(product.counts.met > 0 && product.counts.shard_waits < one.counts.shard_waits / 2);
    }
}
