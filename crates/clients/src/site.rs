//! Where instructions are replaced while others execute them: code that a caller holds, code of a loaded module, code of an
//! image that the caller vouched for.
//!
//! | code | kept alive by | type |
//! |---|---|---|
//! | of the caller | its handle | [`Own`] |
//! | of a module that the caller loaded | the module | [`Module`](crate::module::Module) |
//! | of a module of a set | a lease, and every site that a client patched | [`Lease`](crate::module::Lease) |
//! | of an image, such as the kernel's | the promise of an `unsafe` function | what implements [`VouchedCode`] |

use execmem::sync::Locking;
use execmem::{CodeTag, Engine, KindSet, KindTag, Live, Memory};
use execmem_types::{Extent, Machine, VouchedCode};

use crate::Error;
use crate::patch::MAX_BYTES;

/// Published code whose instructions can be replaced.
pub trait CodeSite {
    /// Reads bytes.
    ///
    /// # Errors
    ///
    /// [`Error::NoCode`] if they are not this code's; [`Error::Engine`].
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Error>;

    /// Replaces bytes that any processor may be executing, by one store.
    ///
    /// # Errors
    ///
    /// [`Error::NoCode`]; [`Error::Engine`] if one store does not do, or the memory refuses.
    fn patch(&self, address: u64, bytes: &[u8]) -> Result<(), Error>;

    /// Replaces bytes that no processor executes meanwhile.
    ///
    /// # Errors
    ///
    /// As [`patch`](Self::patch), of any length.
    fn patch_unexecuted(&self, address: u64, bytes: &[u8]) -> Result<(), Error>;

    /// Refuses code that cannot change while it is executed.
    ///
    /// # Errors
    ///
    /// [`Error::NotPatchable`], [`Error::NoCode`].
    fn check_patchable(&self, address: u64) -> Result<(), Error>;

    /// Keeps the code where it is until it is released as often: a client has changed an instruction, and will change it
    /// back.
    ///
    /// # Errors
    ///
    /// [`Error::NoCode`], or it is about to go.
    fn hold(&self, address: u64) -> Result<(), Error>;

    /// Ends one [`hold`](Self::hold).
    fn release(&self, address: u64);
}

/// Code that the caller has the handle of.
#[derive(Debug)]
pub struct Own<'a, M, S: KindSet, L: Locking, K: KindTag<Set = S>> {
    /// The engine.
    pub engine: &'a Engine<M, S, L>,
    /// The handle.
    pub live: &'a Live<K>,
}

impl<M: Memory<S>, S: KindSet, L: Locking, K: CodeTag + KindTag<Set = S>> Own<'_, M, S, L, K> {
    fn offset(&self, address: u64) -> Result<u64, Error> {
        let is_inside = self.live.extent().contains(address);
        is_inside.then(|| address - self.live.address()).ok_or(Error::NoCode { address })
    }
}

impl<M: Memory<S>, S: KindSet, L: Locking, K: CodeTag + KindTag<Set = S>> CodeSite for Own<'_, M, S, L, K> {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Error> {
        Ok(self.engine.read(self.live, self.offset(address)?, bytes)?)
    }

    fn patch(&self, address: u64, bytes: &[u8]) -> Result<(), Error> {
        Ok(self.engine.patch(self.live, self.offset(address)?, bytes)?)
    }

    fn patch_unexecuted(&self, address: u64, bytes: &[u8]) -> Result<(), Error> {
        Ok(self.engine.patch_unexecuted(self.live, self.offset(address)?, bytes)?)
    }

    fn check_patchable(&self, address: u64) -> Result<(), Error> {
        self.offset(address)?;
        match self.engine.table().can_poke(self.live.kind()) {
            true => Ok(()),
            false => Err(Error::NotPatchable { kind: self.live.kind().into() }),
        }
    }

    /// The caller keeps the handle for as long.
    fn hold(&self, address: u64) -> Result<(), Error> {
        self.offset(address).map(|_| ())
    }

    fn release(&self, _address: u64) {}
}

