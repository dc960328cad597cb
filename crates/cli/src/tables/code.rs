//! Instructions and patch rules, for people and as JSON.

use execmem_types::{CacheRule, InstructionSet, LongPatch, Machine, Others, Reach, Sequence};
use serde_json::{Value, json};

use crate::output::Text;

/// Addresses for an example of each instruction: a site, and a target 64 KiB further.
const SITE: u64 = 0x1000_0000;
const TARGET: u64 = SITE + 0x1_0000;

pub(super) fn add(machine: &Machine, text: &mut Text) {
    let code: &InstructionSet = machine.instructions;
    let example = |sequence: Sequence| sequence.encode(SITE, TARGET).map_or("-".to_owned(), |code| hex(code.bytes()));
    let call = code.call.map_or("none".to_owned(), example);
    let jump = code.jump.map_or("none".to_owned(), example);
    text.paragraph(format!("call 64K ahead {call}, jump {jump}, breakpoint {}", hex(code.breakpoint)));
    let nops: Vec<_> = code.nops.iter().map(|nop| hex(nop)).collect();
    text.paragraph(format!("nops {}", nops.join(" | ")));
    for veneer in code.veneers {
        let (bytes, alignment) = (veneer.len(), code.veneer_alignment);
        text.paragraph(format!("veneer of {bytes} bytes, at multiples of {alignment}: {}", example(*veneer)));
    }
    let (whole, longer) = (machine.whole_bytes(), long_patch(code.patch.longer));
    text.paragraph(format!("patch {whole} aligned bytes at once, more: {longer}"));
    let CacheRule { data_line, instruction_line, others, fresh } = code.cache;
    let line = |line: Option<execmem::PowerOfTwo>| line.map_or("none".to_owned(), |line| line.to_string());
    let (data_line, instruction_line) = (line(data_line), line(instruction_line));
    text.paragraph(format!(
        "cache lines: data {data_line}, instructions {instruction_line}, others {} (of fresh code {})",
        learn(others),
        learn(fresh)
    ));
}

pub(super) fn json(machine: &Machine) -> Value {
    let code: &InstructionSet = machine.instructions;
    let example = |sequence: Sequence| sequence.encode(SITE, TARGET).map(|code| hex(code.bytes()));
    let CacheRule { data_line, instruction_line, others, fresh } = code.cache;
    json!({
        "call": code.call.and_then(example),
        "jump": code.jump.and_then(example),
        "breakpoint": hex(code.breakpoint),
        "nops": code.nops.iter().map(|nop| hex(nop)).collect::<Vec<_>>(),
        "veneers": code.veneers.iter().map(|veneer| json!({ "bytes": veneer.len(), "example": example(*veneer) })).collect::<Vec<_>>(),
        "veneer_alignment": code.veneer_alignment.bytes(),
        "patch": { "whole": machine.whole_bytes(), "longer": long_patch(code.patch.longer) },
        "cache": {
            "data_line": data_line.map(|line| line.bytes()),
            "instruction_line": instruction_line.map(|line| line.bytes()),
            "others": learn(others),
            "fresh": learn(fresh),
        },
    })
}

pub(super) fn reach_json(reach: Reach) -> Value {
    match reach {
        Reach::Relative { base, min, max } => json!({ "base": base, "min": min, "max": max }),
        Reach::Segment { base, size_log2 } => json!({ "base": base, "segment_log2": size_log2 }),
    }
}

const fn long_patch(longer: LongPatch) -> &'static str {
    match longer {
        LongPatch::BreakpointFirst => "breakpoint first",
        LongPatch::StopOthers => "stop others",
    }
}

const fn learn(others: Others) -> &'static str {
    match others {
        Others::Coherent => "coherent",
        Others::Broadcast => "broadcast",
        Others::Interrupt => "interrupt",
    }
}

/// `0f 1f 44 00 00`
fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}
