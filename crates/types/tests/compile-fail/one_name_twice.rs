// Two kinds with one name.
include!("base.inc");

execmem_types::kinds! {
    /// Twins.
    pub enum Twins, types in twins {
        /// One.
        One: Code = "one",
        /// The other.
        Other: Code = "one",
    }
}

const TABLE: Table<Twins> = Plan::new(MACHINE).own(twins::One, CODE).own(twins::Other, CODE).table();

fn main() {
    let _ = TABLE;
}
