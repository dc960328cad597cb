//! The report as a page and as pictures: what is in the files, and what a browser makes of them.

use serde_json::Value;

use super::browser;
use super::support::{argument, bpftool, command, count, file, place, proc_modules, succeed, text};

skip::tests! {
    a_page_is_one_file_that_is_read_without_scripts
    every_name_is_escaped_for_where_it_stands
    a_page_passes_the_accessibility_checker_at_two_widths_in_both_themes
    a_machine_of_ones_own_is_drawn_with_what_was_read_of_it
    pictures_mark_gaps_and_have_titles
}

/// A name that would do harm where it is not escaped.
const EVIL: &str = "<script>alert(1)<!--<script>.ko";

fn report(name: &str, arguments: &[&str]) -> (std::path::PathBuf, String) {
    let path = place(name);
    succeed(&[&["compare", "--calls", "20000", "--html", &argument(&path)], arguments].concat());
    let page = std::fs::read_to_string(&path).expect("a page");
    (path, page)
}

/// The data that the scripts of a page draw from.
fn data(page: &str) -> Value {
    let data = page.split_once("type=\"application/json\">").and_then(|(_, rest)| rest.split_once("</script>"));
    serde_json::from_str(data.expect("the data").0).expect("JSON")
}

/// What a browser found wrong with a page, whatever is in it.
fn check_looks(found: &Value) {
    let looks = found["looks"].as_array().expect("looks");
    assert_eq!(looks.len(), 4, "two widths, two themes");
    for look in looks {
        let which = format!("{} {}", look["width"], look["scheme"]);
        for wrong in ["log", "violations", "small", "tight"] {
            assert_eq!(look[wrong], Value::Array(Vec::new()), "{which}: {wrong}");
        }
        assert_eq!(look["overflow"], 0, "{which}");
        assert!(
            count(&look["passes"]) > 20 && count(&look["texts"]) > 50 && count(&look["targets"]) > 8,
            "{which}: {look}"
        );
    }
}

fn a_page_is_one_file_that_is_read_without_scripts() {
    let (_, page) = report("own-page.html", &["--set", "laptop", "--churn", "100"]);
    assert!(!page.contains("src=") && !page.contains("href=\"http"), "nothing from elsewhere");
    for text in [
        "With all modules loaded",
        "Over the whole run",
        "module_alloc",
        "4350 × 4K",
        "made by",
        "execmem compare --calls",
    ] {
        assert!(page.split("<script id=").next().expect("a body").contains(text), "{text}");
    }
    let data = data(&page);
    assert_eq!(data["policies"].as_array().map(Vec::len), Some(5));
    assert!(data["states"].as_array().is_some_and(|states| states.len() > 100), "a slider through events");
}

fn every_name_is_escaped_for_where_it_stands() {
    let csv = file("evil.csv", &format!("name,text,bpf\n{EVIL},5000,\n\"\"\" onload=x '\",,90\n"));
    let root = file("a<b>&\".modules", &proc_modules(2));
    let (path, page) = report("evil.html", &["--csv", &csv, "--proc-modules", &root]);
    assert!(!page.contains("<script>alert") && !page.contains("<!--") && !page.contains("a<b>"), "in the page");
    let names = data(&page)["names"].to_string();
    assert!(names.contains(EVIL) && names.contains("onload"), "{names}");
    let svg = succeed(&["report", "--csv", &csv, "--svg", "-"]);
    assert!(svg.contains("&lt;script&gt;alert(1)&lt;!--") && !svg.contains("<script"), "in the picture");
    let found = browser::look(&path);
    check_looks(&found);
    let inspected = found["use"]["inspected"].to_string();
    assert!(inspected.contains(EVIL), "it is drawn and named: {inspected}");
}

