//! Writes instruction sets as Rust.

use super::super::config::{Instructions, Operand, Reach, Template};
use super::{constant_name, hex, signed_hex};

/// The constant of an instruction set.
pub(super) fn constant(set: &Instructions) -> String {
    let veneers: Vec<_> = set.veneers.iter().map(|templates| sequence(set, templates)).collect();
    let nops: Vec<_> = set.nops.iter().map(|nop| bytes(nop)).collect();
    let errata: Vec<_> = set.errata.iter().map(|erratum| format!("Erratum::{erratum}")).collect();
    let fields = [
        ("isa", format!("Isa::{}", set.isa)),
        ("address_bits", set.address_bits.to_string()),
        ("trap", trap(&set.trap)),
        ("reach", reach(&set.reach)),
        ("call", option(set.call.as_ref().map(|templates| sequence(set, templates)))),
        ("jump", option(set.jump.as_ref().map(|templates| sequence(set, templates)))),
        ("site", option(site(set))),
        ("veneers", format!("&[{}]", veneers.join(", "))),
        ("veneer_alignment", power(set.veneer_alignment_log2)),
        ("nops", format!("&[{}]", nops.join(", "))),
        ("breakpoint", bytes(&set.breakpoint)),
        ("landing_pad", bytes(&set.landing_pad)),
        ("patch", patch(set)),
        ("cache", cache(set)),
        ("errata", format!("&[{}]", errata.join(", "))),
    ];
    let fields: Vec<_> = fields.iter().map(|(field, value)| format!("{field}: {value}")).collect();
    format!(
        "/// The instructions of `{}`.\npub const {}: InstructionSet = InstructionSet {{ {} }};",
        set.name,
        name(&set.name),
        fields.join(", ")
    )
}

/// Name of the constant.
pub(super) fn name(set: &str) -> String {
    format!("INSTRUCTIONS_{}", constant_name(set))
}

fn trap(bytes: &[u8]) -> String {
    match bytes {
        [byte] => format!("Trap::byte({byte:#04x})"),
        [a, b] => format!("Trap::half([{a:#04x}, {b:#04x}])"),
        bytes => format!("Trap::word({bytes:#04x?})"),
    }
}

fn reach(reach: &Reach) -> String {
    match reach {
        Reach::Relative { base, min, max } => {
            format!("Reach::Relative {{ base: {base}, min: {}, max: {} }}", signed_hex(*min), signed_hex(*max))
        }
        Reach::Segment { base, size_log2 } => format!("Reach::Segment {{ base: {base}, size_log2: {size_log2} }}"),
    }
}

fn site(set: &Instructions) -> Option<String> {
    let site = set.site.as_ref()?;
    let (call, jump) = (sequence(set, &site.call), sequence(set, &site.jump));
    Some(format!("Site {{ nop: {}, call: {call}, jump: {jump} }}", bytes(&site.nop)))
}

/// The rule by which code changes that may be executed.
fn patch(code: &Instructions) -> String {
    let whole = code
        .whole
        .iter()
        .map(|(bytes_log2, needs)| format!("Whole {{ bytes: {}, needs: Features::{needs} }}", power(*bytes_log2)));
    let whole: Vec<_> = whole.collect();
    format!("PatchRule {{ whole: &[{}], longer: LongPatch::{} }}", whole.join(", "), code.longer)
}

fn cache(code: &Instructions) -> String {
    format!(
        "CacheRule {{ data_line: {}, instruction_line: {}, others: Others::{}, fresh: Others::{} }}",
        option(code.data_line_log2.map(power)),
        option(code.instruction_line_log2.map(power)),
        code.others,
        code.fresh
    )
}

fn sequence(set: &Instructions, templates: &[Template]) -> String {
    let templates: Vec<_> = templates.iter().map(template).collect();
    format!(
        "Sequence {{ templates: &[{}], address_bits: {}, order: ByteOrder::{} }}",
        templates.join(", "),
        set.address_bits,
        set.order
    )
}

fn template(template: &Template) -> String {
    let operand = option(template.operand.as_ref().map(operand));
    format!("Template {{ len: {}, bits: {}, operand: {operand} }}", template.len, hex(template.bits))
}

fn operand(operand: &Operand) -> String {
    let Operand { from, bias, is_signed, slices } = operand;
    let slices = slices.iter().map(|[from, width, to]| format!("Slice {{ from: {from}, width: {width}, to: {to} }}"));
    let slices: Vec<_> = slices.collect();
    let bias = hex((*bias).into());
    format!("Operand {{ from: {from}, bias: {bias}, is_signed: {is_signed}, slices: &[{}] }}", slices.join(", "))
}

fn bytes(bytes: &[u8]) -> String {
    format!("&{bytes:#04x?}").replace(['\n', ' '], "").replace(",]", "]")
}

fn power(log2: u32) -> String {
    format!("PowerOfTwo::from_log2({log2})")
}

fn option(literal: Option<String>) -> String {
    literal.map_or("None".to_owned(), |literal| format!("Some({literal})"))
}
