//! error[E0277]: the stages of life are those of the engine.
struct Mine;

impl execmem::Stage for Mine {}

fn main() {}
