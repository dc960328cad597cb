// A row without a window.
include!("base.inc");

const TABLE: Table = Table::new(MACHINE, rows(Descriptor { windows: [None; 3], ..CODE }));

fn main() {
    let _ = TABLE;
}
