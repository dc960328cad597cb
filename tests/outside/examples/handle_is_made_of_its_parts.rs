//! error[E0451]: a handle is made by an engine.
use execmem::{Draft, Handle, kinds::Text};

fn forge() -> Draft<Text> {
    Handle { allocation: panic!("some address"), of: std::marker::PhantomData }
}

fn main() {}
