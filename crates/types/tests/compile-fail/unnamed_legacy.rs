// Writable and executable memory in a table that does not say so.
include!("base.inc");

const TABLE: Table = Table::new(MACHINE, rows(Descriptor { is_writable_and_executable: true, ..CODE }));

fn main() {
    let _ = TABLE;
}
