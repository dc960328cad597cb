//! What the command prints, where, and with which exit status.

use std::fs::File;
use std::process::Stdio;

use super::support::{argument, command, file, place, refuse, run, succeed, text};

skip::tests! {
    a_full_output_is_an_error
    a_reader_that_goes_away_ends_the_command_quietly
    counts_of_zero_with_churn_are_refused
    names_from_files_are_printed_with_their_control_characters_escaped
    files_that_are_refused_do_not_steer_the_terminal
    an_output_that_cannot_be_written_is_refused_before_the_work
    a_page_goes_to_standard_output_instead_of_the_tables
    help_and_tables_fit_60_to_200_columns
    exit_statuses_are_documented_and_kept
    manual_pages_and_completions_know_every_subcommand
    pictures_need_the_feature_they_are_built_with
}

fn a_full_output_is_an_error() {
    let survey = argument(&place("full.survey"));
    let csv = file("full.csv", "name,text\na,5000\n");
    let page = ["compare", "--calls", "1000", "--csv", &csv, "--html", "-"];
    for arguments in [
        &["run", "--backend", "sim"][..],
        &["tables"],
        &["tables", "--json"],
        &["compare", "--calls", "1000", "--csv", &csv],
        &["compare", "--calls", "1000", "--csv", &csv, "--json"],
        &page,
        &["survey", "--csv", &csv],
        &["schema", "compare"],
        &["completions", "bash"],
        &["man"],
    ] {
        let full = File::options().write(true).open("/dev/full").expect("a full device");
        let output = command(arguments).stdout(full).stderr(Stdio::piped()).output().expect("the command");
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains("execmem: writing to standard output: No space left"), "{arguments:?}: {error}");
        assert!(!error.contains("panicked"), "{arguments:?}: {error}");
    }
    let output = run(&["survey", "--csv", &csv, "--out", "/dev/full"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("writing /dev/full"), "{survey}");
}

fn a_reader_that_goes_away_ends_the_command_quietly() {
    let mut child = command(&["tables", "--arch", "x86", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the command");
    assert_eq!(text(&output.stderr), "");
}

fn counts_of_zero_with_churn_are_refused() {
    let functions = "about = \"a\"\n[functions]\ncount = 0\nchurn = 5\nseed = 1\nsizes = [[100, 64, 500]]\n";
    let callers = "about = \"a\"\n[callers]\nseed = 1\nmodules = 1\nkprobes = 0\nkprobe-churn = 3\ntracers = 1\n\
                   [callers.bpf]\ncount = 1\nsizes = [[100, 64, 500]]\n";
    let programs = "about = \"a\"\n[callers]\nseed = 1\nmodules = 1\nkprobes = 1\ntracers = 1\n\
                    [callers.bpf]\ncount = 0\nchurn = 9\nsizes = [[100, 64, 500]]\n";
    for (text, name) in [(functions, "functions: 5"), (callers, "callers.kprobes: 3"), (programs, "callers.bpf: 9")] {
        let workload = file("zero.toml", text);
        let error = refuse(&["run", "--backend", "sim", "--workload", &workload]);
        assert!(error.contains(&format!("{name} of 0 cannot be replaced")), "{error}");
    }
}

fn names_from_files_are_printed_with_their_control_characters_escaped() {
    let name = "evil\u{1b}[31m\u{7}\u{202e}txt";
    let csv = file("evil\u{1b}[0m.csv", &format!("name,text\n\"{name}\",5000\n"));
    let survey = succeed(&["survey", "--csv", &csv]);
    assert!(survey.contains("evil\\\\u{1b}[31m\\\\u{7}\\\\u{202e}txt"), "{survey}");
    let folder = place("evil-modules");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("evil\u{1b}[31m.ko"), b"no module").expect("a file");
    let tree = argument(&folder);
    let listed = file("evil.modules", &format!("{name} 8192 0 - Live 0x0\n"));
    let outputs = [
        run(&["compare", "--calls", "1000", "--csv", &csv]),
        run(&["compare", "--calls", "1000", "--csv", &csv, "--html", "-"]),
        run(&["compare", "--calls", "1000", "--proc-modules", &listed, "--modules", &tree]),
        run(&["compare", "--modules", &tree]),
        run(&["run", "--backend", "sim", "--modules", &tree]),
        run(&["report", "--csv", &csv, "--svg", "-"]),
    ];
    for output in outputs {
        for text in [text(&output.stdout), text(&output.stderr)] {
            assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}') && !text.contains('\u{7}'), "{text}");
        }
    }
}

fn files_that_are_refused_do_not_steer_the_terminal() {
    // Each is wrong where an error may show the file's own words: TOML's show the line.
    let wrong = "\u{1b}]0;title\u{7} = \u{202e}\u{61c}[\n\u{1b}[31m\n";
    let path = file("wrong.file", wrong);
    let toml = file("wrong.toml", &format!("about = \"a\"\n\"\u{202e}b\u{61c}\" = 1\n{wrong}"));
    let options = ["--csv", "--proc-modules", "--kallsyms", "--bpftool", "--trace", "--maps", "--perf-map", "--from"];
    let mut outputs: Vec<_> = options.iter().map(|option| run(&["compare", option, &path])).collect();
    outputs.push(run(&["run", "--backend", "sim", "--workload", &toml]));
    outputs.push(run(&["run", "--backend", "sim", "--workload", &path]));
    for output in outputs {
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        for text in [text(&output.stdout), text(&output.stderr)] {
            assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}', '\u{61c}']), "{text:?}");
        }
    }
}

