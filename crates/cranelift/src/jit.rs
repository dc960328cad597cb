//! The names of `cranelift_jit`: a front end switches by changing `use cranelift_jit::{JITBuilder, JITModule}` to
//! `use execmem_cranelift::jit::{JITBuilder, JITModule}`.
//!
//! | | `cranelift_jit` | here |
//! |---|---|---|
//! | memory | of each module | of the engine that the process [shares](execmem_linux::shared()) |
//! | dropping a module | leaves its code for good | frees its code: nothing may execute it |
//! | thread-local data, names that nothing defines, references out of reach | panics | errors |
//! | [`get_finalized_function`](JITModule::get_finalized_function) of what is not finalized | panics | null |
//! | [`JITBuilder::with_isa`] | cannot fail | a `Result` |
//! | `JITBuilder::memory_provider` | chooses the memory | [`Builder::new`](crate::Builder::new) does |
//!
//! ```
//! use cranelift_module::{Linkage, Module as _, default_libcall_names};
//! use execmem_cranelift::jit::{JITBuilder, JITModule};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut builder = JITBuilder::new(default_libcall_names())?;
//! builder.symbol("host", std::ptr::null());
//! let mut module = JITModule::new(builder);
//! let signature = module.make_signature();
//! let id = module.declare_function("nothing", Linkage::Export, &signature)?;
//! # if module.isa().name() == "x64" {
//! module.define_function_bytes(id, 1, &[0xc3], &[])?; // ret
//! module.finalize_definitions()?;
//! assert!(!module.get_finalized_function(id).is_null());
//! # }
//! # Ok(())
//! # }
//! ```
#![expect(unsafe_code, reason = "`free_memory` is unsafe as Cranelift's is")]

use std::fmt;

use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable as _};
use cranelift_module::{DataId, FuncId, ModuleResult};

pub use crate::CodeModule as JITModule;
use crate::builder::LibCallNames;
use crate::{Builder, Error};

/// Finds the address of a name, as Cranelift's builder takes it.
pub type SymbolLookup = Box<dyn Fn(&str) -> Option<*const u8> + Send>;

/// What a [`JITModule`] is made of, by Cranelift's names. [`Builder`] has more choices.
pub struct JITBuilder(Builder);

impl JITBuilder {
    /// A code generator for this machine, and the engine that the process shares.
    ///
    /// # Errors
    ///
    /// [`Error::Setup`] or [`Error::NoCodeGenerator`], as [`ModuleError::Backend`](cranelift_module::ModuleError::Backend).
    pub fn new(libcall_names: LibCallNames) -> ModuleResult<Self> {
        JITBuilder::with_flags(&[], libcall_names)
    }

    /// The same with flags of Cranelift.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); what Cranelift says of a flag.
    pub fn with_flags(flags: &[(&str, &str)], libcall_names: LibCallNames) -> ModuleResult<Self> {
        let mut chosen = settings::builder();
        for (name, value) in flags {
            chosen.set(name, value)?;
        }
        chosen.set("use_colocated_libcalls", "false")?;
        chosen.set("is_pic", "false")?;
        let native = cranelift_native::builder().map_err(|reason| Error::NoCodeGenerator { reason })?;
        JITBuilder::with_isa(native.finish(settings::Flags::new(chosen))?, libcall_names)
    }

    /// The same with a code generator of the caller's making, for this machine.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_isa(isa: OwnedTargetIsa, libcall_names: LibCallNames) -> ModuleResult<Self> {
        let engine = execmem_linux::shared().map_err(Error::from)?;
        Ok(JITBuilder(Builder::with_isa(engine, isa)?.libcall_names(libcall_names)))
    }

    /// Makes a function or object of the host known by name. The last of a name counts.
    pub fn symbol<K: Into<String>>(&mut self, name: K, ptr: *const u8) -> &mut Self {
        self.symbols([(name, ptr)])
    }

    /// Makes several of them known.
    pub fn symbols<It, K>(&mut self, symbols: It) -> &mut Self
    where
        It: IntoIterator<Item = (K, *const u8)>,
        K: Into<String>,
    {
        let named = symbols.into_iter().map(|(name, pointer)| (name.into(), pointer.expose_provenance() as u64));
        self.0.symbols.extend(named);
        self
    }

    /// Asks a function for names that are not known otherwise, before those that were added earlier.
    pub fn symbol_lookup_fn(&mut self, lookup: SymbolLookup) -> &mut Self {
        self.0.lookups.push(Box::new(move |name| lookup(name).map(|pointer| pointer.expose_provenance() as u64)));
        self
    }

    /// What has more choices.
    #[must_use]
    pub fn into_builder(self) -> Builder {
        self.0
    }
}

impl fmt::Debug for JITBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl JITModule {
    /// The module of a builder with Cranelift's names.
    #[must_use]
    pub fn new(builder: JITBuilder) -> Self {
        builder.0.build()
    }

    /// The address of a finalized function, null if it is not finalized: [`address`](Self::address) by Cranelift's name.
    #[must_use]
    pub fn get_finalized_function(&self, id: FuncId) -> *const u8 {
        self.address(id).map_or(std::ptr::null(), pointer)
    }

    /// Address and length of a finalized data object, null and 0 if it is not finalized: [`data`](Self::data) by
    /// Cranelift's name.
    #[must_use]
    pub fn get_finalized_data(&self, id: DataId) -> (*const u8, usize) {
        self.data(id).map_or((std::ptr::null(), 0), |(address, len)| (pointer(address), len))
    }

    /// Frees the module, as dropping it does.
    ///
    /// # Safety
    ///
    /// None of its functions may be executing, or be called afterwards.
    pub unsafe fn free_memory(self) {
        drop(self);
    }
}

fn pointer(address: u64) -> *const u8 {
    std::ptr::with_exposed_provenance(usize::try_from(address).unwrap_or_default())
}
