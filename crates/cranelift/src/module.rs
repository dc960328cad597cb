//! The module: what is declared, defined and finalized.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::isa::unwind::UnwindInfo;
use cranelift_codegen::{CodegenError, CompiledCode};
use cranelift_module::{DataId, FuncId, ModuleDeclarations, ModuleReloc};
use execmem::{Engine, Kind};
use execmem_linux::tools::{Code, Listener};
use execmem_linux::{EngineHandle, Linux, Options};

use crate::Error;
use crate::builder::{Builder, LibCallNames, Lookup};
use crate::free::free_all;
use crate::island::{ALIGNMENT, Islands, Shape};
use crate::memory::Piece;
use crate::relocate::{Image, Reference, check_known};
use crate::resolve::{Item, data_item, function_item, item_of};

/// A Cranelift module whose code and data live in an [`Engine`].
///
/// Definitions become executable by [`finalize_definitions`](Self::finalize_definitions). Dropping the module frees
/// everything in it; a caller that still executes it answers for that.
pub struct CodeModule {
    pub(crate) engine: EngineHandle,
    pub(crate) isa: OwnedTargetIsa,
    pub(crate) shape: Shape,
    pub(crate) declarations: ModuleDeclarations,
    pub(crate) items: BTreeMap<Item, Definition>,
    pub(crate) pending: Vec<Item>,
    /// How many references of others there are to each item.
    pub(crate) references: HashMap<Item, usize>,
    /// Code that was replaced and may still be executed.
    pub(crate) retired: Vec<Piece>,
    pub(crate) symbols: HashMap<String, u64>,
    pub(crate) lookups: Vec<Lookup>,
    pub(crate) libcall_names: LibCallNames,
    pub(crate) is_swappable: bool,
    pub(crate) listeners: Vec<Arc<dyn Listener>>,
    /// Unwinders are told how to leave each function.
    describes_frames: bool,
    /// Whether a direct call reaches from each end of the window to the other.
    pub(crate) is_all_in_reach: bool,
}

/// A function or data object that was defined.
pub(crate) struct Definition {
    /// `None` only while it is published.
    pub(crate) body: Option<Piece>,
    /// The permanent entry, in modules that can replace functions.
    pub(crate) stub: Option<Box<Piece>>,
    /// Only until it is published.
    content: Option<Box<Content>>,
    /// What it refers to.
    pub(crate) refers_to: Vec<Item>,
}

/// Bytes that are not at their address yet.
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    pub(crate) relocs: Vec<ModuleReloc>,
    pub(crate) islands: usize,
    /// How to leave it.
    pub(crate) unwind: Option<UnwindInfo>,
}

impl Definition {
    /// The address that others use.
    pub(crate) fn entry(&self) -> u64 {
        self.stub.as_deref().or(self.body.as_ref()).map_or(0, Piece::address)
    }

    /// Its memory.
    pub(crate) fn into_pieces(self) -> impl Iterator<Item = Piece> {
        self.body.into_iter().chain(self.stub.map(|stub| *stub))
    }
}

impl CodeModule {
    /// A module with an engine and a window of its own, near this program.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`], [`Error::Memory`], [`Error::NoCodeGenerator`].
    pub fn on_linux() -> Result<Self, Error> {
        Ok(Builder::new(Linux::engine(&Options::default())?)?.build())
    }

    /// A module in the engine that the process [shares](execmem_linux::shared()): for programs with many modules.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`], [`Error::NoCodeGenerator`].
    pub fn shared() -> Result<Self, Error> {
        Ok(Builder::new(execmem_linux::shared()?)?.build())
    }

    pub(crate) fn of(builder: Builder) -> Self {
        let window = builder.engine.facts().window();
        let reach = builder.engine.facts().machine().reach();
        CodeModule {
            is_all_in_reach: reach.connects(window, window),
            engine: builder.engine,
            isa: builder.isa,
            shape: builder.shape,
            declarations: ModuleDeclarations::default(),
            items: BTreeMap::new(),
            pending: Vec::new(),
            references: HashMap::new(),
            retired: Vec::new(),
            symbols: builder.symbols,
            lookups: builder.lookups,
            libcall_names: builder.libcall_names,
            is_swappable: builder.is_swappable,
            listeners: builder.listeners,
            describes_frames: builder.describes_frames,
        }
    }

