//! What a module is made of.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use cranelift_codegen::ir::LibCall;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable as _};
use cranelift_module::default_libcall_names;
use execmem_linux::EngineHandle;
use execmem_linux::tools::Listener;

use crate::island::Shape;
use crate::{CodeModule, Error};

/// Finds the address of a name.
pub(crate) type Lookup = Box<dyn Fn(&str) -> Option<u64> + Send>;

/// Names the functions that code calls by itself.
pub(crate) type LibCallNames = Box<dyn Fn(LibCall) -> String + Send + Sync>;

/// What a [`CodeModule`] is made of: an engine, a code generator, and names that the code may use.
pub struct Builder {
    pub(crate) engine: EngineHandle,
    pub(crate) isa: OwnedTargetIsa,
    pub(crate) shape: Shape,
    pub(crate) symbols: HashMap<String, u64>,
    pub(crate) lookups: Vec<Lookup>,
    pub(crate) libcall_names: LibCallNames,
    pub(crate) is_swappable: bool,
    pub(crate) listeners: Vec<Arc<dyn Listener>>,
    pub(crate) describes_frames: bool,
}

impl Builder {
    /// A module in the memory of `engine`, with a code generator for this machine. Modules may share an engine: an `Arc`, or
    /// that of [the process](execmem_linux::shared()).
    ///
    /// # Errors
    ///
    /// [`Error::NoCodeGenerator`].
    pub fn new(engine: impl Into<EngineHandle>) -> Result<Self, Error> {
        let mut flags = settings::builder();
        for (flag, value) in [("use_colocated_libcalls", "false"), ("is_pic", "false"), ("opt_level", "speed")] {
            let known = flags.set(flag, value);
            debug_assert!(known.is_ok(), "{flag} is a flag of Cranelift");
        }
        let native = cranelift_native::builder().map_err(|reason| Error::NoCodeGenerator { reason })?;
        let isa = native.finish(settings::Flags::new(flags));
        Builder::with_isa(engine, isa.map_err(|_| Error::NoCodeGenerator { reason: "its flags do not fit" })?)
    }

    /// A module with a code generator of the caller's making, for this machine.
    ///
    /// # Errors
    ///
    /// [`Error::NoCodeGenerator`] for a machine whose jumps this crate does not know.
    pub fn with_isa(engine: impl Into<EngineHandle>, isa: OwnedTargetIsa) -> Result<Self, Error> {
        let shape = Shape::of(isa.triple().architecture);
        Ok(Builder {
            engine: engine.into(),
            shape: shape.ok_or(Error::NoCodeGenerator { reason: "its jumps are not known here" })?,
            isa,
            symbols: HashMap::new(),
            lookups: vec![Box::new(execmem_linux::symbol)],
            libcall_names: default_libcall_names(),
            is_swappable: false,
            listeners: Vec::new(),
            describes_frames: false,
        })
    }

    /// Makes a function or object of the host known by name. The last of a name counts.
    #[must_use]
    pub fn symbol(mut self, name: impl Into<String>, pointer: *const u8) -> Self {
        self.symbols.insert(name.into(), pointer.expose_provenance() as u64);
        self
    }

    /// Asks `lookup` for names that are not known otherwise, before whatever was asked so far. At first that is the
    /// process: what `dlsym` finds.
    #[must_use]
    pub fn symbol_lookup(mut self, lookup: impl Fn(&str) -> Option<*const u8> + Send + 'static) -> Self {
        self.lookups.push(Box::new(move |name| lookup(name).map(|pointer| pointer.expose_provenance() as u64)));
        self
    }

    /// Names the functions that code calls by itself. By default as C does.
    #[must_use]
    pub fn libcall_names(mut self, names: LibCallNames) -> Self {
        self.libcall_names = names;
        self
    }

    /// Gives each function a permanent entry of its own, so that it can be
    /// [replaced](CodeModule::replace_function). Calls between functions take one jump more.
    #[must_use]
    pub fn hot_swap(mut self) -> Self {
        self.is_swappable = true;
        self
    }

    /// Begins what this crate adds to the code, such as the entries of [`hot_swap`](Self::hot_swap), with landing pads for
    /// indirect branches: ENDBR64 on x86-64. On arm64 it always does (BTI). What Cranelift compiles has them if its flags
    /// say so, on arm64.
    #[must_use]
    pub fn landing_pads(mut self) -> Self {
        self.shape = self.shape.with_landing_pad();
        self
    }

    /// Tells a profiler or debugger about the functions. What it fails to write down does not stop the module.
    #[must_use]
    pub fn listener(mut self, listener: Arc<dyn Listener>) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Tells unwinders how to leave each function, as long as it lives: backtraces pass generated code, and so do
    /// exceptions and panics of host functions that may unwind. Functions defined by bytes are not described.
    #[must_use]
    pub fn unwind(mut self) -> Self {
        self.describes_frames = true;
        self
    }

    /// The module.
    #[must_use]
    pub fn build(self) -> CodeModule {
        CodeModule::of(self)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("engine", &self.engine).finish_non_exhaustive()
    }
}
