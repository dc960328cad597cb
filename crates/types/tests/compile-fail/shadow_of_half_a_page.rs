// Blocks whose shadow is less than a page.
include!("base.inc");

const TABLE: Table = plan(MACHINE, Descriptor { is_shadowed: true, ..CODE }).table();

fn main() {
    let _ = TABLE;
}
