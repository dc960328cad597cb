//! The memory of one function or data object, from draft to live.

use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::isa::unwind::UnwindInfo;
use execmem::{Draft, Engine, Kind, Live, PowerOfTwo, Request};
use execmem_linux::tools::Frames;
use execmem_linux::{Linux, Publish};

use crate::{Error, frames};

/// Memory of the engine with an aligned start.
#[derive(Debug)]
pub(crate) struct Piece {
    stage: Stage,
    start: u64,
    len: usize,
    /// How to leave it, known to unwinders: dropped before the memory is freed.
    frames: Option<Frames>,
}

/// A handle.
#[derive(Debug)]
pub(crate) enum Stage {
    Draft(Draft),
    Live(Live),
}

impl Piece {
    /// Memory for `len` bytes at a multiple of `align`, and behind the lead of the kind.
    pub(crate) fn alloc(engine: &Engine<Linux>, kind: Kind, len: usize, align: u64) -> Result<Piece, Error> {
        let align = PowerOfTwo::from_bytes(align.next_power_of_two()).unwrap_or(PowerOfTwo::from_log2(0));
        // The address is aligned; so is what comes behind the lead, unless the lead is not.
        let lead = engine.table().lead(kind);
        let slack = align.round_up(lead).unwrap_or(lead) - lead;
        let draft = engine.request(&Request::new(kind, (len as u64).saturating_add(slack)).aligned(align))?;
        let start = engine.entry(&draft) + slack;
        Ok(Piece { stage: Stage::Draft(draft), start, len, frames: None })
    }

    /// Address of the first byte.
    pub(crate) const fn address(&self) -> u64 {
        self.start
    }

    /// Bytes asked for.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Writes at an offset. No processor may be executing it.
    pub(crate) fn write(&mut self, engine: &Engine<Linux>, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        let at = |first: u64| self.start - first + offset as u64;
        match &mut self.stage {
            Stage::Draft(draft) => engine.write(draft, at(draft.address()), bytes)?,
            Stage::Live(live) => engine.patch_unexecuted(live, at(live.address()), bytes)?,
        }
        Ok(())
    }

    /// Replaces an address in published code by one store, so that jumps through it go to the old target or the new. Where
    /// memory is mapped once, no processor may be jumping meanwhile.
    pub(crate) fn aim(&self, engine: &Engine<Linux>, offset: usize, target: u64) -> Result<(), Error> {
        let Stage::Live(live) = &self.stage else { return Ok(()) };
        let offset = self.start - live.address() + offset as u64;
        let bytes = target.to_le_bytes();
        match engine.facts().publish() {
            Publish::Poke => engine.patch_literal(live, offset, &bytes)?,
            _ => engine.patch_unexecuted(live, offset, &bytes)?,
        }
        Ok(())
    }

    /// Publishes what was written.
    pub(crate) fn publish(self, engine: &Engine<Linux>) -> Result<Piece, (Piece, Error)> {
        let Piece { stage, start, len, frames } = self;
        let (stage, outcome) = match stage {
            Stage::Draft(draft) => match engine.publish(draft) {
                Ok(live) => (Stage::Live(live), Ok(())),
                Err(failed) => (Stage::Draft(failed.handle), Err(failed.error)),
            },
            live => (live, Ok(())),
        };
        let piece = Piece { stage, start, len, frames };
        match outcome {
            Ok(()) => Ok(piece),
            Err(error) => Err((piece, error.into())),
        }
    }

    /// Tells unwinders how to leave the function that is published here, if they should know.
    pub(crate) fn describe(&mut self, isa: &dyn TargetIsa, unwind: Option<&UnwindInfo>) {
        self.frames = unwind.and_then(|unwind| frames::register(isa, unwind, self.start));
    }

    /// The handle of the memory, of which unwinders know nothing any more. A caller that still executes it answers for that.
    pub(crate) fn into_stage(self) -> Stage {
        drop(self.frames);
        self.stage
    }
}
