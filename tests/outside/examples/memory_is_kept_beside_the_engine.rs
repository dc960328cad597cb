//! error[E0277]: an engine takes memory by value; a reference is no memory.
use execmem::Engine;
use execmem_linux::{Linux, Options};

fn main() {
    let linux = Linux::reserve(&Options::default()).expect("memory");
    let table = linux.table().expect("a table");
    let _ = Engine::new(table, &linux);
}
