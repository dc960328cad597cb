//! The end of functions and data: one, many that refer to each other, or all.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cranelift_module::{DataId, FuncId};
use execmem::{Draft, Engine, Live};
use execmem_linux::Linux;
use execmem_linux::tools::Listener;

use crate::Error;
use crate::memory::{Piece, Stage};
use crate::module::{CodeModule, Definition};
use crate::resolve::{Item, data_item, function_item};

impl CodeModule {
    /// Frees a function. No processor may execute it any more. The name stays declared, and can be defined again.
    ///
    /// # Errors
    ///
    /// [`Error::NotDefined`], [`Error::StillReferenced`].
    pub fn free_function(&mut self, id: FuncId) -> Result<(), Error> {
        self.free_items(&BTreeSet::from([function_item(id)]))
    }

    /// Frees functions that may refer to each other, in time linear in their number and that of what waits to be finalized.
    ///
    /// # Errors
    ///
    /// As [`free_function`](Self::free_function); nothing was freed.
    pub fn free_functions(&mut self, ids: &[FuncId]) -> Result<(), Error> {
        self.free_items(&ids.iter().map(|id| function_item(*id)).collect())
    }

    /// Frees a data object.
    ///
    /// # Errors
    ///
    /// As [`free_function`](Self::free_function).
    pub fn free_data(&mut self, id: DataId) -> Result<(), Error> {
        self.free_items(&BTreeSet::from([data_item(id)]))
    }

    fn free_items(&mut self, items: &BTreeSet<Item>) -> Result<(), Error> {
        self.check_freeable(items)?;
        let mut definitions = Vec::with_capacity(items.len());
        for item in items {
            if let Some(definition) = self.items.remove(item) {
                self.forget(&definition.refers_to);
                definitions.push(definition);
            }
        }
        self.pending.retain(|pending| !items.contains(pending));
        free_all(definitions.into_iter().flat_map(Definition::into_pieces), &self.engine, &self.listeners);
        Ok(())
    }

    /// Refuses what is not defined, or is referred to by what stays.
    fn check_freeable(&self, items: &BTreeSet<Item>) -> Result<(), Error> {
        let mut inside = HashMap::<Item, usize>::new();
        for item in items {
            let Some(definition) = self.items.get(item) else {
                return Err(Error::NotDefined { name: self.declaration(*item).0 });
            };
            definition.refers_to.iter().for_each(|to| *inside.entry(*to).or_default() += 1);
        }
        for item in items {
            let all = self.references.get(item).copied().unwrap_or(0);
            let count = all - inside.get(item).copied().unwrap_or(0).min(all);
            if count > 0 {
                return Err(Error::StillReferenced { name: self.declaration(*item).0, count });
            }
        }
        Ok(())
    }
}

/// Frees memory, many pieces under one lock. Listeners and unwinders forget it before.
pub(crate) fn free_all(
    pieces: impl IntoIterator<Item = Piece>,
    engine: &Engine<Linux>,
    listeners: &[Arc<dyn Listener>],
) {
    let (mut drafts, mut live) = (Vec::<Draft>::new(), Vec::<Live>::new());
    for piece in pieces {
        listeners.iter().for_each(|listener| listener.freed(piece.address()));
        match piece.into_stage() {
            Stage::Draft(draft) => drafts.push(draft),
            Stage::Live(code) => live.push(code),
        }
    }
    // They are of this engine; a forked child is refused, since the memory is its parent's.
    let _ = engine.free_group(&mut drafts).and_then(|()| engine.free_group(&mut live));
}
