//! `execmem tables`: a table as the engine sees it.

mod code;

use anyhow::Result;
use execmem::{Extent, Kind};
use execmem_types::{Descriptor, Fill, Growth, NamedTable, Placement, Row, Seal};
use serde_json::{Value, json};

use crate::arch;
use crate::args::TablesOptions;
use crate::output::{Grid, Text, print_json};

/// Prints one table, or the names of all.
pub(crate) fn print(options: &TablesOptions) -> Result<()> {
    match (options.arch, options.json) {
        (None, true) => print_json(&names_json()),
        (None, false) => names().print(),
        (Some(named), true) => print_json(&as_json(named)),
        (Some(named), false) => text(named).print(),
    }
}

fn names_json() -> Vec<Value> {
    arch::all().map(|named| json!({ "name": named.name, "about": named.about })).collect()
}

fn names() -> Text {
    let mut text = Text::new();
    let width = arch::all().map(|named| named.name.len()).max().unwrap_or(0);
    for named in arch::all() {
        text.paragraph(format!("{:width$}  {}", named.name, named.about));
    }
    text
}

fn text(named: &NamedTable) -> Text {
    let mut text = Text::new();
    let machine = named.table.machine();
    text.paragraph(format!("{}: {}", named.name, named.about));
    let leaves: Vec<_> = machine.leaves().map(|leaf| leaf.to_string()).collect();
    let anchor = machine.anchor.map_or("none".to_owned(), |anchor| anchor.to_string());
    text.paragraph(format!(
        "machine {}: {} bits, leaves {}, trap {:02x?}",
        machine.name,
        machine.address_bits(),
        leaves.join(" "),
        machine.trap().bytes()
    ));
    text.paragraph(format!("anchor {anchor}, reach {:?}", machine.reach()));
    if let Some(segment) = machine.limits.executable_segment {
        text.paragraph(format!("execution is a right of segments of {segment}"));
    }
    code::add(machine, &mut text);
    let header = ["kind", "windows", "from", "granularities", "align", "quantum", "rights", "fill", "flags"];
    let mut grid = Grid::new(header);
    for kind in Kind::ALL {
        grid.row(cells(named, kind));
    }
    text.grid(&grid);
    text.paragraph("Sources:");
    for source in arch::sources(named) {
        text.paragraph(format!("  {}: {}", source.of, source.source));
    }
    text
}

fn cells(named: &NamedTable, kind: Kind) -> Vec<String> {
    let table = &named.table;
    let (alignment, quantum) = (table.alignment(kind).to_string(), table.quantum(kind).to_string());
    let Row::Own(descriptor) = table.row(kind) else {
        let shares = format!("shares the blocks of {}", table.home(kind));
        let empty = String::new;
        return vec![kind.to_string(), shares, empty(), empty(), alignment, quantum, empty(), empty(), empty()];
    };
    let windows: Vec<_> = descriptor.windows().map(|window: Extent| window.to_string()).collect();
    let granularities: Vec<_> = descriptor.granularities().map(|size| size.to_string()).collect();
    vec![
        kind.to_string(),
        windows.join("\n"),
        placement(descriptor).to_owned(),
        match descriptor.growth {
            Growth::Whole => granularities.join(" "),
            growth => format!("{} ({})", granularities.join(" "), growth.name()),
        },
        alignment,
        quantum,
        descriptor.protection.to_string(),
        fill(descriptor).to_owned(),
        flags(descriptor).join(", "),
    ]
}

const fn placement(descriptor: &Descriptor) -> &'static str {
    match descriptor.placement {
        Placement::BottomUp => "bottom up",
        Placement::TopDown => "top down",
    }
}

const fn fill(descriptor: &Descriptor) -> &'static str {
    match descriptor.fill {
        Fill::Direct => "direct",
        Fill::Poke => "poke",
        Fill::Flip => "flip",
    }
}

fn flags(descriptor: &Descriptor) -> Vec<&'static str> {
    let flags = [
        (descriptor.is_anchored, "anchored"),
        (descriptor.seal == Seal::Pages, "sealed by pages"),
        (descriptor.seal == Seal::Block, "sealed by block"),
        (descriptor.is_shadowed, "shadowed"),
        (descriptor.is_exclusive, "exclusive"),
        (descriptor.is_writable_and_executable, "WRITABLE AND EXECUTABLE"),
    ];
    flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name).collect()
}

fn as_json(named: &NamedTable) -> Value {
    let machine = named.table.machine();
    let rows: Vec<_> = Kind::ALL.into_iter().map(|kind| row_json(named, kind)).collect();
    let sources = arch::sources(named).map(|source| (source.of.to_owned(), json!(source.source)));
    json!({
        "name": named.name,
        "about": named.about,
        "machine": {
            "name": machine.name,
            "address_bits": machine.address_bits(),
            "leaves": machine.leaves().map(|leaf| leaf.bytes()).collect::<Vec<_>>(),
            "trap": machine.trap().bytes(),
            "reach": code::reach_json(machine.reach()),
            "anchor": machine.anchor.map(range_json),
            "executable_segment": machine.limits.executable_segment.map(|segment| segment.bytes()),
            "shadow_unit": machine.shadow_unit().bytes(),
        },
        "code": code::json(machine),
        "rows": rows,
        "sources": sources.collect::<serde_json::Map<_, _>>(),
    })
}

/// Addresses as text: JSON numbers lose the low bits of 64-bit values.
fn range_json(extent: Extent) -> Value {
    json!({ "start": format!("{:#x}", extent.start()), "end": format!("{:#x}", extent.end()) })
}

fn row_json(named: &NamedTable, kind: Kind) -> Value {
    let table = &named.table;
    let mut row = json!({
        "kind": kind.name(),
        "alignment": table.alignment(kind).bytes(),
        "quantum": table.quantum(kind).bytes(),
    });
    match table.row(kind) {
        Row::Own(descriptor) => {
            row["windows"] = descriptor.windows().map(range_json).collect();
            row["placement"] = json!(placement(descriptor));
            row["granularities"] = descriptor.granularities().map(|size| size.bytes()).collect();
            row["growth"] = json!(descriptor.growth.name());
            row["protection"] = json!(descriptor.protection.to_string());
            row["fill"] = json!(fill(descriptor));
            row["flags"] = json!(flags(descriptor));
        }
        _ => row["shares"] = json!(table.home(kind).name()),
    }
    row
}
