// Code that is not executable.
include!("base.inc");

const TABLE: Table = Table::new(MACHINE, rows(Descriptor { protection: Protection::ReadWrite, ..CODE }));

fn main() {
    let _ = TABLE;
}
