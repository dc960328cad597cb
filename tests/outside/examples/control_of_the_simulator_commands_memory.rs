//! error[E0599]: the control of a simulated machine is no memory.
use execmem::{Backend as _, Extent};
use execmem_sim::Control;

fn unmap(control: &Control, extent: Extent) {
    let _ = control.unmap(extent);
}

fn main() {}
