// Writable and executable memory in a table that does not say so.
include!("base.inc");

const TABLE: Table = plan(MACHINE, Descriptor { is_writable_and_executable: true, ..CODE }).table();

fn main() {
    let _ = TABLE;
}
