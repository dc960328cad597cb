//! The engine as a policy beside those of Linux.

use std::collections::BTreeMap;

use anyhow::Result;

use execmem::{Engine, Error, Kind, Live, Sealed, Table};
use execmem_sim::policy::{Load, Placed, Policy};
use execmem_sim::{Control, Refusal, Sim};

/// The engine on a machine.
#[derive(Debug)]
pub(crate) struct EnginePolicy {
    engine: Engine<Sim>,
    sim: Control,
    held: BTreeMap<u64, Vec<Held>>,
}

/// A part of a load, and the bytes that were asked for.
#[derive(Debug)]
enum Held {
    Live(Live, u64),
    Sealed(Sealed, u64),
}

impl EnginePolicy {
    pub(crate) fn new(table: &Table, sim: Sim) -> Result<Self> {
        let control = sim.control();
        Ok(EnginePolicy { engine: Engine::new(*table, sim)?, sim: control, held: BTreeMap::new() })
    }

    /// Checks every invariant of the engine.
    pub(crate) fn audit(&self) -> Result<()> {
        self.engine.audit()?;
        self.engine.audit_unused()?;
        Ok(())
    }

    /// Allocates, writes and publishes every part, or none.
    fn place(&self, load: &Load) -> Result<Vec<Held>, Refusal> {
        let mut drafts = self.engine.alloc_group(&load.parts).map_err(refusal)?.into_iter();
        let mut placed = Vec::new();
        for (mut draft, (_, bytes)) in drafts.by_ref().zip(&load.parts) {
            let content = vec![0x90; usize::try_from(*bytes).unwrap_or(0)];
            let published = match self.engine.write(&mut draft, 0, &content) {
                Ok(()) => self.engine.publish(draft).map_err(|failed| (failed.handle, failed.error)),
                Err(error) => Err((draft, error)),
            };
            match published {
                Ok(live) => placed.push(Held::Live(live, *bytes)),
                Err((draft, error)) => {
                    drafts
                        .chain([draft])
                        .try_for_each(|draft| self.engine.free(draft))
                        .map_err(|failed| refusal(failed.error))?;
                    placed.into_iter().try_for_each(|held| self.free(held))?;
                    return Err(refusal(error));
                }
            }
        }
        Ok(placed)
    }

    fn free(&self, held: Held) -> Result<(), Refusal> {
        let freed = match held {
            Held::Live(live, _) => self.engine.free(live).map_err(|failed| failed.error),
            Held::Sealed(sealed, _) => self.engine.free(sealed).map_err(|failed| failed.error),
        };
        freed.map_err(refusal)
    }
}

fn refusal(error: Error) -> Refusal {
    match error {
        Error::Exhausted { len, .. } | Error::TooLarge { len, .. } => Refusal::NoRoom { bytes: len },
        Error::Backend { source, .. } => Refusal::Backend(source),
        _ => Refusal::Allocator,
    }
}

impl Policy for EnginePolicy {
    fn sim(&self) -> &Control {
        &self.sim
    }

    fn load(&mut self, id: u64, load: &Load) -> Result<(), Refusal> {
        let page = self.engine.table().machine().page().bytes();
        let file = self.sim().take_pages(load.temporary_bytes.div_ceil(page));
        let _ = self.sim().take_pages(load.resident_bytes.div_ceil(page));
        let outcome = self.place(load);
        self.sim().give_pages(&file);
        self.held.insert(id, outcome?);
        Ok(())
    }

    fn finish(&mut self, id: u64) -> Result<(), Refusal> {
        let mut kept = Vec::new();
        for held in self.held.remove(&id).unwrap_or_default() {
            match held {
                Held::Live(live, bytes) => match live.kind() {
                    Kind::InitText | Kind::InitData | Kind::InitRoData => self.free(Held::Live(live, bytes))?,
                    Kind::RoAfterInit => {
                        let sealed = self.engine.seal(live).map_err(|failed| refusal(failed.error))?;
                        kept.push(Held::Sealed(sealed, bytes));
                    }
                    _ => kept.push(Held::Live(live, bytes)),
                },
                sealed @ Held::Sealed(..) => kept.push(sealed),
            }
        }
        self.held.insert(id, kept);
        Ok(())
    }

    fn unload(&mut self, id: u64) -> Result<(), Refusal> {
        self.held.remove(&id).unwrap_or_default().into_iter().try_for_each(|held| self.free(held))
    }

    fn settle(&mut self) {
        self.engine.shrink();
        self.sim().shrink_cache();
    }

    fn placed(&self) -> Vec<Placed> {
        let parts = self.held.iter().flat_map(|(&id, parts)| parts.iter().map(move |part| (id, part)));
        let placed = parts.map(|(id, part)| {
            let (kind, extent, bytes) = match part {
                Held::Live(live, bytes) => (live.kind(), live.extent(), *bytes),
                Held::Sealed(sealed, bytes) => (sealed.kind(), sealed.extent(), *bytes),
            };
            Placed { id, kind, extent, bytes }
        });
        placed.collect()
    }
}
