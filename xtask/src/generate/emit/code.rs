//! Writes instructions and patch rules as Rust.

use super::super::config::{Code, Machine, Operand, Template};
use super::{hex, machine_constant_name};

/// The constant of a machine's instructions.
pub(super) fn constant(machine: &Machine) -> String {
    let code = &machine.code;
    let veneers: Vec<_> = code.veneers.iter().map(|templates| sequence(machine, templates)).collect();
    let nops: Vec<_> = code.nops.iter().map(|nop| bytes(nop)).collect();
    format!(
        "/// Instructions of `{}`.\npub const {}: Code = Code {{ call: {}, jump: {}, veneers: &[{}], \
         veneer_alignment: {}, nops: &[{}], breakpoint: {}, patch: {}, cache: {} }};",
        machine.name,
        name(&machine.name),
        option(code.call.as_ref().map(|templates| sequence(machine, templates))),
        option(code.jump.as_ref().map(|templates| sequence(machine, templates))),
        veneers.join(", "),
        power(code.veneer_alignment_log2),
        nops.join(", "),
        bytes(&code.breakpoint),
        patch(code),
        cache(code),
    )
}

/// Name of the constant.
pub(super) fn name(machine: &str) -> String {
    machine_constant_name(machine).replacen("MACHINE", "CODE", 1)
}

fn patch(code: &Code) -> String {
    format!(
        "PatchRule {{ alignment: {}, atomic: {}, longer: LongPatch::{} }}",
        power(code.patch_alignment_log2),
        power(code.patch_atomic_log2),
        code.longer
    )
}

fn cache(code: &Code) -> String {
    format!(
        "CacheRule {{ data_line: {}, instruction_line: {}, others: Others::{} }}",
        option(code.data_line_log2.map(power)),
        option(code.instruction_line_log2.map(power)),
        code.others
    )
}

fn sequence(machine: &Machine, templates: &[Template]) -> String {
    let templates: Vec<_> = templates.iter().map(template).collect();
    format!(
        "Sequence {{ templates: &[{}], address_bits: {}, order: ByteOrder::{} }}",
        templates.join(", "),
        machine.address_bits,
        machine.code.order
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
