//! Code that is called like a function of Rust, and freed when it is dropped.
#![expect(unsafe_code, reason = "its methods that make function pointers have callers that vouch for the code")]

use execmem::kinds::Text;
use execmem::{Engine, EngineRef, Error, Failed, Kind, Live, Owned, stage};

use crate::{Linux, SetupError, fn_at, shared};

/// A published function in memory of this process, freed when it is dropped.
///
/// `E` is a way to its engine: the [shared one](shared()), a reference, an `Arc`.
///
/// ```
/// # #[cfg(target_arch = "x86_64")] {
/// let double = execmem_linux::Function::new(&[0x48, 0x8d, 0x04, 0x3f, 0xc3])?; // lea rax, [rdi + rdi]; ret
/// // Sound: the bytes are a complete function of one integer, which lives as long as it is called.
/// let call = unsafe { double.as_fn::<extern "C" fn(i64) -> i64>() };
/// assert_eq!(call(21), 42);
/// # }
/// # Ok::<(), execmem_linux::SetupError>(())
/// ```
#[derive(Debug)]
pub struct Function<E: EngineRef<Memory = Linux, Set = Kind> = &'static Engine<Linux>> {
    code: Owned<E, stage::Live, Text>,
    entry: u64,
}

impl Function {
    /// Publishes code in the engine that the process shares. The code may run at any address.
    ///
    /// # Errors
    ///
    /// Those of [`shared()`]; [`SetupError::Engine`] as [`new_in`](Self::new_in).
    pub fn new(code: &[u8]) -> Result<Self, SetupError> {
        Ok(Function::new_in(shared()?, code)?)
    }

    /// Publishes code in the engine that the process shares. `assemble` makes it for its address, as
    /// [`Engine::emit`] says.
    ///
    /// ```
    /// # #[cfg(target_arch = "x86_64")] {
    /// use execmem_linux::{Function, SetupError};
    ///
    /// let own_address = Function::emit::<_, SetupError>(64, |address| {
    ///     Ok([&[0x48, 0xb8], &address.to_le_bytes()[..], &[0xc3]].concat()) // movabs rax, address; ret
    /// })?;
    /// // Sound: the bytes are a complete function that returns a constant.
    /// assert_eq!(unsafe { own_address.as_fn::<extern "C" fn() -> u64>() }(), own_address.address());
    /// # }
    /// # Ok::<(), execmem_linux::SetupError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What `assemble` returns; those of [`shared()`] and of [`emit_in`](Self::emit_in).
    pub fn emit<B, X>(guess: u64, assemble: impl FnMut(u64) -> Result<B, X>) -> Result<Self, X>
    where
        B: AsRef<[u8]>,
        X: From<SetupError> + From<Error>,
    {
        Function::emit_in(shared()?, guess, assemble)
    }
}

impl<E: EngineRef<Memory = Linux, Set = Kind>> Function<E> {
    /// Publishes code that may run at any address.
    ///
    /// # Errors
    ///
    /// Those of [`Engine::alloc`], [`Engine::write`] and [`Engine::publish`]; nothing is left allocated.
    pub fn new_in(engine: E, code: &[u8]) -> Result<Self, Error> {
        Function::emit_in(engine, code.len() as u64, |_| Ok::<_, Error>(code))
    }

    /// Publishes code that `assemble` makes for its address, as [`Engine::emit`] says.
    ///
    /// # Errors
    ///
    /// What `assemble` returns; those of [`Engine::emit`] and [`Engine::publish`]; nothing is left allocated.
    pub fn emit_in<B, X>(engine: E, guess: u64, assemble: impl FnMut(u64) -> Result<B, X>) -> Result<Self, X>
    where
        B: AsRef<[u8]>,
        X: From<Error>,
    {
        let draft = engine.engine().emit::<Text, B, X>(guess, assemble)?;
        let draft = draft.owned_by(engine).map_err(Error::from)?;
        let code = draft.publish().map_err(|Failed { error, .. }| error)?;
        Ok(Function::from(code))
    }

    /// The address of the entry point.
    #[must_use]
    pub const fn address(&self) -> u64 {
        self.entry
    }

    /// The memory, for what an engine does with published code: [patches](Engine::patch), reads.
    pub fn memory(&self) -> &Live<Text> {
        &self.code
    }

    /// The code as a function pointer of type `F`, which does not keep it.
    ///
    /// # Safety
    ///
    /// As [`fn_at`]. The pointer must not be called once this value is dropped.
    #[must_use]
    pub unsafe fn as_fn<F: Copy>(&self) -> F {
        // SAFETY: the caller vouches for the code, which is published.
        unsafe { fn_at(self.entry) }
    }
}

impl<E: EngineRef<Memory = Linux, Set = Kind>> From<Owned<E, stage::Live, Text>> for Function<E> {
    fn from(code: Owned<E, stage::Live, Text>) -> Self {
        let entry = code.engine().engine().entry(&code);
        Function { code, entry }
    }
}
