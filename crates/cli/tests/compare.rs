//! `execmem compare` as a user runs it: what its JSON says against what Linux guests showed, and its report in a browser.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const SMALL: &str = "4096";
const LARGE: &str = "2097152";

fn compare(arguments: &[&str]) -> Value {
    let program = env!("CARGO_BIN_EXE_execmem");
    let output = Command::new(program)
        .args(["compare", "--json", "--calls", "50000"])
        .args(arguments)
        .output()
        .expect("the command");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn policy<'a>(comparison: &'a Value, name: &str) -> &'a Value {
    let policies = comparison["policies"].as_array().expect("policies");
    policies.iter().find(|policy| policy["name"] == name).expect(name)
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
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

#[test]
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

#[test]
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

#[test]
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

#[test]
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

#[test]
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

#[test]
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

#[test]
fn wrong_names_are_errors_that_list_the_right_ones() {
    for arguments in [["--policies", "none"], ["--machine", "none"], ["--set", "none"], ["--arch", "none"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_execmem")).arg("compare").args(arguments).output().expect("runs");
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("there are "), "{arguments:?}");
    }
}

/// Presses keys in the report and says in the page what came of it.
const KEYS: &str = r##"<script>
const first = document.querySelector('.block[tabindex="0"]');
first.focus();
const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
press("ArrowRight");
const second = document.activeElement.dataset.index;
press("Enter");
const opened = document.querySelector('.block[aria-pressed="true"]').dataset.index;
press("End");
const rows = document.querySelectorAll("#block tbody tr").length;
document.documentElement.dataset.keys = [second, opened, document.activeElement.dataset.index, rows > 0].join(" ");
document.querySelectorAll('input[name="policy"]')[0].click();
document.documentElement.dataset.others = document.querySelectorAll(".block").length;
document.querySelectorAll('input[name="policy"]')[4].click();
</script></body>"##;

fn browser() -> Option<&'static str> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    names
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success()))
}

fn report(name: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    compare(&["--churn", "100", "--html", file.to_str().expect("a path")]);
    file
}

/// What a browser makes of a page, and what it has to say.
fn draw(browser: &str, file: &Path) -> (String, String) {
    let profile = file.with_extension("profile");
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}", file.display()))
        .output()
        .expect("the browser");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_single_run_is_drawn_as_a_page_and_as_pictures() {
    let file = |name: &str| Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let files = ["single.html", "single.svg", "single.png"].map(file);
    let [page, svg, png] = &files;
    let status = Command::new(env!("CARGO_BIN_EXE_execmem"))
        .args(["report", "--set", "laptop", "--programs", "100"])
        .args(["--html".as_ref(), page.as_os_str(), "--svg".as_ref(), svg.as_os_str()])
        .args(["--png".as_ref(), png.as_os_str()])
        .status()
        .expect("the command");
    assert!(status.success());
    let text = std::fs::read_to_string(page).expect("the page");
    let blocks = text.matches("\"allocations\":").count();
    let drawn = std::fs::read_to_string(svg).expect("the drawing").matches("class=\"block\"").count();
    assert!(blocks > 5 && drawn == blocks, "{drawn} of {blocks} blocks");
    assert!(std::fs::read(png).expect("the picture").starts_with(b"\x89PNG"));
    let Some(browser) = browser() else {
        println!("no browser is installed: the page was not drawn");
        return;
    };
    let (page, log) = draw(browser, page);
    assert!(!log.contains("CONSOLE") && page.contains("data-drawn=\"yes\""), "{log}");
    assert_eq!(page.matches("class=\"block\"").count(), blocks, "one element for each block");
}

#[test]
fn the_report_is_one_file_and_draws_itself_in_a_browser() {
    let file = report("report.html");
    let text = std::fs::read_to_string(&file).expect("the report");
    assert!(!text.contains("src=") && !text.contains("href=\"http"), "nothing from elsewhere");
    let data = text.split_once("type=\"application/json\">").and_then(|(_, rest)| rest.split_once("</script>"));
    let data: Value = serde_json::from_str(data.expect("the data").0).expect("JSON");
    let blocks = |name| policy(&data, name)["map"].as_array().expect("a map").len();
    let Some(browser) = browser() else {
        println!("no browser is installed: the report was not drawn");
        return;
    };
    std::fs::write(&file, text.replace("</body>", KEYS)).expect("a copy");
    let (page, log) = draw(browser, &file);
    assert!(!log.contains("CONSOLE"), "{log}");
    assert!(page.contains("data-drawn=\"yes\""), "{log}");
    let ours = blocks("execmem");
    assert_eq!(page.matches("class=\"block\"").count(), ours, "one element for each block");
    assert!(page.contains(&format!("data-keys=\"1 1 {} true\"", ours - 1)), "keys reach every block and open one");
    assert!(page.contains(&format!("data-others=\"{}\"", blocks("module_alloc"))), "the policy can be changed");
}
