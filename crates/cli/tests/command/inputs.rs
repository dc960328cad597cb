//! Answers for a machine of one's own, from the files that people have.

use std::time::{Duration, Instant};

use super::support::{
    LARGE, SMALL, argument, bpftool, compare, count, file, names, notes, pages_of_modules, place, policy, proc_modules,
    refuse, run, succeed, text,
};

skip::tests! {
    sixty_modules_and_three_hundred_programs_are_answered_in_ten_seconds
    a_table_of_section_sizes_gives_the_entries_that_were_measured
    a_kernel_that_is_not_in_the_repository_has_the_entries_that_its_page_table_showed
    symbol_tables_count_in_a_folder_as_in_a_set
    module_files_have_the_sizes_of_the_set_that_was_counted_from_them
    a_trace_is_replayed_in_time
    every_input_that_makes_no_sense_is_refused_with_its_file_and_line
    module_files_that_change_while_they_are_read_are_read_or_named
}

/// The sizes of the modules that a workstation loaded, in this repository.
const WORKSTATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/workloads/modules/workstation-6.1.csv");
/// Modules that a guest of Linux 6.12 loaded, which no set of this repository is of.
const GUEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/guest-6.12.csv");

fn sixty_modules_and_three_hundred_programs_are_answered_in_ten_seconds() {
    let (modules, programs) = (file("own.modules", &proc_modules(60)), file("own.json", &bpftool(300)));
    let survey = argument(&place("own.survey"));
    let start = Instant::now();
    succeed(&["survey", "--proc-modules", &modules, "--bpftool", &programs, "--out", &survey]);
    let page = argument(&place("own.html"));
    let table = succeed(&["compare", "--from", &survey, "--html", &page]);
    assert!(table.starts_with("60 modules, 300 programs of "), "{table}");
    assert!(std::fs::read_to_string(&page).expect("a page").contains("module_59"));
    let comparison = compare(&["--from", &survey]);
    assert!(
        start.elapsed() < Duration::from_secs(if cfg!(debug_assertions) { 60 } else { 10 }),
        "{:?}",
        start.elapsed()
    );
    let old = policy(&comparison, "module_alloc");
    assert_eq!(count(&old["mappings"][SMALL]), pages_of_modules(60), "the pages that were read, exactly");
    let most = pages_of_modules(60).div_ceil(512) + 4;
    let ours = &policy(&comparison, "execmem")["mappings"];
    assert!(count(&ours[LARGE]) <= most && ours[SMALL].is_null(), "{ours} for at most {most}");
    assert!(notes(&comparison).contains("of 60 of 60 modules the size alone is known"), "{}", notes(&comparison));
    assert!(names(&comparison).contains(&"linux"));
    for arch in ["riscv64", "arm64"] {
        let comparison = compare(&["--from", &survey, "--arch", arch]);
        assert_eq!(names(&comparison), ["module_alloc", "linux", "execmem"]);
        let page = succeed(&["compare", "--from", &survey, "--arch", arch, "--calls", "1000", "--html", "-"]);
        for text in [comparison.to_string(), page] {
            assert!(!text.to_lowercase().contains("intel"), "{arch}");
        }
    }
}

fn a_table_of_section_sizes_gives_the_entries_that_were_measured() {
    let csv = compare(&["--csv", WORKSTATION, "--churn", "0"]);
    assert_eq!(count(&policy(&csv, "module_alloc")["mappings"][SMALL]), 5277);
    let set = compare(&["--set", "workstation", "--programs", "0", "--churn", "0"]);
    for name in names(&csv) {
        assert_eq!(policy(&csv, name)["mappings"], policy(&set, name)["marks"][1]["mappings"], "{name}");
    }
}

