// A near window that branches from the anchor do not reach.
include!("base.inc");

const TABLE: Table = plan(MACHINE, Descriptor { windows: [Extent::between(0x9_0000_0000, 0x9_1000_0000), None, None], ..CODE }).table();

fn main() {
    let _ = TABLE;
}