/// The part of an image that an access is about.
fn part<V: VouchedCode>(code: &V, address: u64, len: usize) -> Result<(), Error> {
    let is_inside = |part: Extent| code.extent().contains(part.start()) && code.extent().contains(part.last());
    let is_code = Extent::new(address, len.max(1) as u64).is_some_and(is_inside);
    is_code.then_some(()).ok_or(Error::NoCode { address })
}

impl<V: VouchedCode> CodeSite for V {
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Error> {
        part(self, address, bytes.len())?;
        VouchedCode::read(self, address, bytes).map_err(|source| Error::Image { address, source })
    }

    fn patch(&self, address: u64, bytes: &[u8]) -> Result<(), Error> {
        part(self, address, bytes.len())?;
        let (len, whole) = (bytes.len() as u64, self.stores_at_once().bytes());
        if len > whole || !len.is_power_of_two() || !address.is_multiple_of(len) {
            return Err(execmem::Error::NotWhole { address, len, whole }.into());
        }
        self.write(address, bytes).map_err(|source| Error::Image { address, source })
    }

    fn patch_unexecuted(&self, address: u64, bytes: &[u8]) -> Result<(), Error> {
        part(self, address, bytes.len())?;
        self.write(address, bytes).map_err(|source| Error::Image { address, source })
    }

    fn check_patchable(&self, address: u64) -> Result<(), Error> {
        part(self, address, 1)
    }

    /// The caller that vouched for it keeps it.
    fn hold(&self, address: u64) -> Result<(), Error> {
        part(self, address, 1)
    }

    fn release(&self, _address: u64) {}
}

/// A breakpoint that stands where an instruction was.
#[derive(Debug)]
#[must_use = "the instruction is gone until the probe is removed"]
pub struct Probe {
    address: u64,
    original: [u8; MAX_BYTES],
    len: usize,
    is_placed: bool,
}

impl Probe {
    /// Puts the breakpoint of a machine over the instruction at an address, while others execute it. The caller's trap
    /// handler knows what to do with a thread that hits it.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownMachine`] if the machine has no breakpoint; [`Error::UnexpectedCode`] if one stands there; the errors
    /// of [`CodeSite`].
    pub fn place(code: &impl CodeSite, machine: &Machine, address: u64) -> Result<Self, Error> {
        let mut probe = Probe::prepare(code, machine, address)?;
        probe.stand(code, machine)?;
        Ok(probe)
    }

    /// A probe that does not stand yet, at an instruction that it may stand at.
    pub(crate) fn prepare(code: &impl CodeSite, machine: &Machine, address: u64) -> Result<Self, Error> {
        let breakpoint = machine.instructions.breakpoint;
        let mut original = [0; MAX_BYTES];
        let len = breakpoint.len();
        let bytes = original.get_mut(..len).filter(|bytes| !bytes.is_empty()).ok_or(Error::UnknownMachine)?;
        code.check_patchable(address)?;
        code.read(address, bytes)?;
        if bytes == breakpoint {
            return Err(Error::UnexpectedCode { site: address });
        }
        Ok(Probe { address, original, len, is_placed: false })
    }

    /// Puts the breakpoint there.
    pub(crate) fn stand(&mut self, code: &impl CodeSite, machine: &Machine) -> Result<(), Error> {
        code.hold(self.address)?;
        let placed = code.patch(self.address, machine.instructions.breakpoint);
        self.is_placed = placed.is_ok();
        placed.inspect_err(|_| code.release(self.address))
    }

    /// Where it stands.
    #[must_use]
    pub const fn address(&self) -> u64 {
        self.address
    }

    /// Puts the instruction back, while others execute it.
    ///
    /// # Errors
    ///
    /// The errors of [`CodeSite`], and the probe still stands; [`Error::UnexpectedCode`] if it was removed before.
    pub fn remove(&mut self, code: &impl CodeSite) -> Result<(), Error> {
        let site = self.address;
        if !self.is_placed {
            return Err(Error::UnexpectedCode { site });
        }
        code.patch(site, self.original.get(..self.len).unwrap_or(&self.original))?;
        self.is_placed = false;
        code.release(site);
        Ok(())
    }
}
