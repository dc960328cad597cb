//! What a kernel has to print.

use anyhow::{Result, bail, ensure};

/// What calls cost, in the documentation of the engine.
const COSTS: &str = include_str!("../../../crates/engine/src/costs.md");

/// Beginnings of lines, in this order. Others may stand between them.
const EXPECTED: &[&str] = &[
    "kernel: started on ",
    "processors: 2",
    "conformance: passes",
    "table: a constant, for the machine `bare`",
    "life: allocated, written, published, called, freed: 42",
    "fault: a store to text",
    "fault: a call of data",
    "fault: a call of freed text",
    "fault: a store to sealed data",
    "entries: ",
    "callers: a probe, a tracer and a program, executed, in one block of 2M",
    "patching: ",
    "module: loaded, init ran and is freed, called, sealed, exit ran, unloaded",
    "frames run out: refused ",
    "heap runs out: refused ",
    "kinds: 4 of our own, in a constant table: a filter found by its kind and called: 42",
    "interrupts off: ",
    "audit: nothing was left",
    "cost: ",
    "lost flush: the other processor stores to unmapped memory, and with the flush it faults",
    "all: done",
];

/// Operations that are measured. A line `cost: NAME: WHAT N of LIMIT` each, with `: over` behind what is above its limit.
const MEASURED: &[&str] = &[
    "engine",
    "first allocation of text",
    "first allocation of data",
    "free the last of a block",
    "allocation in a block",
    "write",
    "publish",
    "find",
    "patch",
    "free in a block",
    "group of four",
    "free the group",
    "load a module",
    "growth by 4 MiB",
    "seal",
    "statistics",
    "audit",
    "free 4 MiB",
    "shrink",
    "after shrink",
];

/// Fails if an expected line is missing, or a cost is above its limit.
pub(super) fn check(lines: &[String]) -> Result<()> {
    let mut rest = lines.iter();
    for expected in EXPECTED {
        if !rest.any(|line| line.starts_with(expected)) {
            bail!("no line `{expected}…`, or not where it belongs");
        }
    }
    let costs: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("cost: ")?.split_once(": ")).collect();
    for name in MEASURED {
        ensure!(costs.iter().any(|(measured, _)| measured == name), "`{name}` was not measured");
    }
    for call in possible_without_interrupts() {
        let line = format!("interrupts off: {call}");
        ensure!(lines.contains(&line), "no line `{line}`");
    }
    if let Some((name, what)) = costs.iter().find_map(|(name, amounts)| Some((name, above(amounts).next()?))) {
        bail!("{name}: {what} is above its limit");
    }
    Ok(())
}

/// The calls that the table of costs allows with interrupts off, the last column but one.
fn possible_without_interrupts() -> impl Iterator<Item = &'static str> {
    let rows = COSTS.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" |"));
    let is_possible =
        |cells: &str| [" yes ", " in any handler "].contains(&cells.rsplit('|').nth(2).unwrap_or_default());
    rows.filter(move |(_, cells)| is_possible(cells)).map(|(call, _)| call)
}

/// What of `stack 1 of 2, heap 3 of 2: over` is over.
fn above(amounts: &str) -> impl Iterator<Item = &str> {
    amounts.split(", ").filter(|amount| amount.ends_with(": over")).filter_map(|amount| amount.split(' ').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Vec<String> {
        let cost = |name: &&str| format!("cost: {name}: stack 1 of 2, heap 1 of 2");
        let mut lines: Vec<_> = EXPECTED.iter().map(|line| (*line).to_owned()).collect();
        let mut replace = |line: &str, by: Vec<String>| {
            let place = lines.iter().position(|other| other == line).expect("a place");
            lines.splice(place..=place, by);
        };
        replace("cost: ", MEASURED.iter().map(cost).collect());
        replace(
            "interrupts off: ",
            possible_without_interrupts().map(|call| format!("interrupts off: {call}")).collect(),
        );
        lines
    }

    #[test]
    fn each_line_counts_and_so_does_their_order() {
        check(&good()).expect("all are there");
        for index in 0..good().len() {
            let mut lines = good();
            lines.remove(index);
            assert!(check(&lines).is_err(), "{}", good()[index]);
        }
        let mut lines = good();
        lines.reverse();
        assert!(check(&lines).is_err());
    }

    #[test]
    fn calls_without_interrupts_are_those_of_the_table() {
        let calls: Vec<_> = possible_without_interrupts().collect();
        assert!(calls.contains(&"`find`") && calls.contains(&"`write`") && !calls.contains(&"`seal`"), "{calls:?}");
    }

    #[test]
    fn what_is_above_its_limit_is_named() {
        let replaced = |from: &str, to: &str| good().iter().map(|line| line.replace(from, to)).collect::<Vec<_>>();
        let error = check(&replaced("cost: find: stack 1 of 2", "cost: find: stack 3 of 2: over")).unwrap_err();
        assert_eq!(error.to_string(), "find: stack is above its limit");
    }
}
