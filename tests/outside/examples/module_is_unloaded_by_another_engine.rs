//! error[E0061]: a module knows its engine, and no other is asked for.
use execmem::Engine;
use execmem_clients::module::Module;
use execmem_linux::Linux;

fn unload(module: Module<&'_ Engine<Linux>>, other: &Engine<Linux>) {
    module.unload(other);
}

fn main() {}
