//! error[E0382]: freeing takes the handle.
use execmem::{Engine, Live, kinds::Text};
use execmem_linux::Linux;

fn twice(engine: &Engine<Linux>, code: Live<Text>) {
    let _ = engine.free(code);
    let _ = engine.free(code);
}

fn main() {}