fn a_page_passes_the_accessibility_checker_at_two_widths_in_both_themes() {
    let (path, _) = report("checked.html", &["--churn", "200"]);
    let found = browser::look(&path);
    check_looks(&found);
    let used = &found["use"];
    let strings = |name: &str| -> Vec<String> {
        let list = used[name].as_array().expect("a list");
        list.iter().map(|text| text.as_str().expect("text").to_owned()).collect()
    };
    assert!(strings("loaded")[0].contains("6,571 × 4K") && strings("loaded")[4].contains("13 × 2M"), "{used}");
    assert_eq!(used["moment"], "trampolines, event 1,726");
    assert!(strings("atBoot").iter().all(|caption| caption.contains("none")), "the slider goes to the start: {used}");
    assert!(strings("atModules")[0].contains("5,277 × 4K"), "a button goes to a mark: {used}");
    let by_keys = used["byKeys"].as_str().expect("text");
    assert!(by_keys.contains("in a leaf of 2M with") && by_keys.contains("text"), "{by_keys}");
    assert!(
        !strings("inspected").is_empty() && used["tip"].as_str().is_some_and(|tip| tip.contains("at 0xffffffffc0"))
    );
    assert!(
        count(&used["hits"]) >= 5 && used["foundText"].as_str().is_some_and(|text| text.contains("execmem: ")),
        "{used}"
    );
    let followed = &used["followed"];
    assert!(
        followed["moment"].as_str().is_some_and(|moment| moment.starts_with("modules")),
        "the link keeps it: {used}"
    );
    assert_eq!((&followed["said"], &followed["find"]), (&used["byKeys"], &used["inspected"][0]), "{used}");
    assert!(count(&used["gaps"]) > 0 && count(&used["tall"]) > 20 && count(&used["combs"]) > 4, "{used}");
    let colours = used["colours"].as_array().expect("colours");
    for policy in &colours[..5] {
        assert!(colours[5..].contains(policy), "a policy has one colour: {colours:?}");
    }
    assert!(count(&found["withoutScripts"]["tables"]) >= 4, "{}", found["withoutScripts"]);
    assert!(
        count(&found["printed"]["bytes"]) > 20_000 && found["printed"]["controls"] == false,
        "{}",
        found["printed"]
    );
}

fn a_machine_of_ones_own_is_drawn_with_what_was_read_of_it() {
    let symbols: String = (0..20)
        .map(|index| {
            format!("{:016x} t module_{index}_init\t[module_{index}]\n", 0xffff_ffff_c020_1000_u64 + index * 0x8000)
        })
        .collect();
    let (modules, symbols) = (file("drawn.modules", &proc_modules(20)), file("drawn.kallsyms", &symbols));
    let programs = file("drawn.json", &bpftool(50));
    let (path, page) = report(
        "drawn.html",
        &["--proc-modules", &modules, "--kallsyms", &symbols, "--bpftool", &programs, "--churn", "20"],
    );
    assert_eq!(
        (&data(&page)["policies"][0]["name"], data(&page)["policies"].as_array().map(Vec::len)),
        (&"this machine".into(), Some(6))
    );
    assert!(page.contains("20 places were read, from ") && page.contains("0xffffffffc0201000"));
    let found = browser::look(&path);
    check_looks(&found);
    let loaded = found["use"]["loaded"][0].as_str().expect("text").to_owned();
    assert!(loaded.contains("cannot be read from outside"), "{loaded}");
}

fn pictures_mark_gaps_and_have_titles() {
    let svg = succeed(&["report", "--set", "laptop", "--programs", "100", "--svg", "-"]);
    assert!(svg.contains("<title>execmem on laptop-6.1</title>") && svg.contains("<desc>execmem report --set laptop"));
    let leaves = svg.matches("class=\"leaf\"").count();
    assert!(leaves > 5, "{leaves} leaves");
    assert!(svg.matches("class=\"gap\"").count() >= 1 && svg.contains(" that nothing uses</title>"));
    assert_eq!(svg.matches("<title>").count(), 1 + leaves + svg.matches("class=\"gap\"").count());
    let fixed = |epoch| {
        let output = command(&["report", "--set", "laptop", "--svg", "-"]).env("SOURCE_DATE_EPOCH", epoch).output();
        text(&output.expect("the command").stdout)
    };
    assert_eq!(fixed("0"), fixed("0"), "the same call makes the same picture");
    assert!(fixed("0").contains("1970-01-01T00:00:00Z"));
}
