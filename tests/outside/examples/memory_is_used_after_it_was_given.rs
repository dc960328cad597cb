//! error[E0382]: memory that an engine owns is gone for everyone else.
use execmem::{Backend as _, Engine, Extent};
use execmem_arch_x86::TABLE;
use execmem_sim::Sim;

fn main() {
    let sim = Sim::new(TABLE.machine());
    let _engine = Engine::new(TABLE, sim).expect("memory");
    let _ = sim.unmap(Extent::new(0xffff_ffff_c000_0000, 4096).expect("a page"));
}
