//! error[E0080]: every kind of a set has a row, and the message names the one that has none.
use execmem_arch_x86::MACHINE_X86;
use execmem_types::{Descriptor, Extent, PageSize, Plan, Table};

execmem_types::kinds! {
    pub enum Guest, types in guest {
        Drivers: Code = "drivers",
        Tables: Data = "tables",
    }
}

const CODE: Extent = Extent::between(0xffff_ffff_c000_0000, 0xffff_ffff_d000_0000).expect("a window");

pub static TABLE: Table<Guest> =
    Plan::new(MACHINE_X86).own(guest::Drivers, Descriptor::code(CODE, &[PageSize::mib(2)])).table();

fn main() {}
