//! What belongs to an architecture is shown for it alone, and what is not known is left out and said so.

use serde_json::Value;

use super::support::{SMALL, compare, count, names, notes, policy, refuse, succeed};

skip::tests! {
    no_machine_has_the_translation_caches_or_the_cache_of_large_pages_of_another
    what_is_not_known_of_a_machine_is_left_out_and_said_so
    a_machine_or_policy_of_another_architecture_is_refused
    a_table_of_another_machine_is_refused_for_memory_of_this_process
    publishing_is_counted_by_how_processors_learn_of_it
    values_of_a_moment_and_of_the_whole_run_stand_in_different_tables
    a_policy_that_refused_loads_is_not_compared
}

/// Every part of a comparison that could name something of another machine.
fn everything(comparison: &Value) -> String {
    let text = comparison.to_string();
    text.to_lowercase()
}

fn no_machine_has_the_translation_caches_or_the_cache_of_large_pages_of_another() {
    for arch in ["s390", "arm64-64k", "arm64-4k", "riscv64", "powerpc-8xx", "x86-32"] {
        let comparison = compare(&["--arch", arch, "--set", "laptop", "--churn", "10"]);
        let all = everything(&comparison);
        assert!(!all.contains("intel") && !all.contains("skylake"), "{arch}");
        assert_eq!(names(&comparison), ["module_alloc", "linux", "execmem"], "{arch}");
        let linux = policy(&comparison, "linux");
        let leaves = linux["mappings"].as_object().expect("leaves");
        assert_eq!(leaves.len(), 1, "{arch}: Linux has no cache of large pages there: {leaves:?}");
    }
    let x86 = compare(&["--set", "laptop", "--churn", "10", "--policies", "linux"]);
    assert_eq!(policy(&x86, "linux")["mappings"].as_object().expect("leaves").len(), 2);
}

fn what_is_not_known_of_a_machine_is_left_out_and_said_so() {
    let s390 = compare(&["--arch", "s390x", "--set", "laptop", "--churn", "10"]);
    let ours = policy(&s390, "execmem");
    assert!(ours["tlb"].is_null() && ours["itlb_misses"].is_null() && ours["direct_map"].is_null());
    assert!(s390["machine"]["tlb_source"].is_null());
    assert!(notes(&s390).contains("no translation caches of s390 are known"), "{}", notes(&s390));
    assert!(notes(&s390).contains("the direct map is not simulated"), "{}", notes(&s390));
    let table = succeed(&["compare", "--arch", "s390", "--set", "laptop", "--churn", "10", "--calls", "1000"]);
    assert!(!table.contains("TLB") && !table.contains("lost"), "{table}");

    let arm = compare(&["--arch", "aarch64", "--set", "laptop", "--churn", "10"]);
    assert!(arm["machine"]["tlb_source"].as_str().is_some_and(|source| source.contains("Cortex-A76")));
    assert!(notes(&arm).contains("single pages from boot on") && notes(&arm).contains("sizes are those of x86-64"));
    let riscv = compare(&["--arch", "riscv", "--set", "laptop", "--churn", "10"]);
    assert!(riscv["machine"]["tlb_source"].as_str().is_some_and(|source| source.contains("U54")));
    assert!(count(&policy(&riscv, "linux")["direct_map"]["lost"]) > 0, "it is mapped in large leaves there");
}

fn a_machine_or_policy_of_another_architecture_is_refused() {
    let error = refuse(&["compare", "--arch", "s390", "--machine", "guest"]);
    assert!(error.contains("the machine guest is none of s390; of that there are plain"), "{error}");
    let error = refuse(&["compare", "--arch", "riscv64", "--policies", "prog_pack"]);
    assert!(error.contains("prog_pack does not serve riscv64; there are module_alloc, linux, execmem"), "{error}");
    assert!(refuse(&["compare", "--arch", "mips", "--unmapped"]).contains("needs a machine with a direct map"));
}

fn a_table_of_another_machine_is_refused_for_memory_of_this_process() {
    let other = if std::env::consts::ARCH == "riscv64" { "x86" } else { "riscv64" };
    let error = refuse(&["run", "--arch", other]);
    assert!(error.contains(&format!("{other} is a table of {other}; add --backend sim")), "{error}");
}

fn publishing_is_counted_by_how_processors_learn_of_it() {
    for (arch, how) in [("x86", "by themselves"), ("arm64-4k", "broadcast"), ("riscv64", "interrupt")] {
        let comparison = compare(&["--arch", arch, "--set", "laptop", "--programs", "10", "--churn", "0"]);
        assert_eq!(comparison["machine"]["code_sync"], how);
        for name in names(&comparison) {
            let policy = policy(&comparison, name);
            let at_modules = &policy["marks"][1];
            assert!(count(&at_modules["code_syncs"]) >= 123, "{arch} {name}: a text a module at least");
            assert!(count(&policy["code_syncs"]) > count(&at_modules["code_syncs"]), "{arch} {name}");
        }
        assert!(
            count(&policy(&comparison, "module_alloc")["flushes"]) > count(&policy(&comparison, "execmem")["flushes"])
        );
    }
}

fn values_of_a_moment_and_of_the_whole_run_stand_in_different_tables() {
    let text =
        succeed(&["compare", "--set", "laptop", "--churn", "10", "--calls", "1000", "--policies", "linux,execmem"]);
    let (moment, run) = text.split_once("Over the whole run").expect("two tables");
    let (_, moment) = moment.split_once("With all modules loaded").expect("a table of the moment");
    let (run, _) = run.split_once("Page-table entries after").expect("a table after it");
    for of_run in ["splits", "merges", "flushes", "refused", "lost for good"] {
        assert!(run.contains(of_run) && !moment.contains(of_run), "{of_run}");
    }
    for of_moment in ["entries", "mapped", "direct map lost"] {
        assert!(moment.contains(of_moment) && !run.contains(of_moment), "{of_moment}");
    }
}

fn a_policy_that_refused_loads_is_not_compared() {
    let arguments = ["--window", "4", "--churn", "10"];
    let comparison = compare(&arguments);
    for name in names(&comparison) {
        let policy = policy(&comparison, name);
        assert_eq!((count(&policy["refused"]) > 0, &policy["is_comparable"]), (true, &Value::Bool(false)), "{name}");
    }
    let text = succeed(&[&["compare", "--calls", "1000"], &arguments[..]].concat());
    assert_eq!(text.matches("NO: ").count(), 5, "{text}");
    assert!(!text.contains("0.000") && text.contains("refused"), "{text}");
    assert!(text.contains("so nothing is compared with it"), "{text}");
    let whole = compare(&["--churn", "10", "--set", "laptop", "--policies", "execmem"]);
    assert_eq!(policy(&whole, "execmem")["is_comparable"], Value::Bool(true));
    assert!(policy(&whole, "execmem")["mappings"][SMALL].is_null());
}
