//! Trampolines: code between a function and the programs attached to it, replaced as a whole when they change.

use alloc::vec::Vec;

use execmem::kinds::Bpf;
use execmem::sync::Locking;
use execmem::{Backend, Handle};

use super::Program;
use crate::client::Client;
use crate::{Credit, Error, Id};

/// A trampoline; the first image comes with the first
/// [`replace_trampoline`](super::Bpf::replace_trampoline).
#[derive(Debug, Default)]
pub struct Trampoline {
    image: Option<Id<Program>>,
}

impl Trampoline {
    /// A trampoline without an image.
    #[must_use]
    pub const fn new() -> Self {
        Trampoline { image: None }
    }

    /// Its image, to be freed when nobody calls it any more.
    #[must_use]
    pub const fn image(&self) -> Option<Id<Program>> {
        self.image
    }

    /// Publishes a new image and redirects callers. Returns the one before.
    pub(super) fn replace<B: Backend, L: Locking>(
        &mut self,
        client: &Client<'_, B, L, Program>,
        len: u64,
        build: impl FnOnce(u64) -> Result<Vec<u8>, Error>,
        switch: impl FnOnce(u64) -> Result<(), Error>,
    ) -> Result<Option<Id<Program>>, Error> {
        let code = client.install::<Bpf>(len, Credit::Limited, build)?;
        if let Err(error) = switch(code.address()) {
            client.free(code);
            return Err(error);
        }
        let image = code.extent();
        Ok(self.image.replace(client.hold(Program { code, image })))
    }
}