fn a_kernel_that_is_not_in_the_repository_has_the_entries_that_its_page_table_showed() {
    // A guest of Debian's 6.12.95: 6305 leaves of 4K more after 139 modules than before, of which 2466 are executable.
    let comparison = compare(&["--csv", GUEST, "--kernel", "6.12", "--churn", "0"]);
    assert_eq!(comparison["today"], "prog_pack", "before the cache of 6.15");
    let old = policy(&comparison, "module_alloc");
    assert_eq!((count(&old["mappings"][SMALL]), count(&old["tlb"]["code_entries"])), (6305, 2466));
    assert_eq!(count(&old["tlb"]["data_entries"]), 1730 + 2109, "read-only, and writable");
    let other = compare(&["--csv", GUEST, "--kernel", "6.1", "--churn", "0", "--policies", "module_alloc"]);
    assert!(count(&policy(&other, "module_alloc")["mappings"][SMALL]) > 6305, "symbol tables had pages of their own");
}

fn symbol_tables_count_in_a_folder_as_in_a_set() {
    let folder = place("tree");
    std::fs::create_dir_all(folder.join("kernel")).expect("a folder");
    std::fs::write(folder.join("kernel/own-module.ko"), super::survey::module(5000)).expect("a module");
    std::fs::write(folder.join("kernel/other.ko"), b"no module").expect("a file");
    let arguments = ["compare", "--json", "--churn", "0", "--policies", "module_alloc", "--kernel", "6.1", "--modules"];
    let output = run(&[&arguments[..], &[&argument(&folder)]].concat());
    assert_eq!(output.status.code(), Some(1), "one file could not be read: {}", text(&output.stderr));
    let comparison: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let old = policy(&comparison, "module_alloc");
    // Two pages of text, and one of the symbol table with a name of 300 letters.
    assert_eq!(count(&old["mappings"][SMALL]), 2 + 1);
    assert!(count(&old["bytes_requested"]) > 5000 + 300);
    assert_eq!(count(&comparison["load"]["unreadable"]), 1);
    assert!(notes(&comparison).contains("other.ko: it is no ELF file"), "{}", notes(&comparison));

    let listed = file("tree.modules", "own_module 12288 0 - Live 0x0\nlost 4096 0 - Live 0x0\n");
    let comparison = compare(&["--proc-modules", &listed, "--modules", &argument(&folder), "--churn", "0"]);
    let notes = notes(&comparison);
    assert!(notes.contains("not read: sections of modules (1: lost)"), "{notes}");
    assert!(notes.contains("of 1 of 2 modules the size alone is known") && !notes.contains("other sizes"), "{notes}");
}

/// The release that the sets of 6.1 were counted from.
const SET_RELEASE: &str = "6.1.0-56-amd64";

fn module_files_have_the_sizes_of_the_set_that_was_counted_from_them() {
    let packages = place("../modules/amd64");
    let trees = std::fs::read_dir(packages).into_iter().flatten().flatten();
    let tree = trees.map(|package| package.path().join("lib/modules").join(SET_RELEASE)).find(|tree| tree.is_dir());
    let missing = format!("nothing is fetched: cargo xtask fetch-modules --package linux-image-{SET_RELEASE}");
    skip::unless(skip::condition(tree.is_some(), &missing));
    let tree = tree.unwrap_or_default();
    let set = std::fs::read_to_string(WORKSTATION).expect("the set");
    let mut lines = set.lines().filter(|line| !line.starts_with('#'));
    let header: Vec<_> = lines.next().expect("a header").split(',').collect();
    let rows: Vec<Vec<_>> = lines.map(|line| line.split(',').collect()).collect();
    let listed: String = rows.iter().rev().map(|row| format!("{} 4096 0 - Live 0x0\n", row[0])).collect();
    let listed = file("set.modules", &listed);
    let survey =
        succeed(&["survey", "--proc-modules", &listed, "--modules", &argument(&tree), "--kernel", SET_RELEASE]);
    let survey: serde_json::Value = serde_json::from_str(&survey).expect("JSON");
    for (row, module) in rows.iter().zip(survey["modules"].as_array().expect("modules")) {
        for (column, counted) in header.iter().zip(row).skip(1) {
            let (found, counted) = (count(&module["sections"][*column]), counted.parse::<u64>().expect("a number"));
            // The set counts the gap before a symbol table as data.
            let found = if *column == "data" { found.next_multiple_of(8) } else { found };
            assert_eq!(found, counted, "{}: {column}", row[0]);
        }
    }
}

