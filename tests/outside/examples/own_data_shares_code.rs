//! error[E0080]: data cannot share the blocks of code, and the message names the row and the rule.
use execmem_arch_x86::MACHINE_X86;
use execmem_types::{Descriptor, Extent, PageSize, Plan, PowerOfTwo, Table};

execmem_types::kinds! {
    pub enum Guest, types in guest {
        Drivers: Code = "drivers",
        Tables: Data = "tables",
    }
}

const CODE: Extent = Extent::between(0xffff_ffff_c000_0000, 0xffff_ffff_d000_0000).expect("a window");
const LINE: PowerOfTwo = PowerOfTwo::from_log2(6);

pub static TABLE: Table<Guest> = Plan::new(MACHINE_X86)
    .own(guest::Drivers, Descriptor::code(CODE, &[PageSize::mib(2)]))
    .shares(guest::Tables, guest::Drivers, LINE, LINE)
    .table();

fn main() {}
