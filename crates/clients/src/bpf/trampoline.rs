//! Trampolines: code between a function and the programs attached to it, replaced as a whole when they change.

use alloc::vec::Vec;

use execmem::{EngineRef, Kind};

use super::Program;
use crate::client::Client;
use crate::{BpfKinds, Credit, Error, Id};

/// A trampoline; the first image comes with the first
/// [`replace_trampoline`](super::Bpf::replace_trampoline).
#[derive(Debug)]
pub struct Trampoline<S: BpfKinds = Kind> {
    image: Option<Id<Program<S>>>,
}

impl<S: BpfKinds> Default for Trampoline<S> {
    fn default() -> Self {
        Trampoline::new()
    }
}

impl<S: BpfKinds> Trampoline<S> {
    /// A trampoline without an image.
    #[must_use]
    pub const fn new() -> Self {
        Trampoline { image: None }
    }

    /// Its image, to be freed when no thread calls it any more.
    #[must_use]
    pub const fn image(&self) -> Option<Id<Program<S>>> {
        self.image
    }

    /// Publishes a new image and redirects callers, which is what cannot be undone and so comes last. Returns the one before.
    pub(super) fn replace<E: EngineRef<Set = S>>(
        &mut self,
        client: &Client<E, Program<S>>,
        len: u64,
        build: impl FnOnce(u64) -> Result<Vec<u8>, Error>,
        switch: impl FnOnce(u64) -> Result<(), Error>,
    ) -> Result<Option<Id<Program<S>>>, Error> {
        let code = client.install::<S::Bpf>(len, Credit::Limited, build)?;
        let image = code.extent();
        let program = client.hold(Program { code, image })?;
        if let Err(error) = switch(image.start()) {
            client.take(program).into_iter().for_each(|program| client.free(program.code));
            return Err(error);
        }
        Ok(self.image.replace(program))
    }
}
