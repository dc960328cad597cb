//! The loader and the callers against binutils of four machines.

mod alternatives;
mod encodings;
mod linker;
mod real;

/// The tests of this folder.
pub(crate) fn tests() -> Vec<skip::Test> {
    [alternatives::tests(), encodings::tests(), linker::tests(), real::tests()].into_iter().flatten().collect()
}
