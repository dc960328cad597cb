// Blocks whose shadow is less than a page.
include!("base.inc");

const TABLE: Table = Table::new(MACHINE, rows(Descriptor { is_shadowed: true, ..CODE }));

fn main() {
    let _ = TABLE;
}
