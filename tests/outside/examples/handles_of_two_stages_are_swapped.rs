//! error[E0308]: a draft and published code are of different types.
use execmem::{Draft, Live, kinds::Text};

fn swap(draft: &mut Draft<Text>, live: &mut Live<Text>) {
    std::mem::swap(draft, live);
}

fn main() {}
