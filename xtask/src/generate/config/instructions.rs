//! Instruction sets, as read and as resolved.

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use super::{choose, log2, number, signed};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawInstructions {
    isa: Option<String>,
    address_bits: u32,
    trap: Vec<String>,
    trap_source: String,
    reach: RawReach,
    reach_source: String,
    order: String,
    call: Option<Vec<RawTemplate>>,
    jump: Option<Vec<RawTemplate>>,
    #[serde(default)]
    veneers: Vec<Vec<RawTemplate>>,
    veneer_alignment: Option<String>,
    nops: Vec<String>,
    breakpoint: String,
    source: String,
    site: Option<RawSite>,
    landing_pad: Option<RawBytes>,
    #[serde(default)]
    errata: Vec<RawErratum>,
    patch: RawPatch,
    cache: RawCache,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReach {
    base: u32,
    min: Option<String>,
    max: Option<String>,
    segment: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSite {
    nop: String,
    call: Vec<RawTemplate>,
    jump: Vec<RawTemplate>,
    source: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBytes {
    bytes: String,
    source: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawErratum {
    name: String,
    source: String,
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
    whole: Vec<RawWhole>,
    longer: String,
    source: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWhole {
    bytes: String,
    needs: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawCache {
    data_line: Option<String>,
    instruction_line: Option<String>,
    others: String,
    /// As `others` if it is not said.
    fresh: Option<String>,
    source: String,
}

#[derive(Debug)]
pub(in crate::generate) struct Instructions {
    pub(in crate::generate) name: String,
    /// Name of the member of `Isa`.
    pub(in crate::generate) isa: &'static str,
    pub(in crate::generate) address_bits: u32,
    pub(in crate::generate) trap: Vec<u8>,
    pub(in crate::generate) reach: Reach,
    pub(in crate::generate) site: Option<Site>,
    pub(in crate::generate) landing_pad: Vec<u8>,
    /// Names of members of `Erratum`.
    pub(in crate::generate) errata: Vec<&'static str>,
    /// Name of the member of `ByteOrder`.
    pub(in crate::generate) order: &'static str,
    pub(in crate::generate) call: Option<Vec<Template>>,
    pub(in crate::generate) jump: Option<Vec<Template>>,
    pub(in crate::generate) veneers: Vec<Vec<Template>>,
    pub(in crate::generate) veneer_alignment_log2: u32,
    pub(in crate::generate) nops: Vec<Vec<u8>>,
    pub(in crate::generate) breakpoint: Vec<u8>,
    /// Logarithm of the bytes, and name of the constant of `Features`.
    pub(in crate::generate) whole: Vec<(u32, &'static str)>,
    /// Name of the member of `LongPatch`.
    pub(in crate::generate) longer: &'static str,
    pub(in crate::generate) data_line_log2: Option<u32>,
    pub(in crate::generate) instruction_line_log2: Option<u32>,
    /// Name of the member of `Others`.
    pub(in crate::generate) others: &'static str,
    pub(in crate::generate) fresh: &'static str,
    pub(in crate::generate) sources: Vec<(&'static str, String)>,
}

#[derive(Debug)]
pub(in crate::generate) enum Reach {
    Relative { base: u32, min: i64, max: i64 },
    Segment { base: u32, size_log2: u32 },
}

/// Instructions of one length that replace each other.
#[derive(Debug)]
pub(in crate::generate) struct Site {
    pub(in crate::generate) nop: Vec<u8>,
    pub(in crate::generate) call: Vec<Template>,
    pub(in crate::generate) jump: Vec<Template>,
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

pub(super) fn resolve(name: &str, raw: &RawInstructions) -> Result<Instructions> {
    let isas = [
        ("other", "Other"),
        ("x86-64", "X86"),
        ("x86-32", "X86_32"),
        ("arm64", "Arm64"),
        ("riscv64", "Riscv64"),
        ("powerpc-32", "Powerpc32"),
        ("loongarch64", "Loongarch64"),
    ];
    let trap = raw.trap.iter().map(|byte| Ok(u8::try_from(number(byte)?)?)).collect::<Result<Vec<u8>>>()?;
    ensure!([1, 2, 4].contains(&trap.len()), "a trap has 1, 2 or 4 bytes");
    let errata = [("adrp-at-page-end", "AdrpAtPageEnd")];
    let sequence = |raw: &Vec<RawTemplate>| raw.iter().map(template).collect::<Result<Vec<_>>>();
    let line = |size: &Option<String>| size.as_deref().map(log2).transpose();
    let stop = [("breakpoint-first", "BreakpointFirst"), ("stop-others", "StopOthers")];
    let others = [("coherent", "Coherent"), ("broadcast", "Broadcast"), ("interrupt", "Interrupt")];
    Ok(Instructions {
        name: name.to_owned(),
        isa: choose(raw.isa.as_ref(), "other", &isas)?,
        address_bits: raw.address_bits,
        trap,
        reach: reach(&raw.reach)?,
        site: site(raw)?,
        landing_pad: raw.landing_pad.as_ref().map_or(Ok(Vec::new()), |pad| bytes(&pad.bytes))?,
        errata: raw.errata.iter().map(|one| choose(Some(&one.name), "", &errata)).collect::<Result<_>>()?,
        order: choose(Some(&raw.order), "", &[("little", "Little"), ("big", "Big")])?,
        call: raw.call.as_ref().map(sequence).transpose().context("call")?,
        jump: raw.jump.as_ref().map(sequence).transpose().context("jump")?,
        veneers: raw.veneers.iter().map(sequence).collect::<Result<_>>().context("veneers")?,
        veneer_alignment_log2: raw.veneer_alignment.as_deref().map_or(Ok(0), log2)?,
        nops: raw.nops.iter().map(|nop| bytes(nop)).collect::<Result<_>>()?,
        breakpoint: bytes(&raw.breakpoint)?,
        whole: raw.patch.whole.iter().map(whole).collect::<Result<_>>().context("patch")?,
        longer: choose(Some(&raw.patch.longer), "", &stop)?,
        data_line_log2: line(&raw.cache.data_line)?,
        instruction_line_log2: line(&raw.cache.instruction_line)?,
        others: choose(Some(&raw.cache.others), "", &others)?,
        fresh: choose(raw.cache.fresh.as_ref().or(Some(&raw.cache.others)), "", &others)?,
        sources: sources(raw),
    })
}

/// Where the numbers are from.
fn sources(raw: &RawInstructions) -> Vec<(&'static str, String)> {
    let always = [
        ("trap", &raw.trap_source),
        ("reach", &raw.reach_source),
        ("code", &raw.source),
        ("patch", &raw.patch.source),
        ("cache", &raw.cache.source),
    ];
    let sometimes = [
        ("site", raw.site.as_ref().map(|site| &site.source)),
        ("landing-pad", raw.landing_pad.as_ref().map(|pad| &pad.source)),
    ];
    let errata = raw.errata.iter().map(|erratum| ("erratum", &erratum.source));
    let sometimes = sometimes.into_iter().filter_map(|(item, source)| Some((item, source?)));
    always.into_iter().chain(sometimes).chain(errata).map(|(item, source)| (item, source.clone())).collect()
}

fn reach(raw: &RawReach) -> Result<Reach> {
    Ok(match (&raw.min, &raw.max, &raw.segment) {
        (Some(min), Some(max), None) => Reach::Relative { base: raw.base, min: signed(min)?, max: signed(max)? },
        (None, None, Some(size)) => Reach::Segment { base: raw.base, size_log2: log2(size)? },
        _ => bail!("a reach has min and max, or segment"),
    })
}

/// A site of its own, or the direct call and jump where a nop is as long as both.
fn site(raw: &RawInstructions) -> Result<Option<Site>> {
    let templates = |raw: &Vec<RawTemplate>| raw.iter().map(template).collect::<Result<Vec<_>>>();
    if let Some(site) = &raw.site {
        let (call, jump) = (templates(&site.call)?, templates(&site.jump)?);
        return Ok(Some(Site { nop: bytes(&site.nop)?, call, jump }));
    }
    let (Some(call), Some(jump)) = (&raw.call, &raw.jump) else { return Ok(None) };
    let (call, jump) = (templates(call)?, templates(jump)?);
    let len = |templates: &[Template]| templates.iter().map(|template| usize::from(template.len)).sum::<usize>();
    let nops = raw.nops.iter().map(|nop| bytes(nop)).collect::<Result<Vec<_>>>()?;
    let nop = nops.into_iter().find(|nop| nop.len() == len(&call) && nop.len() == len(&jump));
    Ok(nop.map(|nop| Site { nop, call, jump }))
}

fn whole(raw: &RawWhole) -> Result<(u32, &'static str)> {
    Ok((log2(&raw.bytes)?, feature(raw.needs.as_deref())?))
}

/// The constant of `Features` with a name.
pub(super) fn feature(name: Option<&str>) -> Result<&'static str> {
    choose(name.map(str::to_owned).as_ref(), "none", &[("none", "NONE"), ("ziccif", "ZICCIF"), ("fetch-8", "FETCH_8")])
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
