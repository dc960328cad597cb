// A class that does not exist.
include!("base.inc");

execmem_types::kinds! {
    /// What is executed.
    pub enum Mine, types in mine {
        /// Code.
        Only: Executable = "only",
    }
}

const TABLE: Table<Mine> = Plan::new(MACHINE).own(mine::Only, CODE).table();

fn main() {
    let _ = TABLE;
}
