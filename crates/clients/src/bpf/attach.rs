//! Trampolines at sites of code: functions of loaded modules, and of images that the caller vouched for.

use alloc::vec::Vec;

use execmem::EngineRef;

use super::{Bpf, Trampoline};
use crate::patch::{Breakpoints, Change, Instruction, Sites, replace_at};
use crate::site::CodeSite;
use crate::{BpfKinds, Error};

/// A site that calls a trampoline or nothing, in any [`CodeSite`].
#[derive(Debug)]
pub struct TrampolineSite<'a, C, P> {
    /// The code.
    pub code: &'a C,
    /// What handles breakpoints while the site is patched.
    pub breakpoints: &'a P,
    /// The address of the site.
    pub address: u64,
}

impl<C: CodeSite, P: Breakpoints> TrampolineSite<'_, C, P> {
    /// Replaces the instruction. A thread that comes by meanwhile calls nothing.
    fn change(&self, sites: &Sites, old: Instruction, new: Instruction) -> Result<(), Error> {
        let resume = self.address.wrapping_add(sites.len());
        replace_at(self.code, sites, self.breakpoints, &Change { address: self.address, old, new, resume })
    }
}

impl<E: EngineRef<Set: BpfKinds>, F: Fn()> Bpf<E, F> {
    /// Lets a site call a new image of a trampoline, while others execute it: from its nothing, or from the image before,
    /// which is freed once `grace` says that no thread is in it. The code is held from the first image on until
    /// [`detach_trampoline`](Self::detach_trampoline).
    ///
    /// # Errors
    ///
    /// [`Error::UnknownMachine`]; [`Error::UnexpectedCode`] if something else stands at the site; those of
    /// [`replace_trampoline`](Self::replace_trampoline), and of [`CodeSite`]. The site calls what it called before then.
    pub fn attach_trampoline<C: CodeSite, P: Breakpoints>(
        &self,
        trampoline: &mut Trampoline<E::Set>,
        site: &TrampolineSite<'_, C, P>,
        len: u64,
        build: impl FnOnce(u64) -> Result<Vec<u8>, Error>,
        grace: impl FnOnce(),
    ) -> Result<(), Error> {
        let sites = self.sites()?;
        let old = self.standing(&sites, trampoline, site.address)?;
        let is_first = trampoline.image().is_none();
        if is_first {
            site.code.hold(site.address)?;
        }
        let switch = |image| site.change(&sites, old, sites.call(site.address, image)?);
        let outcome = self.replace_trampoline(trampoline, len, build, switch, grace);
        outcome.inspect_err(|_| {
            if is_first {
                site.code.release(site.address);
            }
        })
    }

    /// Lets a site call nothing again, while others execute it, and frees the image of its trampoline once `grace` says that
    /// no thread is in it. Takes no heap.
    ///
    /// # Errors
    ///
    /// [`Error::UnexpectedCode`] if the site does not call the trampoline, and those of [`CodeSite`]; it stays in use then.
    /// [`Error::StaleId`] if the image is free already; the site calls nothing if that was freed by `grace`.
    pub fn detach_trampoline<C: CodeSite, P: Breakpoints>(
        &self,
        trampoline: &mut Trampoline<E::Set>,
        site: &TrampolineSite<'_, C, P>,
        grace: impl FnOnce(),
    ) -> Result<(), Error> {
        let sites = self.sites()?;
        let image = trampoline.image().ok_or(Error::UnexpectedCode { site: site.address })?;
        site.change(&sites, self.standing(&sites, trampoline, site.address)?, sites.nop())?;
        site.code.release(site.address);
        grace();
        *trampoline = Trampoline::new();
        // It fails only if the image is free already, so nothing is lost.
        self.free(image)
    }

    fn sites(&self) -> Result<Sites, Error> {
        Sites::of(self.client.engine().table().machine()).ok_or(Error::UnknownMachine)
    }

    /// What stands at the site of a trampoline.
    fn standing(&self, sites: &Sites, trampoline: &Trampoline<E::Set>, site: u64) -> Result<Instruction, Error> {
        match trampoline.image() {
            Some(image) => sites.call(site, self.image(image)?.start()),
            None => Ok(sites.nop()),
        }
    }
}
