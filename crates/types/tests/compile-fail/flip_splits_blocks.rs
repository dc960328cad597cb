// A flip of part of a block.
include!("base.inc");

const TABLE: Table = Table::new(MACHINE, rows(Descriptor { fill: Fill::Flip, ..CODE }));

fn main() {
    let _ = TABLE;
}
