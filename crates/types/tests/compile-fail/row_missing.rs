// A kind without a row, in a set of its own.
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

const TABLE: Table<Vm> = Plan::new(MACHINE).own(vm::Stub, CODE).own(vm::Tables, CODE).table();

fn main() {
    let _ = TABLE;
}