fn a_trace_is_replayed_in_time() {
    let sizes = file("trace.csv", "name,text,data\next4,400000,20000\nsnd,90000,4000\nusbcore,200000,9000\n");
    let trace = file(
        "trace.txt",
        " modprobe-812 [003] .....   102.5: module_load: ext4 E\n modprobe-813 [000] .....   103.0: module_load: snd \n\
         104.0 bpf_load filter 900\n rmmod-814 [001] .....   105.0: module_free: ext4\n106 module_load late text=5000\n",
    );
    let comparison = compare(&["--trace", &trace, "--csv", &sizes]);
    assert_eq!((&comparison["moment"], count(&comparison["load"]["events"])), (&"fullest".into(), 5));
    let old = policy(&comparison, "module_alloc");
    let marks: Vec<_> = old["marks"].as_array().expect("marks").iter().map(|mark| &mark["mark"]).collect();
    assert_eq!(marks, ["boot", "before", "fullest", "trace", "unloaded"], "usbcore was there before");
    let pages = |bytes: u64| bytes.div_ceil(4096);
    let at = |mark: usize| count(&old["marks"][mark]["mappings"][SMALL]);
    assert_eq!(at(1), pages(200_000) + pages(9000));
    assert_eq!(at(2), at(1) + pages(400_000) + pages(20_000) + pages(90_000) + pages(4000) + 1);
    assert_eq!(at(3), at(2) - pages(400_000) - pages(20_000) + pages(5000));
    let seconds: Vec<_> =
        old["history"].as_array().expect("samples").iter().filter_map(|s| s["seconds"].as_f64()).collect();
    assert!(seconds.contains(&104.0) && seconds.contains(&106.0), "{seconds:?}");
    assert!(refuse(&["compare", "--trace", &trace]).contains("2 names of the trace have no size (ext4, snd)"));
    assert!(
        refuse(&["compare", "--trace", &trace, "--csv", &sizes, "--churn", "5"]).contains("--churn is for what has no")
    );
}

fn every_input_that_makes_no_sense_is_refused_with_its_file_and_line() {
    let cases = [
        ("--proc-modules", "ext4 1\nsnd", "line 2: a name without a size"),
        ("--kallsyms", "xyz", "line 1: `xyz` is no address"),
        ("--bpftool", "no", "this is no JSON; call bpftool with -j"),
        ("--csv", "name,txt\n", "`txt` is no column"),
        ("--trace", "1 module_load", "line 1: no name"),
        ("--maps", "x", "line 1: no range"),
        ("--perf-map", "10", "line 1: no size"),
        ("--from", "{}", "this is of the format `none`"),
    ];
    for (option, content, message) in cases {
        let wrong = file(&format!("wrong{option}"), content);
        let error = refuse(&["compare", option, &wrong]);
        assert!(error.contains(&wrong) && error.contains(message), "{option}: {error}");
        let error = refuse(&["compare", option, "/no/such/file"]);
        assert!(error.contains("/no/such/file"), "{option}: {error}");
    }
    let nothing = file("nothing.modules", "");
    assert!(refuse(&["compare", "--proc-modules", &nothing]).contains("no module is listed"));
    let huge = file("huge.csv", "name,text\na,99999999999\n");
    assert!(refuse(&["compare", "--csv", &huge]).contains("line 2: 99999999999 bytes are more than"));
}

fn module_files_that_change_while_they_are_read_are_read_or_named() {
    let folder = place("changing");
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("changing.ko");
    // Not an object for long: its length and bytes change all the time.
    std::fs::write(&path, b"\x7fELF").expect("a file");
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut bytes = b"\x7fELF\x02\x01\x01".repeat(9000);
            for round in (1_usize..).take_while(|_| !is_over.load(std::sync::atomic::Ordering::Relaxed)) {
                bytes[round * 31 % 63_000] ^= 0xff;
                std::fs::write(&path, &bytes[..round * 7919 % 63_000]).expect("a file");
            }
        });
        for _ in 0..3 {
            let outcome = run(&["run", "--backend", "sim", "--modules", &argument(&folder)]);
            let (status, output) = (outcome.status.code(), text(&outcome.stdout) + &text(&outcome.stderr));
            assert!(matches!(status, Some(1 | 2)) && output.contains("changing"), "{status:?}: {output}");
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
