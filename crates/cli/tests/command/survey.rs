//! `execmem survey`: of a made-up machine, of files, and of this one.

use object::write::{Object, StandardSegment, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};
use serde_json::Value;

use super::support::{argument, bpftool, compare, count, file, notes, place, policy, run, succeed, text};

skip::tests! {
    a_machine_is_surveyed_and_answered_as_what_it_is
    addresses_that_read_as_zero_are_missing_and_said_so
    names_can_be_left_out
    this_machine_is_surveyed_without_failing_whatever_is_readable
}

/// A module with so many bytes of text and one symbol with a long name.
pub(crate) fn module(text_bytes: usize) -> Vec<u8> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let segment = object.segment_name(StandardSegment::Text).to_vec();
    let section = object.add_section(segment, b".text".to_vec(), SectionKind::Text);
    object.append_section_data(section, &vec![0xc3; text_bytes], 16);
    object.add_symbol(Symbol {
        name: vec![b'f'; 300],
        value: 0,
        size: 1,
        kind: SymbolKind::Text,
        scope: SymbolScope::Linkage,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    });
    object.write().expect("an object")
}

/// The files of a made-up machine. Without root, addresses read as zero.
fn machine(name: &str, is_root: bool) -> String {
    let root = place(name);
    let at = |address: u64| if is_root { address } else { 0 };
    let files = [
        ("proc/modules", format!("other 8192 0 - Live {:#018x}\nown 12288 1 - Live {:#018x}\n", at(0xffff_ffff_c030_0000), at(0xffff_ffff_c020_1000))),
        (
            "proc/kallsyms",
            format!("{:016x} T _stext\n{:016x} t own_init\t[own]\n{:016x} t bpf_prog_0000000000000001_p1\t[bpf]\n{:016x} t ftrace_trampoline\t[__builtin__ftrace]\n",
                at(0xffff_ffff_8100_0000), at(0xffff_ffff_c020_1010), at(0xffff_ffff_c000_0040), at(0xffff_ffff_c040_0000)),
        ),
        ("proc/meminfo", "MemTotal:       16777216 kB\nDirectMap4k:       65536 kB\nDirectMap2M:     8388608 kB\nDirectMap1G:     8388608 kB\n".to_owned()),
        ("proc/cpuinfo", "processor\t: 0\ncpu family\t: 6\nmodel\t\t: 85\nmodel name\t: A made-up CPU\n".to_owned()),
        ("proc/sys/kernel/osrelease", "6.12.1-made-up\n".to_owned()),
    ];
    for (path, content) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, content).expect("a file");
    }
    let tree = root.join("lib/modules/6.12.1-made-up/kernel");
    std::fs::create_dir_all(&tree).expect("a folder");
    std::fs::write(tree.join("own.ko"), module(5000)).expect("a module");
    argument(&root)
}

fn survey(arguments: &[&str]) -> Value {
    serde_json::from_str(&succeed(&[&["survey"], arguments].concat())).expect("JSON")
}

fn a_machine_is_surveyed_and_answered_as_what_it_is() {
    let root = machine("as-root", true);
    let found = survey(&["--root", &root]);
    assert_eq!(found["machine"]["release"], "6.12.1-made-up");
    assert_eq!(found["machine"]["memory_bytes"], Value::from(16_u64 << 30));
    let modules = found["modules"].as_array().expect("modules");
    assert_eq!((&modules[0]["name"], &modules[1]["name"]), (&"own".into(), &"other".into()), "in load order");
    assert_eq!(count(&modules[0]["sections"]["text"]), 5000);
    assert!(modules[1]["sections"].is_null(), "no file of it is there");
    let kinds: Vec<_> = found["places"].as_array().expect("places").iter().map(|place| &place["kind"]).collect();
    assert_eq!(kinds, ["bpf", "text", "ftrace"]);
    assert_eq!(found["trampolines"].as_array().map(Vec::len), Some(1));

    let out = argument(&place("as-root.survey"));
    assert_eq!(succeed(&["survey", "--root", &root, "--out", &out, "--arch", "x86_64"]), "");
    let comparison = compare(&["--from", &out, "--churn", "0"]);
    assert_eq!((&comparison["today"], &comparison["machine"]["name"]), (&"prog_pack".into(), &"surveyed".into()));
    assert!(comparison["machine"]["about"].as_str().is_some_and(|about| about.contains("16 GiB, a direct map in 1G")));
    assert_eq!(count(&policy(&comparison, "module_alloc")["mappings"]["4096"]), 3 + 2);
    assert!(
        !notes(&comparison).contains("another processor"),
        "its translation caches are known: {}",
        notes(&comparison)
    );
}

fn addresses_that_read_as_zero_are_missing_and_said_so() {
    let found = survey(&["--root", &machine("as-user", false)]);
    assert_eq!(found["places"], Value::Array(Vec::new()));
    assert!(!found.to_string().contains("\"0x0\""));
    let missing: Vec<_> = found["missing"].as_array().expect("missing").iter().map(Value::to_string).collect();
    for what in ["addresses of modules", "the addresses of 3 symbols", "sections of modules"] {
        assert!(missing.iter().any(|missing| missing.contains(what)), "{what}: {missing:?}");
    }
}

fn names_can_be_left_out() {
    let programs = file("no-names.json", &bpftool(3));
    let root = machine("no-names", true);
    let named = succeed(&["survey", "--root", &root]);
    assert!(named.contains("own") && named.contains("bpf_prog_"));
    for arguments in [["--root", root.as_str()], ["--bpftool", programs.as_str()]] {
        let found = succeed(&[&["survey", "--no-names"], &arguments[..]].concat());
        let names = ["\"own\"", "\"other\"", "bpf_prog_", "p1", "ftrace_trampoline", "no-names"];
        assert!(names.iter().all(|name| !found.contains(name) || *name == "no-names"), "{found}");
    }
}

fn this_machine_is_surveyed_without_failing_whatever_is_readable() {
    let output = run(&["survey"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found["schema"], "execmem-survey-1");
    assert_eq!(found["machine"]["architecture"], std::env::consts::ARCH);
    let said = text(&output.stderr);
    assert!(said.starts_with("read: "), "{said}");
    for missing in found["missing"].as_array().expect("a list") {
        assert!(!missing["why"].as_str().expect("text").is_empty());
    }
}
