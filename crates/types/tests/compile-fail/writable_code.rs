// Code that is not executable.
include!("base.inc");

const TABLE: Table = plan(MACHINE, Descriptor { protection: Protection::ReadWrite, ..CODE }).table();

fn main() {
    let _ = TABLE;
}
