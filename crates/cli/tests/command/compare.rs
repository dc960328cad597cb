//! `execmem compare` on the sets that were measured: what its JSON says against what Linux guests showed.

use serde_json::Value;

use super::support::{LARGE, SMALL, compare, count, policy, refuse};

skip::tests! {
    linux_6_1_and_the_engine_on_the_sets_that_were_measured
    linux_7_2_and_the_engine_on_the_sets_that_were_measured
    a_map_in_1g_leaves_is_whole_again_and_other_tables_work
    a_cache_of_unmapped_frames_spares_the_direct_map_whatever_the_policy
    shortages_cost_entries_or_refusals_and_nothing_for_good
    loads_under_way_together_and_pressure_leave_nothing_behind
    wrong_names_are_errors_that_list_the_right_ones
}

/// What holds of the engine on every load.
fn check_engine(comparison: &Value, most_entries: u64) {
    let ours = policy(comparison, "execmem");
    assert!(count(&ours["mappings"][LARGE]) <= most_entries, "{}", ours["mappings"]);
    assert_eq!(ours["splits"], ours["merges"]);
    assert_eq!((count(&ours["direct_map"]["lost"]), count(&ours["direct_map"]["lost_for_good"])), (0, 0));
    for mark in ours["marks"].as_array().expect("marks") {
        assert_eq!(mark["mappings"][SMALL], Value::Null, "no entry of 4K at {}", mark["mark"]);
        assert_eq!(count(&mark["wx_bytes"]), 0);
    }
    assert_eq!(count(&ours["refused"]), 0);
}

fn linux_6_1_and_the_engine_on_the_sets_that_were_measured() {
    for (set, entries) in [("workstation", 5277), ("server", 5692)] {
        let comparison = compare(&["--set", set, "--kernel", "6.1", "--churn", "200"]);
        let names: Vec<_> =
            comparison["policies"].as_array().expect("policies").iter().map(|policy| &policy["name"]).collect();
        assert_eq!(names, ["module_alloc", "prog_pack", "execmem-v2", "linux", "execmem"]);
        assert_eq!(count(&policy(&comparison, "module_alloc")["mappings"][SMALL]), entries);
        check_engine(&comparison, 16);
        let misses = |name| count(&policy(&comparison, name)["tlb"]["programs"]["itlb_misses"]);
        assert!(misses("module_alloc") > misses("prog_pack"), "none, packs");
        assert!(misses("prog_pack") > 10 * misses("execmem"), "packs, the engine");
        let idle = |name, what: &str| count(&policy(&comparison, name)[what]);
        assert!(idle("module_alloc", "itlb_misses") > 100 * idle("execmem", "itlb_misses"));
        assert!(idle("linux", "dtlb_misses") > 2 * idle("execmem", "dtlb_misses"));
    }
}

fn linux_7_2_and_the_engine_on_the_sets_that_were_measured() {
    // 17 large blocks is what the server's kinds take packed; 15 what the workstation's do.
    for (set, small, large, ours) in [("workstation", 3970, 6, 15), ("server", 4424, 7, 17)] {
        let comparison = compare(&["--set", set, "--kernel", "7.2", "--churn", "200", "--policies", "linux,execmem"]);
        let linux = policy(&comparison, "linux");
        assert_eq!((count(&linux["mappings"][SMALL]), count(&linux["mappings"][LARGE])), (small, large));
        assert!(count(&linux["direct_map"]["lost_for_good"]) >= count(&linux["direct_map"]["lost"]));
        assert!(count(&linux["direct_map"]["lost"]) > 20);
        check_engine(&comparison, ours);
    }
}

fn a_map_in_1g_leaves_is_whole_again_and_other_tables_work() {
    for arguments in [["--machine", "server"], ["--arch", "x86-strict"]] {
        let comparison =
            compare(&[&arguments[..], &["--churn", "100", "--policies", "execmem", "--set", "laptop"]].concat());
        let ours = policy(&comparison, "execmem");
        assert_eq!(
            (&ours["splits"], count(&ours["direct_map"]["lost_for_good"])),
            (&ours["merges"], 0),
            "{arguments:?}"
        );
    }
}

fn a_cache_of_unmapped_frames_spares_the_direct_map_whatever_the_policy() {
    let comparison = compare(&["--unmapped", "--churn", "50", "--policies", "module_alloc,linux,execmem"]);
    for policy in comparison["policies"].as_array().expect("policies") {
        let marks = policy["marks"].as_array().expect("marks");
        assert!(marks.iter().all(|mark| count(&mark["direct_map_lost"]) == 0), "{}", policy["name"]);
        assert!(count(&marks[1]["cached_bytes"]) >= count(&marks[1]["bytes_mapped"]));
    }
    let marks = &policy(&comparison, "execmem")["marks"];
    assert_eq!(count(&marks.as_array().expect("marks").last().expect("a mark")["cached_bytes"]), 0);
}

fn shortages_cost_entries_or_refusals_and_nothing_for_good() {
    let shortage = compare(&["--large-pages", "6", "--churn", "50", "--policies", "execmem"]);
    let ours = policy(&shortage, "execmem");
    assert_eq!((count(&ours["mappings"][LARGE]), count(&ours["refused"])), (6, 0));
    assert!(count(&ours["mappings"][SMALL]) > 1000);
    assert_eq!((&ours["splits"], count(&ours["direct_map"]["lost_for_good"])), (&ours["merges"], 0));
    let full = compare(&["--window", "16", "--churn", "50"]);
    for policy in full["policies"].as_array().expect("policies") {
        assert!(count(&policy["refused"]) > 0 && count(&policy["bytes_mapped"]) <= 16 << 20, "{}", policy["name"]);
    }
}

fn loads_under_way_together_and_pressure_leave_nothing_behind() {
    let alone = compare(&["--churn", "200"]);
    let together = compare(&["--churn", "200", "--parallel", "32", "--pressure", "10"]);
    for name in ["module_alloc", "prog_pack", "execmem-v2", "linux", "execmem"] {
        let (alone, together) = (policy(&alone, name), policy(&together, name));
        let requested = |policy: &Value| count(&policy["bytes_requested"]);
        assert_eq!(requested(alone), requested(together), "{name}: the same modules stay");
        assert_eq!(count(&together["refused"]), 0, "{name}");
        let last = |policy: &Value| policy["marks"].as_array().and_then(|marks| marks.last().cloned()).expect("a mark");
        assert_eq!(count(&last(together)["bytes_requested"]), 0, "{name}");
    }
    let (alone, ours) = (policy(&alone, "execmem"), policy(&together, "execmem"));
    assert_eq!((&ours["splits"], count(&ours["direct_map"]["lost_for_good"])), (&ours["merges"], 0));
    assert!(count(&ours["splits"]) >= count(&alone["splits"]), "pressure maps blocks anew");
}

fn wrong_names_are_errors_that_list_the_right_ones() {
    let cases = [
        ["--policies", "linx", "linux"],
        ["--machine", "gest", "guest"],
        ["--set", "laptp", "laptop"],
        ["--arch", "x86_65", "x86"],
    ];
    for [option, wrong, right] in cases {
        let error = refuse(&["compare", option, wrong]);
        assert!(error.contains(&format!("a similar value exists: '{right}'")), "{error}");
    }
    assert!(refuse(&["compare", "--kernel", "six"]).contains("`six` is no release of Linux"));
    assert!(refuse(&["compare", "--kernel", "5.10"]).contains("no module set workstation-5.10; there are"));
}
