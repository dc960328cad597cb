//! How an image gets into the memory.
#![expect(unsafe_code, reason = "Wasmtime executes the images it is given")]

use std::ptr::NonNull;

use execmem::{Kind, Request};
use wasmtime::{Engine, Module};

use crate::memory::Image;
use crate::{CodeMemory, Error, leaving};

impl CodeMemory {
    /// Compiles a module and places it. With the feature `compile` only.
    ///
    /// # Errors
    ///
    /// [`Error::Wasmtime`] if the module does not validate, and those of [`place`](Self::place).
    #[cfg(feature = "compile")]
    pub fn compile(&self, engine: &Engine, wasm: &[u8]) -> Result<Module, Error> {
        let image = engine.precompile_module(wasm).map_err(Error::Wasmtime)?;
        // SAFETY: the image is what this Wasmtime has just compiled.
        unsafe { self.place(engine, &image) }
    }

    /// Places an image that `Engine::precompile_module` or `wasmtime compile` made: copies it to its address,
    /// publishes it, and lets Wasmtime use it there.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`], [`Error::Wasmtime`] if the image is damaged or for another machine or configuration,
    /// [`Error::OtherMemory`], [`Error::Interpreter`].
    ///
    /// # Safety
    ///
    /// As `wasmtime::Module::deserialize`: the image must come from a Wasmtime compiler and be unmodified.
    pub unsafe fn place(&self, engine: &Engine, image: &[u8]) -> Result<Module, Error> {
        leaving::free_last();
        if engine.is_pulley() {
            return Err(Error::Interpreter);
        }
        let (start, memory) = self.publish(image)?;
        // SAFETY: the caller vouches for the image. Its bytes stay readable and unchanged at this address until
        // `unpublish_executable` was called for it and the call that did has returned, since no other code has the
        // handle; if that is never going to be called, the module goes right below.
        let module = unsafe { Module::deserialize_raw(engine, memory) };
        let knows_us = self.images().get(&start).is_some_and(|image| image.is_published);
        match module {
            Ok(module) if knows_us => Ok(module),
            Ok(module) => {
                drop(module);
                self.discard(start);
                Err(Error::OtherMemory)
            }
            Err(error) => {
                // Wasmtime has dropped what it made of the image: here, before it returned.
                self.discard(start);
                Err(Error::Wasmtime(error))
            }
        }
    }

    /// Writes an image to memory of its own and makes it known.
    fn publish(&self, image: &[u8]) -> Result<(usize, NonNull<[u8]>), Error> {
        let page = self.engine().facts().machine().page();
        // The address is aligned; the first page behind the lead of the kind is as well.
        let lead = self.engine().table().lead(Kind::Text);
        let offset = page.round_up(lead).unwrap_or(lead);
        let len = (image.len() as u64).saturating_add(offset - lead);
        let mut draft = self.engine().request(&Request::new(Kind::Text, len).aligned(page))?;
        let address = draft.address() + offset;
        if let Err(error) = self.engine().write(&mut draft, offset, image) {
            self.free(draft);
            return Err(error.into());
        }
        let code = match self.engine().publish(draft) {
            Ok(code) => code,
            Err(failed) => {
                self.free(failed.handle);
                return Err(failed.error.into());
            }
        };
        let start = usize::try_from(address).map_err(|_| Error::NoAddress { address });
        let pointer = start.as_ref().ok().and_then(|start| NonNull::new(std::ptr::with_exposed_provenance_mut(*start)));
        let (Ok(start), Some(pointer)) = (start, pointer) else {
            self.free(code);
            return Err(Error::NoAddress { address });
        };
        self.images().insert(start, Image { code, is_published: false });
        Ok((start, NonNull::slice_from_raw_parts(pointer, image.len())))
    }

    /// Frees an image that is not in use.
    fn discard(&self, start: usize) {
        leaving::free_last();
        let image = self.images().remove(&start);
        if let Some(image) = image {
            self.free(image.code);
        }
    }

    fn free<S: execmem::Stage>(&self, handle: execmem::Handle<S>) {
        let freed = self.engine().free(handle);
        debug_assert!(freed.is_ok(), "its own engine");
    }
}
