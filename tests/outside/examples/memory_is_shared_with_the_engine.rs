//! error[E0277]: an engine takes memory by value; a shared pointer is no memory.
use std::sync::Arc;

use execmem::Engine;
use execmem_arch_x86::TABLE;
use execmem_sim::Sim;

fn main() {
    let sim = Arc::new(Sim::new(TABLE.machine()));
    let _ = Engine::new(TABLE, Arc::clone(&sim));
}
