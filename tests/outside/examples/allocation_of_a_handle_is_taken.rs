//! error[E0624]: what an engine knows of an allocation stays in the handle.
use execmem::{Live, kinds::Text};

fn look(live: &Live<Text>) {
    let _ = live.allocation();
}

fn main() {}