    /// How to leave compiled code, if anybody is to be told.
    pub(crate) fn unwind_info(&self, code: &CompiledCode) -> Result<Option<UnwindInfo>, CodegenError> {
        if self.describes_frames { code.create_unwind_info(&*self.isa) } else { Ok(None) }
    }

    /// The engine.
    #[must_use]
    pub const fn engine(&self) -> &EngineHandle {
        &self.engine
    }

    /// The address of a finalized function, to [call](execmem_linux::call) or to turn into a function pointer. It stays
    /// until the function is freed, also if it is replaced.
    #[must_use]
    pub fn address(&self, id: FuncId) -> Option<u64> {
        self.finalized(function_item(id)).map(Definition::entry)
    }

    /// Address and length of a finalized data object.
    #[must_use]
    pub fn data(&self, id: DataId) -> Option<(u64, usize)> {
        let definition = self.finalized(data_item(id))?;
        Some((definition.entry(), definition.body.as_ref().map_or(0, Piece::len)))
    }

    pub(crate) fn finalized(&self, item: Item) -> Option<&Definition> {
        self.items.get(&item).filter(|definition| definition.content.is_none())
    }

    /// Takes memory for content, to be written when everything is defined.
    ///
    /// Of references that cannot be served the caller learns here, so that the rest of the module can be finalized.
    pub(crate) fn define(&mut self, item: Item, kind: Kind, align: u64, content: Content) -> Result<(), Error> {
        content.relocs.iter().try_for_each(|reloc| check_known(reloc.kind))?;
        let body = self.place(kind, align, &content)?;
        let stub = match self.is_swappable && item.0 == 0 {
            true => Some(Box::new(Piece::alloc(&self.engine, Kind::Text, self.shape.len(), ALIGNMENT as u64)?)),
            false => None,
        };
        let refers_to = self.refer(item, &content.relocs);
        self.items.insert(item, Definition { body: Some(body), stub, content: Some(Box::new(content)), refers_to });
        self.pending.push(item);
        Ok(())
    }

    pub(crate) fn place(&self, kind: Kind, align: u64, content: &Content) -> Result<Piece, Error> {
        let code = content.bytes.len();
        let islands = content.islands * self.shape.len();
        let len = if islands == 0 { code } else { code.next_multiple_of(ALIGNMENT) + islands };
        let align = if islands == 0 { align } else { align.max(ALIGNMENT as u64) };
        Piece::alloc(&self.engine, kind, len, align)
    }

    /// Relocates and publishes everything that was defined since the last time. On failure, what was published stays
    /// so, and the rest can be tried again, for example with the missing function defined.
    ///
    /// # Errors
    ///
    /// [`Error::Unresolved`], [`Error::OutOfReach`] and the others of references: nothing was published.
    /// [`Error::Memory`].
    pub fn finalize_definitions(&mut self) -> Result<(), Error> {
        let images: Result<Vec<_>, _> = self.pending.iter().map(|item| self.image(*item)).collect();
        for (index, image) in images?.into_iter().enumerate() {
            let item = self.pending[index];
            if let Err(error) = self.publish(item, &image) {
                self.pending.drain(..index);
                return Err(error);
            }
        }
        self.pending.clear();
        Ok(())
    }

    /// The bytes of a definition as they run at its address.
    fn image(&self, item: Item) -> Result<Vec<u8>, Error> {
        let definition = &self.items[&item];
        let address = definition.body.as_ref().map_or(0, Piece::address);
        definition.content.as_ref().map_or(Ok(Vec::new()), |content| self.relocated(item, address, content))
    }

