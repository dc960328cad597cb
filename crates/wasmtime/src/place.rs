//! How an image gets into the memory.
#![expect(unsafe_code, reason = "Wasmtime executes the images it is given")]

use std::ptr::NonNull;

use execmem::{Kind, Request};
#[cfg(feature = "components")]
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use crate::memory::Image;
use crate::{CodeMemory, Error, leaving};

/// What Wasmtime makes of an image.
trait Loaded: Sized {
    /// # Safety
    ///
    /// As `Module::deserialize_raw`.
    unsafe fn load_in_place(engine: &Engine, memory: NonNull<[u8]>) -> wasmtime::Result<Self>;

    /// # Safety
    ///
    /// As `Module::deserialize`.
    unsafe fn load_copy(engine: &Engine, image: &[u8]) -> wasmtime::Result<Self>;

    fn has_code(&self) -> bool;
}

macro_rules! loaded {
    ($($type:ty)*) => {$(
        impl Loaded for $type {
            unsafe fn load_in_place(engine: &Engine, memory: NonNull<[u8]>) -> wasmtime::Result<Self> {
                // SAFETY: the caller's.
                unsafe { Self::deserialize_raw(engine, memory) }
            }

            unsafe fn load_copy(engine: &Engine, image: &[u8]) -> wasmtime::Result<Self> {
                // SAFETY: the caller's.
                unsafe { Self::deserialize(engine, image) }
            }

            fn has_code(&self) -> bool {
                !self.text().is_empty()
            }
        }
    )*};
}
loaded!(Module);
#[cfg(feature = "components")]
loaded!(Component);

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

    /// The same for a component. With the feature `components` too.
    ///
    /// # Errors
    ///
    /// As [`compile`](Self::compile).
    #[cfg(all(feature = "compile", feature = "components"))]
    pub fn compile_component(&self, engine: &Engine, wasm: &[u8]) -> Result<Component, Error> {
        let image = engine.precompile_component(wasm).map_err(Error::Wasmtime)?;
        // SAFETY: the image is what this Wasmtime has just compiled.
        unsafe { self.place_component(engine, &image) }
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
        // SAFETY: the caller's.
        unsafe { self.place_any(engine, image) }
    }

    /// The same for a component. With the feature `components` only.
    ///
    /// # Errors
    ///
    /// As [`place`](Self::place).
    ///
    /// # Safety
    ///
    /// As [`place`](Self::place).
    #[cfg(feature = "components")]
    pub unsafe fn place_component(&self, engine: &Engine, image: &[u8]) -> Result<Component, Error> {
        // SAFETY: the caller's.
        unsafe { self.place_any(engine, image) }
    }

    /// # Safety
    ///
    /// As [`place`](Self::place).
    unsafe fn place_any<L: Loaded>(&self, engine: &Engine, image: &[u8]) -> Result<L, Error> {
        leaving::free_last();
        if engine.is_pulley() {
            return Err(Error::Interpreter);
        }
        let (start, memory) = self.publish(image)?;
        // SAFETY: the caller vouches for the image. Its bytes stay readable and unchanged at this address until
        // `unpublish_executable` was called for it and the call that did has returned, since no other code has the
        // handle; if that is never going to be called, what was loaded goes right below.
        let loaded = unsafe { L::load_in_place(engine, memory) };
        let knows_us = self.images().get(&start).is_some_and(|image| image.is_published);
        let refused = match loaded {
            Ok(loaded) if knows_us => return Ok(loaded),
            Ok(loaded) if loaded.has_code() => Error::OtherMemory,
            Ok(loaded) => {
                drop(loaded);
                self.discard(start);
                // SAFETY: the caller's.
                return unsafe { L::load_copy(engine, image) }.map_err(Error::Wasmtime);
            }
            // Wasmtime has dropped what it made of the image: here, before it returned.
            Err(error) => Error::Wasmtime(error),
        };
        self.discard(start);
        Err(refused)
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
