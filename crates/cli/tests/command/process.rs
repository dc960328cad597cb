//! What a JIT's process would gain, from its perf map and its mappings.

use super::support::{LARGE, SMALL, compare, count, file, names, notes, policy, refuse, succeed};

skip::tests! {
    functions_of_a_jit_are_compared_with_where_they_are_now
    mappings_that_are_writable_and_executable_are_counted
    mappings_alone_are_answered_and_what_is_no_jit_is_refused
    a_process_of_this_machine_is_surveyed
}

/// 2000 functions of 300 bytes, five to a page, every second page used.
fn perf_map() -> String {
    let function = |index: u64| {
        let start = 0x7f10_0000_0000_u64 + index / 5 * 0x2000 + index % 5 * 0x200;
        format!("{start:x} 12c LazyCompile:*f{index} file.js:{index}\n")
    };
    (0..2000).map(function).collect()
}

fn functions_of_a_jit_are_compared_with_where_they_are_now() {
    let map = file("jit.map", &perf_map());
    let comparison = compare(&["--perf-map", &map]);
    assert_eq!(names(&comparison), ["now", "own-pages", "execmem"]);
    assert_eq!((&comparison["today"], &comparison["moment"]), (&"now".into(), &"functions".into()));
    let entries = |name, size: &str| count(&policy(&comparison, name)["mappings"][size]);
    assert_eq!(entries("now", SMALL), 400, "the pages that functions lie in");
    assert_eq!(entries("own-pages", SMALL), 2000);
    assert_eq!((entries("execmem", LARGE), entries("execmem", SMALL)), (1, 0));
    let misses = |name| count(&policy(&comparison, name)["itlb_misses"]);
    assert!(misses("now") > 50 * misses("execmem"), "{} {}", misses("now"), misses("execmem"));
    assert!(
        policy(&comparison, "now")["direct_map"].is_null() && !comparison.to_string().contains("direct map is not")
    );
}

fn mappings_that_are_writable_and_executable_are_counted() {
    let map = file("wx.map", &perf_map());
    let maps = file(
        "wx.maps",
        "7f1000000000-7f1000400000 rwxp 00000000 00:00 0\n55d000000000-55d000100000 r-xp 0 08:01 1 /usr/bin/node\n",
    );
    let arguments = ["--perf-map", &map, "--maps", &maps];
    let comparison = compare(&arguments);
    let now = policy(&comparison, "now");
    assert_eq!((count(&now["mappings"][SMALL]), count(&now["marks"][1]["wx_bytes"])), (1024, 4 << 20));
    assert_eq!(count(&policy(&comparison, "execmem")["marks"][1]["wx_bytes"]), 0);
    let text = succeed(&[&["compare"], &arguments[..]].concat());
    assert!(text.contains("Writable and executable at once: 4096 KiB by now, 0 by execmem"), "{text}");
}

fn mappings_alone_are_answered_and_what_is_no_jit_is_refused() {
    let maps = file("alone.maps", "7f1000000000-7f1000100000 r-xp 00000000 00:00 0\n");
    let comparison = compare(&["--maps", &maps]);
    assert_eq!(names(&comparison), ["now", "execmem"]);
    assert!(notes(&comparison).contains("the functions are not known"), "{}", notes(&comparison));
    let none = file("none.maps", "55d000000000-55d000100000 r-xp 0 08:01 1 /usr/bin/cat\n");
    assert!(refuse(&["compare", "--maps", &none]).contains("no executable memory of a JIT"));
    assert!(refuse(&["compare", "--maps", &maps, "--policies", "linux"]).contains("does not serve a process"));
    let csv = file("alone.csv", "name,text\na,5000\n");
    assert!(refuse(&["compare", "--maps", &maps, "--csv", &csv]).contains("two questions; ask one at a time"));
}

fn a_process_of_this_machine_is_surveyed() {
    let survey: serde_json::Value =
        serde_json::from_str(&succeed(&["survey", "--pid", &std::process::id().to_string()])).expect("JSON");
    assert_eq!(survey["process"]["regions"], serde_json::json!([]), "this test makes no code");
    assert!(survey["missing"].to_string().contains("functions of process"), "{survey}");
    assert_eq!(survey["modules"], serde_json::json!([]), "the kernel is another question");
}
