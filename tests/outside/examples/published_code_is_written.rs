//! error[E0277]: published code changes by `patch` and its like.
use execmem::{Engine, Live, kinds::Text};
use execmem_linux::Linux;

fn write(engine: &Engine<Linux>, code: &mut Live<Text>) {
    let _ = engine.write(code, 0, &[0xcc]);
}

fn main() {}
