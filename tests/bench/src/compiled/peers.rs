//! What keeps the functions.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable as _};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, default_libcall_names};
use execmem::Engine;
use execmem_cranelift::{Builder, CodeModule, Provider};
use execmem_linux::{Linux, Options, Publish};

use super::recipe::{Recipe, Workshop};

/// A way to keep compiled functions.
pub(crate) trait Jit: Sized {
    /// What frees a function.
    type Function;
    /// Compiles a function and makes it executable. Returns it and its address.
    fn compile(&mut self, workshop: &mut Workshop, recipe: &Recipe) -> Result<(Self::Function, u64)>;
    /// Frees one, where that is possible.
    fn free(&mut self, function: Self::Function) -> Result<()>;
    /// Frees everything.
    fn finish(self, functions: Vec<Self::Function>) -> Result<()>;
}

/// The code generator of all of them.
fn isa() -> Result<OwnedTargetIsa> {
    let mut flags = settings::builder();
    for (flag, value) in [("use_colocated_libcalls", "false"), ("is_pic", "false"), ("opt_level", "speed")] {
        flags.set(flag, value)?;
    }
    let native = cranelift_native::builder().map_err(anyhow::Error::msg)?;
    Ok(native.finish(settings::Flags::new(flags))?)
}

fn engine(publish: Publish) -> Result<Arc<Engine<Linux>>> {
    let linux = Linux::reserve(&Options::default().publish(publish))?;
    Ok(Arc::new(Engine::new(linux.table()?, linux)?))
}

/// Compiles a function into one of Cranelift's own modules.
fn compile_into(module: &mut JITModule, workshop: &mut Workshop, recipe: &Recipe) -> Result<u64> {
    let id = workshop.declare(module)?;
    workshop.define(module, id, recipe)?;
    module.finalize_definitions()?;
    Ok(module.get_finalized_function(id).expose_provenance() as u64)
}

/// One module of Cranelift's own, with its own memory or with the provider's.
pub(crate) struct Cranelift(JITModule);

impl Cranelift {
    pub(crate) fn new() -> Result<Self> {
        Ok(Cranelift(JITModule::new(JITBuilder::with_isa(isa()?, default_libcall_names()))))
    }

    pub(crate) fn provided() -> Result<Self> {
        let mut builder = JITBuilder::with_isa(isa()?, default_libcall_names());
        builder.memory_provider(Box::new(Provider::on_linux()?));
        Ok(Cranelift(JITModule::new(builder)))
    }
}

impl Jit for Cranelift {
    type Function = ();

    fn compile(&mut self, workshop: &mut Workshop, recipe: &Recipe) -> Result<((), u64)> {
        Ok(((), compile_into(&mut self.0, workshop, recipe)?))
    }

    fn free(&mut self, (): ()) -> Result<()> {
        anyhow::bail!("such a module frees everything at once")
    }

    fn finish(self, _: Vec<()>) -> Result<()> {
        // SAFETY: no thread calls the functions any more.
        unsafe { self.0.free_memory() };
        Ok(())
    }
}

/// A module of Cranelift's own for each function: the only way to free one.
pub(crate) struct CraneliftEach(OwnedTargetIsa);

impl CraneliftEach {
    pub(crate) fn new() -> Result<Self> {
        isa().map(CraneliftEach)
    }
}

impl Jit for CraneliftEach {
    type Function = JITModule;

    fn compile(&mut self, workshop: &mut Workshop, recipe: &Recipe) -> Result<(JITModule, u64)> {
        let mut module = JITModule::new(JITBuilder::with_isa(self.0.clone(), default_libcall_names()));
        let address = compile_into(&mut module, workshop, recipe)?;
        Ok((module, address))
    }

    fn free(&mut self, function: JITModule) -> Result<()> {
        // SAFETY: no thread calls the function any more.
        unsafe { function.free_memory() };
        Ok(())
    }

    fn finish(mut self, functions: Vec<JITModule>) -> Result<()> {
        functions.into_iter().try_for_each(|function| self.free(function))
    }
}

/// One module in execmem's memory. Names of functions that were freed are used again.
pub(crate) struct Execmem {
    module: CodeModule,
    unused: Vec<FuncId>,
}

impl Execmem {
    pub(crate) fn new(publish: Publish) -> Result<Self> {
        Ok(Execmem { module: Builder::with_isa(engine(publish)?, isa()?)?.build(), unused: Vec::new() })
    }
}

impl Jit for Execmem {
    type Function = FuncId;

    fn compile(&mut self, workshop: &mut Workshop, recipe: &Recipe) -> Result<(FuncId, u64)> {
        let id = match self.unused.pop() {
            Some(id) => id,
            None => workshop.declare(&mut self.module)?,
        };
        workshop.define(&mut self.module, id, recipe)?;
        self.module.finalize_definitions()?;
        Ok((id, self.module.address(id).context("finalized")?))
    }

    fn free(&mut self, function: FuncId) -> Result<()> {
        self.module.free_function(function)?;
        self.unused.push(function);
        Ok(())
    }

    fn finish(mut self, functions: Vec<FuncId>) -> Result<()> {
        Ok(self.module.free_functions(&functions)?)
    }
}

/// A module for each function, in the memory of one engine.
pub(crate) struct ExecmemEach {
    engine: Arc<Engine<Linux>>,
    isa: OwnedTargetIsa,
}

impl ExecmemEach {
    pub(crate) fn new() -> Result<Self> {
        Ok(ExecmemEach { engine: engine(Publish::Poke)?, isa: isa()? })
    }
}

impl Jit for ExecmemEach {
    type Function = CodeModule;

    fn compile(&mut self, workshop: &mut Workshop, recipe: &Recipe) -> Result<(CodeModule, u64)> {
        let mut module = Builder::with_isa(Arc::clone(&self.engine), self.isa.clone())?.build();
        let id = workshop.declare(&mut module)?;
        workshop.define(&mut module, id, recipe)?;
        module.finalize_definitions()?;
        let address = module.address(id).context("finalized")?;
        Ok((module, address))
    }

    fn free(&mut self, function: CodeModule) -> Result<()> {
        drop(function);
        Ok(())
    }

    fn finish(self, functions: Vec<CodeModule>) -> Result<()> {
        drop(functions);
        Ok(())
    }
}
