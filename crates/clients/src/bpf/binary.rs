//! A program that is being compiled: memory that is not executed yet, and the twin that a compiler writes to.

use alloc::vec::Vec;
use core::ops::Range;

use execmem::{Draft, EngineRef, Extent};

use super::Program;
use crate::client::Client;
use crate::{BpfKinds, Error, Id};

/// Memory for a program that is being compiled: where it will be executed, and the twin to write to. Dropping it gives
/// the memory back.
#[derive(Debug)]
pub struct Binary<'c, E: EngineRef<Set: BpfKinds>> {
    client: &'c Client<E, Program<E::Set>>,
    /// `None` once it is finalized.
    draft: Option<Draft<<E::Set as BpfKinds>::Bpf>>,
    extent: Extent,
    twin: Vec<u8>,
    /// Offsets of the image.
    image: Range<usize>,
}

impl<'c, E: EngineRef<Set: BpfKinds>> Binary<'c, E> {
    pub(super) fn new(
        client: &'c Client<E, Program<E::Set>>,
        draft: Draft<<E::Set as BpfKinds>::Bpf>,
        twin: Vec<u8>,
        image: Range<usize>,
    ) -> Self {
        let extent = draft.extent();
        Binary { client, draft: Some(draft), extent, twin, image }
    }

    /// Where the image will be executed.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.extent.start() + self.image.start as u64
    }

    /// All memory of the program: header, hole, image, rest.
    #[must_use]
    pub const fn extent(&self) -> Extent {
        self.extent
    }

    /// The image, to be written by a compiler.
    pub fn image_mut(&mut self) -> &mut [u8] {
        &mut self.twin[self.image.clone()]
    }

    /// Makes the twin what is executed.
    ///
    /// # Errors
    ///
    /// [`Error::Engine`]; the memory is free again then.
    pub fn finalize(mut self) -> Result<Id<Program<E::Set>>, Error> {
        let Some(draft) = self.draft.take() else { unreachable!("only this function takes it, and takes `self` too") };
        let code = self.client.publish(draft, &self.twin)?;
        let image = self.extent.part(self.image.start as u64, self.image.len() as u64).unwrap_or(self.extent);
        self.client.hold(Program { code, image })
    }
}

impl<E: EngineRef<Set: BpfKinds>> Drop for Binary<'_, E> {
    fn drop(&mut self) {
        self.draft.take().into_iter().for_each(|draft| self.client.free(draft));
    }
}