fn an_output_that_cannot_be_written_is_refused_before_the_work() {
    let missing = "/no/such/folder/file";
    let calls = "18446744073709551615";
    for arguments in [
        ["compare", "--calls", calls, "--html", missing],
        ["report", "--set", "server", "--html", missing],
        ["report", "--set", "server", "--svg", missing],
        ["report", "--set", "server", "--png", missing],
        ["survey", "--root", "/", "--out", missing],
    ] {
        let error = refuse(&arguments);
        assert!(error.contains("opening /no/such/folder/file to write"), "{error}");
    }
    let kept = file("kept.html", "the old report");
    refuse(&["compare", "--html", &kept, "--csv", "/no/such/file"]);
    assert_eq!(std::fs::read_to_string(&kept).expect("it is there"), "the old report");
    let new = argument(&place("never.html"));
    refuse(&["compare", "--html", &new, "--csv", "/no/such/file"]);
    assert!(!place("never.html").exists(), "nothing is left of what failed");
}

fn a_page_goes_to_standard_output_instead_of_the_tables() {
    let csv = file("dash.csv", "name,text\na,5000\n");
    let page = succeed(&["compare", "--csv", &csv, "--html", "-"]);
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    assert!(refuse(&["compare", "--csv", &csv, "--html", "-", "--json"]).contains("both want standard output"));
}

fn help_and_tables_fit_60_to_200_columns() {
    let csv = file("wide.csv", "name,text\na,5000\n");
    let long = file(&format!("{}.csv", "long_name_".repeat(12)), "name,text\na,5000\n");
    let everything = concat!(env!("CARGO_MANIFEST_DIR"), "/data/workloads/everything.toml");
    let small = ["--set", "laptop", "--programs", "10", "--churn", "0", "--calls", "1000"];
    let mut fitting = vec![
        vec!["--help"],
        [&["compare"], &small[..]].concat(),
        vec!["compare", "--csv", &long, "--calls", "1000"],
        vec!["compare", "--csv", &csv, "--window", "4", "--arch", "arm64-64k", "--calls", "1000"],
        vec!["tables"],
        vec!["tables", "--arch", "arm64-64k"],
        vec!["tables", "--arch", "powerpc-book3s32"],
    ];
    for command in ["run", "compare", "report", "survey", "tables", "schema", "completions", "man"] {
        fitting.push(vec![command, "--help"]);
    }
    for arguments in &fitting {
        for columns in [60, 80, 100, 140, 200] {
            check_width(arguments, columns);
        }
    }
    check_width(&["run", "--backend", "sim", "--workload", everything], 60);
}

fn check_width(arguments: &[&str], columns: usize) {
    let output = command(arguments).env("COLUMNS", columns.to_string()).output().expect("the command");
    assert!(output.status.success(), "{}", text(&output.stderr));
    for line in text(&output.stdout).lines() {
        // A path is not broken: it could not be copied.
        let is_path = line.contains("long_name_");
        let width = line.chars().count();
        assert!(width <= columns || is_path, "{arguments:?} in {columns} columns has {width}: {line}");
    }
}

fn exit_statuses_are_documented_and_kept() {
    assert!(succeed(&["--help"]).contains("Exit status: 0 if everything went as asked"));
    let page = succeed(&["man"]);
    assert!(page.contains(".TH execmem 1") && page.contains("Exit status"), "{page}");
    assert_eq!(run(&["compare", "--no-such-option"]).status.code(), Some(2));
    assert_eq!(run(&["run", "--workload", "/no/such/file"]).status.code(), Some(2));
    assert!(refuse(&["man", "nothing"]).contains("no subcommand nothing; there are run, compare"));
}

fn manual_pages_and_completions_know_every_subcommand() {
    for command in ["run", "compare", "report", "survey", "tables"] {
        assert!(succeed(&["man", command]).contains(&format!("execmem\\-{command}")), "{command}");
        for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
            assert!(succeed(&["completions", shell]).contains(command), "{shell}: {command}");
        }
    }
    assert!(succeed(&["completions", "bash"]).contains("arm64-64k"), "possible values are completed");
}

fn pictures_need_the_feature_they_are_built_with() {
    let csv = file("picture.csv", "name,text\na,5000\n");
    let png = argument(&place("picture.png"));
    if cfg!(feature = "png") {
        succeed(&["report", "--csv", &csv, "--png", &png]);
        assert!(std::fs::read(&png).expect("a picture").starts_with(b"\x89PNG"));
    } else {
        assert!(refuse(&["report", "--csv", &csv, "--png", &png]).contains("--png needs the feature `png`"));
    }
}