    pub(crate) fn relocated(&self, item: Item, address: u64, content: &Content) -> Result<Vec<u8>, Error> {
        let mut bytes = content.bytes.clone();
        let first_island = address + bytes.len().next_multiple_of(ALIGNMENT) as u64;
        let islands = Islands::new(self.shape, first_island, content.islands);
        let mut image = Image { bytes: &mut bytes, address, islands };
        let mut previous = None;
        for ModuleReloc { kind, offset, name, addend } in &content.relocs {
            let target = self.target(name, item, address)?;
            let reference = Reference { kind: *kind, offset: *offset, target, addend: *addend, previous };
            image.apply(&reference)?;
            previous = image.resolved(&reference);
        }
        let islands = image.islands.bytes();
        if !islands.is_empty() {
            // Between code and islands stands what pads code to their alignment, never reached.
            bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
            bytes.extend(islands);
        }
        Ok(bytes)
    }

    fn publish(&mut self, item: Item, image: &[u8]) -> Result<(), Error> {
        let (engine, shape) = (self.engine.clone(), self.shape);
        let Some(definition) = self.items.get_mut(&item) else { return Ok(()) };
        let Some(body) = definition.body.take() else { return Ok(()) };
        let jump = shape.to(body.address());
        let (body, outcome) = published(&engine, body, image);
        definition.body = Some(body);
        outcome?;
        if let Some(stub) = definition.stub.take() {
            let (stub, outcome) = published(&engine, *stub, &jump);
            definition.stub = Some(Box::new(stub));
            outcome?;
        }
        let unwind = definition.content.take().and_then(|content| content.unwind);
        if let Some(body) = &mut definition.body {
            body.describe(&*self.isa, unwind.as_ref());
        }
        let address = definition.body.as_ref().map_or(0, Piece::address);
        self.announce(item, address, image);
        Ok(())
    }

    /// Tells the listeners about code.
    pub(crate) fn announce(&self, item: Item, address: u64, bytes: &[u8]) {
        if item.0 == 0 && !self.listeners.is_empty() {
            let (name, _) = self.declaration(item);
            for listener in &self.listeners {
                // What they fail to write down is theirs.
                let _ = listener.published(&Code { name: &name, address, bytes });
            }
        }
    }

    /// Notes what some references of an item are to.
    pub(crate) fn refer(&mut self, own: Item, relocs: &[ModuleReloc]) -> Vec<Item> {
        let items = others(own, relocs);
        items.iter().for_each(|other| *self.references.entry(*other).or_default() += 1);
        items
    }

    pub(crate) fn forget(&mut self, references: &[Item]) {
        for item in references {
            if let Some(count) = self.references.get_mut(item) {
                *count -= 1;
                if *count == 0 {
                    self.references.remove(item);
                }
            }
        }
    }
}

/// Writes and publishes a piece.
pub(crate) fn published(engine: &Engine<Linux>, mut piece: Piece, bytes: &[u8]) -> (Piece, Result<(), Error>) {
    if let Err(error) = piece.write(engine, 0, bytes) {
        return (piece, Err(error));
    }
    match piece.publish(engine) {
        Ok(piece) => (piece, Ok(())),
        Err((piece, error)) => (piece, Err(error)),
    }
}

/// What some references are to, of the module and other than themselves, each once.
fn others(own: Item, relocs: &[ModuleReloc]) -> Vec<Item> {
    let mut items: Vec<_> = relocs.iter().filter_map(|reloc| item_of(&reloc.name)).collect();
    items.sort_unstable();
    items.dedup();
    items.retain(|item| *item != own);
    items
}

impl Drop for CodeModule {
    fn drop(&mut self) {
        self.free_retired();
        let pieces = std::mem::take(&mut self.items).into_values().flat_map(Definition::into_pieces);
        free_all(pieces, &self.engine, &self.listeners);
    }
}

impl fmt::Debug for CodeModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (defined, pending) = (self.items.len(), self.pending.len());
        f.debug_struct("CodeModule").field("defined", &defined).field("pending", &pending).finish_non_exhaustive()
    }
}
