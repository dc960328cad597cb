// Data in the blocks of code.
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

const LINE: PowerOfTwo = PowerOfTwo::from_log2(4);
const TABLE: Table<Vm> =
    Plan::new(MACHINE).own(vm::Stub, CODE).own(vm::Guest, CODE).shares(vm::Tables, vm::Stub, LINE, LINE).table();

fn main() {
    let _ = TABLE;
}
