// A row without a window.
include!("base.inc");

const TABLE: Table = plan(MACHINE, Descriptor { windows: [None; 3], ..CODE }).table();

fn main() {
    let _ = TABLE;
}
