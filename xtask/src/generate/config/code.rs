//! Instructions and patch rules, as read and as resolved.

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::{choose, log2, number};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawCode {
    order: String,
    call: Option<Vec<RawTemplate>>,
    jump: Option<Vec<RawTemplate>>,
    #[serde(default)]
    veneers: Vec<Vec<RawTemplate>>,
    veneer_alignment: Option<String>,
    nops: Vec<String>,
    breakpoint: String,
    source: String,
    patch: RawPatch,
    cache: RawCache,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTemplate {
    #[serde(default = "word")]
    len: u8,
    bits: String,
    from: Option<String>,
    #[serde(default)]
    bias: u32,
    #[serde(default)]
    signed: bool,
    #[serde(default)]
    slices: Vec<[u8; 3]>,
}

const fn word() -> u8 {
    4
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPatch {
    alignment: String,
    atomic: String,
    longer: String,
    source: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawCache {
    data_line: Option<String>,
    instruction_line: Option<String>,
    others: String,
    source: String,
}

#[derive(Debug)]
pub(in crate::generate) struct Code {
    /// Name of the member of `ByteOrder`.
    pub(in crate::generate) order: &'static str,
    pub(in crate::generate) call: Option<Vec<Template>>,
    pub(in crate::generate) jump: Option<Vec<Template>>,
    pub(in crate::generate) veneers: Vec<Vec<Template>>,
    pub(in crate::generate) veneer_alignment_log2: u32,
    pub(in crate::generate) nops: Vec<Vec<u8>>,
    pub(in crate::generate) breakpoint: Vec<u8>,
    pub(in crate::generate) patch_alignment_log2: u32,
    pub(in crate::generate) patch_atomic_log2: u32,
    /// Name of the member of `LongPatch`.
    pub(in crate::generate) longer: &'static str,
    pub(in crate::generate) data_line_log2: Option<u32>,
    pub(in crate::generate) instruction_line_log2: Option<u32>,
    /// Name of the member of `Others`.
    pub(in crate::generate) others: &'static str,
    pub(in crate::generate) sources: Vec<(&'static str, String)>,
}

#[derive(Debug)]
pub(in crate::generate) struct Template {
    pub(in crate::generate) len: u8,
    pub(in crate::generate) bits: u128,
    pub(in crate::generate) operand: Option<Operand>,
}

#[derive(Debug)]
pub(in crate::generate) struct Operand {
    /// A member of `Origin`, with its values.
    pub(in crate::generate) from: String,
    pub(in crate::generate) bias: u32,
    pub(in crate::generate) is_signed: bool,
    pub(in crate::generate) slices: Vec<[u8; 3]>,
}

pub(super) fn resolve(raw: &RawCode) -> Result<Code> {
    let sequence = |raw: &Vec<RawTemplate>| raw.iter().map(template).collect::<Result<Vec<_>>>();
    let line = |size: &Option<String>| size.as_deref().map(log2).transpose();
    let stop = [("breakpoint-first", "BreakpointFirst"), ("stop-others", "StopOthers")];
    let others = [("coherent", "Coherent"), ("broadcast", "Broadcast"), ("interrupt", "Interrupt")];
    Ok(Code {
        order: choose(Some(&raw.order), "", &[("little", "Little"), ("big", "Big")])?,
        call: raw.call.as_ref().map(sequence).transpose().context("call")?,
        jump: raw.jump.as_ref().map(sequence).transpose().context("jump")?,
        veneers: raw.veneers.iter().map(sequence).collect::<Result<_>>().context("veneers")?,
        veneer_alignment_log2: raw.veneer_alignment.as_deref().map_or(Ok(0), log2)?,
        nops: raw.nops.iter().map(|nop| bytes(nop)).collect::<Result<_>>()?,
        breakpoint: bytes(&raw.breakpoint)?,
        patch_alignment_log2: log2(&raw.patch.alignment)?,
        patch_atomic_log2: log2(&raw.patch.atomic)?,
        longer: choose(Some(&raw.patch.longer), "", &stop)?,
        data_line_log2: line(&raw.cache.data_line)?,
        instruction_line_log2: line(&raw.cache.instruction_line)?,
        others: choose(Some(&raw.cache.others), "", &others)?,
        sources: vec![
            ("code", raw.source.clone()),
            ("patch", raw.patch.source.clone()),
            ("cache", raw.cache.source.clone()),
        ],
    })
}

fn template(raw: &RawTemplate) -> Result<Template> {
    ensure!((1..=16).contains(&raw.len), "an instruction of {} bytes", raw.len);
    let operand = raw.from.as_deref().map(|from| operand(raw, from)).transpose()?;
    ensure!(operand.is_some() || raw.slices.is_empty(), "slices of nothing: `from` is missing");
    Ok(Template { len: raw.len, bits: number(&raw.bits)?, operand })
}

fn operand(raw: &RawTemplate, from: &str) -> Result<Operand> {
    let from = origin(from).with_context(|| format!("`{from}` is no origin"))?;
    ensure!(!raw.slices.is_empty(), "a number without slices");
    for [low, width, to] in &raw.slices {
        let end = u32::from(*to) + u32::from(*width);
        ensure!(end <= u32::from(raw.len) * 8 && u32::from(*low) + u32::from(*width) <= 64, "a slice sticks out");
    }
    Ok(Operand { from, bias: raw.bias, is_signed: raw.signed, slices: raw.slices.clone() })
}

/// `zero`, `site`, `site+5`, `site in 4K` or `site+4 in 256M`, as a member of `Origin`.
fn origin(text: &str) -> Result<String> {
    if text == "zero" {
        return Ok("Origin::Zero".to_owned());
    }
    let (byte, size) = text.split_once(" in ").map_or((text, None), |(byte, size)| (byte, Some(size)));
    let base: u8 = match byte.strip_prefix("site").context("neither zero nor site")? {
        "" => 0,
        more => more.strip_prefix('+').context("no `+`")?.parse()?,
    };
    Ok(match size {
        Some(size) => format!("Origin::SiteBlock {{ base: {base}, size: PowerOfTwo::from_log2({}) }}", log2(size)?),
        None => format!("Origin::Site({base})"),
    })
}

/// Bytes in memory order, as `0f 1f 44 00 00`.
fn bytes(text: &str) -> Result<Vec<u8>> {
    let parsed: Result<Vec<u8>, _> = text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16)).collect();
    parsed.ok().filter(|bytes| !bytes.is_empty()).with_context(|| format!("`{text}` is no list of bytes"))
}
