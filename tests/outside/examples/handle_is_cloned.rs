//! error[E0277]: of an allocation there is one handle.
use execmem::{Live, kinds::Text};

fn two<T: Clone>(of: &T) -> [T; 2] {
    [of.clone(), of.clone()]
}

fn twice(live: &Live<Text>) -> [Live<Text>; 2] {
    two(live)
}

fn main() {}
