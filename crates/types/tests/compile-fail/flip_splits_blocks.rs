// A flip of part of a block.
include!("base.inc");

const TABLE: Table = plan(MACHINE, Descriptor { fill: Fill::Flip, ..CODE }).table();

fn main() {
    let _ = TABLE;
}
