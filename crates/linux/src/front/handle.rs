//! A way to an engine that either the process shares or several owners count.

use std::ops::Deref;
use std::sync::Arc;

use execmem::sync::ThreadLanes;
use execmem::{Engine, EngineRef, Kind};

use crate::Linux;

/// A way to an engine of this process, cheap to clone: for adapters that leave the choice to their users.
#[derive(Debug, Clone)]
pub enum EngineHandle {
    /// The engine that the process [shares](crate::shared()), or another that lives as long as it.
    Shared(&'static Engine<Linux>),
    /// An engine that goes with the last of its handles.
    Counted(Arc<Engine<Linux>>),
}

impl Deref for EngineHandle {
    type Target = Engine<Linux>;

    #[inline]
    fn deref(&self) -> &Engine<Linux> {
        match self {
            EngineHandle::Shared(engine) => engine,
            EngineHandle::Counted(engine) => engine,
        }
    }
}

impl EngineRef for EngineHandle {
    type Memory = Linux;
    type Set = Kind;
    type Locks = ThreadLanes;

    #[inline]
    fn engine(&self) -> &Engine<Linux> {
        self
    }
}

impl From<&'static Engine<Linux>> for EngineHandle {
    fn from(engine: &'static Engine<Linux>) -> Self {
        EngineHandle::Shared(engine)
    }
}

impl From<Arc<Engine<Linux>>> for EngineHandle {
    fn from(engine: Arc<Engine<Linux>>) -> Self {
        EngineHandle::Counted(engine)
    }
}

impl From<Engine<Linux>> for EngineHandle {
    fn from(engine: Engine<Linux>) -> Self {
        EngineHandle::Counted(Arc::new(engine))
    }
}
