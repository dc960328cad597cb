//! Loads and unloads in time: what ftrace prints, or any tool that can print four fields.
//!
//! ```text
//! line  = [task "-" pid "[" cpu "]" flags] time [":"] event [":"] name [bytes] { kind "=" bytes }
//! event = ("module" | "bpf" | "kprobe" | "ftrace") "_" ("load" | "free")
//! kind  = "text" | "data" | "rodata" | "ro-after-init" | "init-text" | … | "kallsyms" | "file"
//! ```
//!
//! `time` is in seconds. Lines that begin with `#` are remarks. What a name is without its bytes has to be told by another
//! input: `--proc-modules`, `--modules`, `--csv`, `--bpftool`. What those list and the trace does not load was there before.
//!
//! ```text
//! # from ftrace: echo 1 > /sys/kernel/tracing/events/module/enable; cat /sys/kernel/tracing/trace_pipe > trace.txt
//!  modprobe-812   [003] .....   102.515312: module_load: ext4 E
//!    systemd-1    [000] .....   140.000001: module_free: ext4
//! # from bpftrace, or by hand
//! 151.25 bpf_load bpf_prog_6deef7357e7b4530_sd_fw 1204
//! 152.5 module_load my_driver text=120000 data=8000 rodata=30000
//! ```
//!
//! Events of ftrace that are none of these (`module_get`, say) are passed over. The letters that ftrace prints after a
//! module's name are its taints.

use anyhow::{Context as _, Result, ensure};
use execmem::Kind;

use super::{bytes_of, each_line};
use crate::survey::facts::{Event, Sections, Subject};

/// What a trace holds.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// In order of time.
    pub(crate) events: Vec<Event>,
    /// Lines of other events.
    pub(crate) passed_over: u64,
}

/// The events of a trace, in order of time; of one moment, in order of lines.
///
/// # Errors
///
/// Which line is none of the grammar, or that there is no event.
pub(crate) fn parse(text: &str) -> Result<Trace> {
    let mut trace = Trace::default();
    each_line(text, |line| {
        if line.starts_with('#') {
            return Ok(());
        }
        match event(line)? {
            Some(event) => trace.events.push(event),
            None => trace.passed_over += 1,
        }
        Ok(())
    })?;
    ensure!(!trace.events.is_empty(), "no load or unload is in it");
    trace.events.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    Ok(trace)
}

fn event(line: &str) -> Result<Option<Event>> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let is_ftrace = fields.iter().any(|field| field.starts_with('[') && field.ends_with(']'));
    // A task may have spaces in its name, so the time is looked for after the processor.
    let start = fields.iter().position(|field| field.starts_with('[')).filter(|_| is_ftrace).map_or(0, |cpu| cpu + 1);
    let time = fields.iter().skip(start).position(|field| seconds(field).is_some()).map(|place| place + start);
    let time = time.filter(|time| is_ftrace || *time == 0).context("no time in seconds stands where one should")?;
    let seconds = seconds(fields[time]).context("a time")?;
    let word = fields.get(time + 1).context("no event")?.trim_end_matches(':');
    let Some((subject, is_load)) = subject(word) else {
        ensure!(is_ftrace, "`{}` is no event; module_load is one", word.escape_debug());
        return Ok(None);
    };
    let name = (*fields.get(time + 2).context("no name")?).to_owned();
    let (mut bytes, mut sections) = (None, None::<Sections>);
    for field in fields.iter().skip(time + 3) {
        if let Some((kind, number)) = field.split_once('=') {
            set(sections.get_or_insert_default(), kind, bytes_of(number)?)?;
        } else if !is_taints(field) {
            bytes = Some(bytes_of(field)?);
        }
    }
    Ok(Some(Event { seconds, subject, is_load, name, bytes, sections }))
}

fn seconds(field: &str) -> Option<f64> {
    let field = field.trim_end_matches(':');
    let is_number = field.starts_with(|char: char| char.is_ascii_digit());
    field.parse().ok().filter(|seconds: &f64| is_number && seconds.is_finite())
}

fn subject(word: &str) -> Option<(Subject, bool)> {
    let (subject, change) = word.rsplit_once('_')?;
    let subject = match subject {
        "module" => Subject::Module,
        "bpf" => Subject::Program,
        "kprobe" => Subject::Probe,
        "ftrace" => Subject::Trampoline,
        _ => return None,
    };
    match change {
        "load" => Some((subject, true)),
        "free" => Some((subject, false)),
        _ => None,
    }
}

fn is_taints(field: &str) -> bool {
    field.chars().all(|char| char.is_ascii_uppercase())
}

fn set(sections: &mut Sections, kind: &str, bytes: u64) -> Result<()> {
    let place = match kind {
        "kallsyms" => Some(&mut sections.kallsyms),
        "file" => Some(&mut sections.file),
        _ => Kind::MODULE.into_iter().find(|known| known.name() == kind).and_then(|kind| sections.of_mut(kind)),
    };
    *place.with_context(|| format!("`{}` is no kind of a module", kind.escape_debug()))? = bytes;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "# tracer: nop\n\
                          \t modprobe-812   [003] .....   102.515312: module_load: ext4 E\n\
                          \t modprobe-812   [003] .....   102.515319: module_get: ext4 call_site=do_init_module refcnt=2\n\
                          \t a task-1       [000] d..1.   140.000001: module_free: ext4\n\
                          120.25 bpf_load bpf_prog_6deef7357e7b4530_sd_fw 1204\n\
                          152.5 module_load my_driver text=120000 data=8000\n\
                          152.5: kprobe_load: do_sys_open 16\n";

    #[test]
    fn every_form_is_read_and_put_in_order_of_time() {
        let trace = parse(SAMPLE).expect("a trace");
        let events: Vec<_> =
            trace.events.iter().map(|event| (event.seconds, event.subject, event.is_load, &event.name[..])).collect();
        let expected = [
            (102.515312, Subject::Module, true, "ext4"),
            (120.25, Subject::Program, true, "bpf_prog_6deef7357e7b4530_sd_fw"),
            (140.000001, Subject::Module, false, "ext4"),
            (152.5, Subject::Module, true, "my_driver"),
            (152.5, Subject::Probe, true, "do_sys_open"),
        ];
        assert_eq!((events, trace.passed_over), (expected.to_vec(), 1));
        assert_eq!(trace.events[1].bytes, Some(1204));
        let sections = trace.events[3].sections.expect("sections");
        assert_eq!((sections.text, sections.data), (120_000, 8000));
        assert_eq!(trace.events[0].bytes, None, "E is a taint");
    }

    #[test]
    fn lines_of_no_event_are_refused() {
        let cases = [
            ("", "no load or unload"),
            ("1.0 module_loaded a 1", "`module_loaded` is no event"),
            ("now module_load a 1", "line 1: no time"),
            ("1.0 module_load", "no name"),
            ("1.0", "no event"),
            ("1.0 module_load a 1x", "`1x` is no number"),
            ("1.0 module_load a txt=1", "`txt` is no kind"),
            ("inf module_load a 1", "no time"),
        ];
        for (text, message) in cases {
            let error = format!("{:#}", parse(text).expect_err("no trace"));
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
