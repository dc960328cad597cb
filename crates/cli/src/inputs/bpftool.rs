//! BPF programs: `sudo bpftool prog show -j > programs.json`.
//!
//! ```json
//! [{"id":2,"type":"tracing","name":"hid_tail_call","tag":"7cc47bbf07148bfe","bytes_xlated":56,"jited":true,"bytes_jited":129}]
//! ```
//!
//! Programs that are interpreted have no executable memory. A dispatcher or trampoline is no program and is not listed.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{MOST_BYTES, check_bytes};
use crate::survey::facts::Piece;

/// What bpftool lists.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    /// Compiled programs, in load order, named as the symbol table names them.
    pub(crate) compiled: Vec<Piece>,
    /// Programs that are interpreted.
    pub(crate) interpreted: u64,
}

/// The programs of a list.
///
/// # Errors
///
/// It is no list, or which program makes no sense.
pub(crate) fn parse(text: &str) -> Result<Programs> {
    let value: Value = serde_json::from_str(text).context("this is no JSON; call bpftool with -j")?;
    if let Some(error) = value["error"].as_str() {
        bail!("bpftool says: {}", error.escape_debug());
    }
    let list = value.as_array().context("this is no list of programs")?;
    let mut programs = Programs::default();
    let mut compiled: Vec<(u64, Piece)> = Vec::new();
    for program in list {
        let id = program["id"].as_u64().context("a program without an id")?;
        let Some(bytes) = program["bytes_jited"].as_u64().filter(|bytes| *bytes > 0) else {
            programs.interpreted += 1;
            continue;
        };
        check_bytes(bytes, MOST_BYTES).with_context(|| format!("program {id}"))?;
        let name = match (program["tag"].as_str(), program["name"].as_str()) {
            (Some(tag), Some(name)) => format!("bpf_prog_{tag}_{name}"),
            (Some(tag), None) => format!("bpf_prog_{tag}"),
            _ => format!("program {id}"),
        };
        compiled.push((id, Piece { name, bytes, address: None }));
    }
    compiled.sort_by_key(|(id, _)| *id);
    programs.compiled = compiled.into_iter().map(|(_, piece)| piece).collect();
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiled_programs_come_in_load_order_with_the_names_of_their_symbols() {
        let text = r#"[{"id":9,"type":"xdp","tag":"aa","bytes_xlated":8,"jited":true,"bytes_jited":77},
                       {"id":2,"type":"kprobe","name":"p","tag":"bb","jited":true,"bytes_jited":129,"pids":[{"pid":1}]},
                       {"id":3,"type":"kprobe","name":"q","tag":"cc","jited":false}]"#;
        let programs = parse(text).expect("programs");
        let found: Vec<_> = programs.compiled.iter().map(|piece| (piece.name.as_str(), piece.bytes)).collect();
        assert_eq!((&found[..], programs.interpreted), (&[("bpf_prog_bb_p", 129), ("bpf_prog_aa", 77)][..], 1));
        assert!(parse("[]").expect("a machine without programs").compiled.is_empty());
    }

    #[test]
    fn other_json_and_bpftools_own_errors_are_refused() {
        let cases = [
            ("Error: no", "call bpftool with -j"),
            ("{}", "no list"),
            (r#"{"error":"can't get next program: Operation not permitted"}"#, "not permitted"),
            (r#"[{"bytes_jited":1}]"#, "without an id"),
            (r#"[{"id":1,"bytes_jited":99999999999}]"#, "program 1"),
        ];
        for (text, message) in cases {
            let error = format!("{:#}", parse(text).expect_err("no programs"));
            assert!(error.contains(message), "{error}");
        }
    }
}
