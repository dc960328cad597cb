//! The readers of the command's files. The first byte chooses the format.

use execmem_cli::readers::ALL;

use crate::{Random, change, elf, seeds};

/// Words of the formats.
const WORDS: &[&[u8]] = &[
    b"0x",
    b",",
    b"\n",
    b"\"",
    b"[",
    b"]",
    b"{",
    b"}",
    b" ",
    b"=",
    b":",
    b"-",
    b".",
    b"1e9",
    b"18446744073709551615",
    b"9223372036854775808",
    b"268435457",
    b"ffffffffffffffff",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"\x1b[31m",
    "\u{202e}".as_bytes(),
    "\u{61c}".as_bytes(),
    b"\\u202e",
    b"\\ud800",
    b"count",
    b"bytes_jited",
    b"module_load",
    b"module_free",
    b"rwxp",
    b"seconds",
    b"sizes",
    b"churn",
    b"\0",
];

/// Samples of the formats, by name.
const SAMPLES: &[(&str, &[u8])] = &[
    (
        "bpftool",
        br#"[{"id":2,"type":"kprobe","name":"p","tag":"bb","jited":true,"bytes_jited":129},{"id":9,"tag":"aa"}]"#,
    ),
    ("csv", b"# remark\nname,text,data,kallsyms,bpf,count\nmy_driver,120000,8000,9000,,1\nfilter,,,,740,200\n"),
    ("csv", b"module,size\na,4096\n\"b,c\",1\n"),
    ("kallsyms", b"ffffffffc0a01000 t ext4_init\t[ext4]\nffffffffc0123440 t bpf_prog_6deef7357e7b4530_sd_fw\t[bpf]\n"),
    ("kallsyms", b"0000000000000000 t a\nffffffffc0345000 t ftrace_trampoline\t[__builtin__ftrace]\n"),
    ("maps", b"7f1c40000000-7f1c40021000 rwxp 00000000 00:00 0 \n7f1c50000000-7f1c50001000 r-xp 0 00:00 0 [anon:v8]\n"),
    ("perf-map", b"3a9c3a46d2e0 1f4 LazyCompile:~parse node:internal/url:12\n0x1020 100 d\n3000 0 none\n"),
    ("proc-modules", b"snd 126976 1 - Live 0xffffffffc0c00000\njbd2 180224 1 ext4, Live 0x0000000000000000\n"),
    ("proc-modules", b"Module                  Size  Used by\next4                  983040  1\n"),
    ("trace", b" modprobe-812   [003] .....   102.515312: module_load: ext4 E\n151.25 bpf_load p 1204\n"),
    ("trace", b"152.5 module_load d text=120000 data=8000\n152.5: kprobe_load: f 16\n153 module_free d\n"),
    ("workload", include_bytes!("../../../../crates/cli/data/workloads/everything.toml")),
    ("workload", include_bytes!("../../../../crates/cli/data/workloads/default.toml")),
    ("survey", include_bytes!("../../seeds/survey.json")),
];

fn number_of(name: &str) -> Option<u8> {
    ALL.iter().position(|reader| reader.name == name).and_then(|number| u8::try_from(number).ok())
}

/// A sample of each format.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let sample = |(name, text): &(&str, &[u8])| Some([&[number_of(name)?], *text].concat());
    let objects = seeds::objects(0).into_iter().take(4);
    let objects = objects.filter_map(|object| Some([&[number_of("modules")?], &object[..]].concat()));
    SAMPLES.iter().filter_map(sample).chain(objects).collect()
}

/// Changes the text, seldom the format.
pub(super) fn change(random: &mut Random, data: &mut Vec<u8>, other: &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return data.push(0) };
    let is_object = ALL.get(usize::from(first)).is_some_and(|reader| reader.name == "modules");
    let mut rest = rest.to_vec();
    match is_object {
        true => elf::object(random, &mut rest, other.get(1..).unwrap_or(&[])),
        false => change::bytes(random, &mut rest, other.get(1..).unwrap_or(&[]), WORDS),
    }
    let first = if random.below(64) == 0 { u8::try_from(random.below(ALL.len())).unwrap_or(0) } else { first };
    *data = [&[first], &rest[..]].concat();
}

pub(super) fn run(data: &[u8]) -> bool {
    let Some((first, rest)) = data.split_first() else { return false };
    let reader = &ALL[usize::from(*first) % ALL.len()];
    match reader.read(rest) {
        Ok(Some(written)) => {
            let again = reader.read(written.as_bytes());
            assert_eq!(
                again.ok().flatten().as_ref(),
                Some(&written),
                "{}: what is written reads as another",
                reader.name
            );
            assert!(!written.contains(['\u{1b}', '\u{202e}', '\u{61c}']), "{}: a name steers a terminal", reader.name);
            true
        }
        Ok(None) => true,
        Err(text) => {
            assert!(!text.is_empty() && !text.contains('\u{1b}'), "{}: an error steers a terminal", reader.name);
            false
        }
    }
}
