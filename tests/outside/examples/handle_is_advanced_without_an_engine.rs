//! error[E0624]: a handle changes its stage where the engine changes the memory.
use execmem::{Draft, Live, kinds::Text};

fn unpublish(live: Live<Text>) -> Draft<Text> {
    live.advance()
}

fn main() {}
