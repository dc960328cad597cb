//! The memory that images are placed in, and what Wasmtime tells it.
//!
//! What Wasmtime calls is a private type that no other caller gets: a caller that could say an image goes while its module
//! lives would have the next image answer in its place.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use execmem::{Engine, Live};
use execmem_linux::{Linux, Options};
use wasmtime::{Config, CustomCodeMemory};

use crate::foreign::{Foreign, Outside};
use crate::{Error, leaving};

/// Executable memory for the modules of Wasmtime engines.
///
/// [`serve`](Self::serve) gives it to the engines of a `Config`; several engines may share one.
#[derive(Clone)]
pub struct CodeMemory {
    images: Arc<Images>,
}

/// What Wasmtime is given.
pub(crate) struct Images {
    pub(crate) engine: Arc<Engine<Linux>>,
    /// By address, from before Wasmtime sees an image until it says that the image goes.
    by_address: Mutex<BTreeMap<usize, Image>>,
    foreign: Foreign,
}

/// An image that Wasmtime may use.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) code: Live,
    /// Wasmtime asked this memory to make it executable, so it will also say when it goes.
    pub(crate) is_published: bool,
}

/// The engines of every memory.
static ENGINES: Mutex<Vec<Weak<Engine<Linux>>>> = Mutex::new(Vec::new());

fn engines() -> MutexGuard<'static, Vec<Weak<Engine<Linux>>>> {
    // A panic while it was held left a list that is whole.
    ENGINES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CodeMemory {
    /// Memory with an engine and a window of its own, near this program.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`], [`Error::Memory`].
    pub fn on_linux() -> Result<Self, Error> {
        let linux = Linux::reserve(&Options::default())?;
        let table = linux.table()?;
        Ok(CodeMemory::new(Arc::new(Engine::new(table, linux)?)))
    }

    /// Memory of an engine that others may use too.
    #[must_use]
    pub fn new(engine: Arc<Engine<Linux>>) -> Self {
        let mut engines = engines();
        engines.retain(|engine| engine.strong_count() > 0);
        engines.push(Arc::downgrade(&engine));
        drop(engines);
        CodeMemory { images: Arc::new(Images { engine, by_address: Mutex::default(), foreign: Foreign::default() }) }
    }

    /// Makes the engines of a configuration take their code from this memory: images that are
    /// [placed](Self::compile) in it, and those of `Module::new` and the like, which Wasmtime maps itself, by changing their
    /// rights as Wasmtime would.
    pub fn serve<'c>(&self, config: &'c mut Config) -> &'c mut Config {
        let images: Arc<Images> = Arc::clone(&self.images);
        config.with_custom_code_memory(Some(images))
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine<Linux>> {
        &self.images.engine
    }

    /// Frees the image that this thread dropped last.
    ///
    /// Wasmtime reads an image a little longer than it admits, so its memory comes back when the thread that dropped
    /// the last of a module drops or places the next one, ends, or calls this.
    pub fn release(&self) {
        leaving::free_last();
    }

    /// Code that lies outside this memory now, because Wasmtime mapped it: its images, and their bytes.
    #[must_use]
    pub fn outside(&self) -> Outside {
        self.images.foreign.count()
    }

    pub(crate) fn images(&self) -> MutexGuard<'_, BTreeMap<usize, Image>> {
        self.images.lock()
    }
}

impl Images {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Image>> {
        // A panic while it was held left a map that is whole.
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Image {
    fn covers(&self, start: usize, len: usize) -> bool {
        let extent = self.code.extent();
        let offset = (start as u64).checked_sub(extent.start());
        offset.and_then(|offset| offset.checked_add(len as u64)).is_some_and(|end| end <= extent.len())
    }
}

impl CustomCodeMemory for Images {
    fn required_alignment(&self) -> usize {
        // What Wasmtime's own mappings have, and the most it accepts.
        usize::try_from(self.engine.facts().machine().page().bytes()).unwrap_or(1)
    }

    /// Nothing is left to do for an image that was placed.
    fn publish_executable(&self, start: *const u8, len: usize) -> wasmtime::Result<()> {
        let mut images = self.lock();
        let found = images.range_mut(..=start.addr()).next_back().map(|(_, image)| image);
        if let Some(image) = found.filter(|image| image.covers(start.addr(), len)) {
            image.is_published = true;
            return Ok(());
        }
        drop(images);
        // An image that was placed for an engine with another memory: its rights are not this one's to change.
        let is_placed = |engine: Arc<Engine<Linux>>| engine.facts().window().contains(start.addr() as u64);
        if engines().iter().filter_map(Weak::upgrade).any(is_placed) {
            return Err(wasmtime::Error::new(Error::NotPlaced { address: start.addr() }));
        }
        Ok(self.foreign.publish(start, len)?)
    }

    /// The image goes, or will be written to. Wasmtime panics if this fails.
    fn unpublish_executable(&self, start: *const u8, len: usize) -> wasmtime::Result<()> {
        let mut images = self.lock();
        let found = images.range(..=start.addr()).next_back();
        let found = found.filter(|(_, image)| image.covers(start.addr(), len)).map(|(address, _)| *address);
        let image = found.and_then(|address| images.remove(&address));
        drop(images);
        if let Some(image) = image {
            leaving::leave(&self.engine, image.code);
        } else {
            self.foreign.unpublish(start, len);
        }
        Ok(())
    }
}

impl fmt::Debug for CodeMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let images = self.images().len();
        f.debug_struct("CodeMemory").field("images", &images).field("engine", self.engine()).finish()
    }
}
