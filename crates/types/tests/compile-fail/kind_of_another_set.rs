// A row for a kind of another set.
include!("base.inc");

execmem_types::kinds! {
    /// What a hypervisor keeps.
    pub enum Vm, types in vm {
        /// Entries and exits.
        Stub: Code = "stub",
        /// Translated code of guests.
        Guest: Code = "guest",
        /// Nested page tables.
        Tables: Data = "tables",
    }
}

const TABLE: Table<Vm> = Plan::new(MACHINE).own(kinds::Text, CODE).table();

fn main() {
    let _ = TABLE;
}
