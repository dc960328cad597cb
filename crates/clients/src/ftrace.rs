//! Ftrace: a trampoline for each tracer, called from sites that are patched while they are executed.
//!
//! A traced function begins with an instruction that does nothing and can become a call. Each tracer (*ops*) has a
//! trampoline of its own, so that its sites call it directly: a prologue that saves what a function may not lose, a call
//! of the tracer with the address of the site and a pointer to the tracer's data, an epilogue, and behind it the two
//! addresses it needs. Source: `arch/x86/kernel/ftrace.c`, `create_trampoline`; `arch/arm64/kernel/entry-ftrace.S`,
//! `arch/riscv/kernel/mcount-dyn.S`.
//!
//! How a site is patched while others execute it is told in [`patch`](crate::patch).

mod trampoline;

use alloc::vec::Vec;

use execmem::{CodeTag, EngineRef, Extent, Kind, KindTag, Live};

use crate::client::{Client, Held};
use crate::growth::try_reserve;
use crate::patch::{Breakpoints, Change, Instruction, Replacement, Sites, replace, replace_at};
use crate::site::CodeSite;
use crate::{Credit, Error, FtraceKinds, Id, Usage};

pub use trampoline::Trampoline;

/// A tracer: its trampoline, and the sites that call it.
#[derive(Debug)]
pub struct Ops<S: FtraceKinds = Kind> {
    code: Live<S::Ftrace>,
    sites: Vec<u64>,
}

impl<S: FtraceKinds> Held for Ops<S> {
    type Kind = S::Ftrace;

    fn extent(&self) -> Extent {
        self.code.extent()
    }

    fn into_code(self) -> Live<S::Ftrace> {
        self.code
    }
}

/// The tracers of one engine. `P` is what handles breakpoints while sites are patched.
#[derive(Debug)]
pub struct Ftrace<E: EngineRef<Set: FtraceKinds>, P> {
    client: Client<E, Ops<E::Set>>,
    sites: Sites,
    trampoline: Trampoline,
    breakpoints: P,
}

impl<E: EngineRef<Set: FtraceKinds>, P: Breakpoints> Ftrace<E, P> {
    /// Tracers whose trampolines take at most `limit` bytes together.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownMachine`] if there are no rows for the table's machine.
    pub fn new(engine: E, breakpoints: P, limit: u64) -> Result<Self, Error> {
        let machine = engine.engine().table().machine();
        let sites = Sites::of(machine).ok_or(Error::UnknownMachine)?;
        let trampoline = Trampoline::of(machine.instructions.isa).ok_or(Error::UnknownMachine)?;
        Ok(Ftrace { client: Client::new(engine, limit), sites, trampoline, breakpoints })
    }

    /// The instruction that stands at a site which is not traced.
    #[must_use]
    pub fn nop(&self) -> Instruction {
        self.sites.nop()
    }

    /// Makes a trampoline that calls `handler(site, caller, data)`: the address behind the site, the address that the
    /// traced function returns to, and `data`.
    ///
    /// # Errors
    ///
    /// [`Error::OverLimit`], [`Error::Engine`]; [`Error::BranchOutOfReach`] for numbers that are no addresses.
    pub fn register(&self, handler: u64, data: u64) -> Result<Id<Ops<E::Set>>, Error> {
        let len = self.trampoline.len();
        let code = self.client.install(len, Credit::Limited, |_| self.trampoline.code(handler, data))?;
        self.client.hold(Ops { code, sites: Vec::new() })
    }

    /// Where the trampoline of a tracer stands.
    ///
    /// # Errors
    ///
    /// [`Error::StaleId`], [`Error::ForeignId`].
    pub fn address(&self, ops: Id<Ops<E::Set>>) -> Result<u64, Error> {
        self.client.with(ops, |ops| Ok(ops.code.address()))
    }

    /// Lets the site at an offset of published code call a tracer, while others execute it.
    ///
    /// # Errors
    ///
    /// [`Error::UnexpectedCode`] if the site is traced already or is none; [`Error::BranchOutOfReach`], and the errors of
    /// [`replace`].
    pub fn enable<K: CodeTag + KindTag<Set = E::Set>>(
        &self,
        ops: Id<Ops<E::Set>>,
        code: &Live<K>,
        offset: u64,
    ) -> Result<(), Error> {
        let site = code.address().wrapping_add(offset);
        self.client.with(ops, |ops| {
            try_reserve(&mut ops.sites, 1)?;
            let call = self.sites.call(site, ops.code.address())?;
            self.replace(code, offset, self.sites.nop(), call)?;
            ops.sites.push(site);
            Ok(())
        })
    }

    /// Lets the site call nothing again, while others execute it.
    ///
    /// # Errors
    ///
    /// [`Error::UnexpectedCode`] if it does not call this tracer; the errors of [`replace`].
    pub fn disable<K: CodeTag + KindTag<Set = E::Set>>(
        &self,
        ops: Id<Ops<E::Set>>,
        code: &Live<K>,
        offset: u64,
    ) -> Result<(), Error> {
        let site = code.address().wrapping_add(offset);
        self.client.with(ops, |ops| {
            let place = ops.sites.iter().position(|known| *known == site).ok_or(Error::UnexpectedCode { site })?;
            let call = self.sites.call(site, ops.code.address())?;
            self.replace(code, offset, call, self.sites.nop())?;
            ops.sites.swap_remove(place);
            Ok(())
        })
    }

    /// Lets a site in any [`CodeSite`] call a tracer, while others execute it. The code is held until the site is disabled.
    ///
    /// # Errors
    ///
    /// As [`enable`](Self::enable), and those of [`CodeSite`].
    pub fn enable_at(&self, ops: Id<Ops<E::Set>>, code: &impl CodeSite, site: u64) -> Result<(), Error> {
        // Entered first, so that the trampoline stays; the code's own lock may wait, so this one is not held meanwhile.
        let trampoline = self.client.with(ops, |ops| {
            if ops.sites.contains(&site) {
                return Err(Error::UnexpectedCode { site });
            }
            ops.sites.try_reserve(1).map_err(|_| execmem::Error::OutOfMemory)?;
            ops.sites.push(site);
            Ok(ops.code.address())
        })?;
        let outcome = self.sites.call(site, trampoline).and_then(|call| {
            code.hold(site)?;
            self.change(code, site, self.sites.nop(), call).inspect_err(|_| code.release(site))
        });
        outcome.inspect_err(|_| self.forget(ops, site))
    }

    /// Lets the site call nothing again, while others execute it, and holds its code no more.
    ///
    /// # Errors
    ///
    /// As [`disable`](Self::disable), and those of [`CodeSite`].
    pub fn disable_at(&self, ops: Id<Ops<E::Set>>, code: &impl CodeSite, site: u64) -> Result<(), Error> {
        let trampoline = self.client.with(ops, |ops| {
            let is_known = ops.sites.contains(&site);
            is_known.then(|| ops.code.address()).ok_or(Error::UnexpectedCode { site })
        })?;
        self.change(code, site, self.sites.call(site, trampoline)?, self.sites.nop())?;
        code.release(site);
        self.forget(ops, site);
        Ok(())
    }

    fn change(&self, code: &impl CodeSite, site: u64, old: Instruction, new: Instruction) -> Result<(), Error> {
        let resume = site.wrapping_add(old.bytes().len() as u64);
        replace_at(code, &self.sites, &self.breakpoints, &Change { address: site, old, new, resume })
    }

    fn forget(&self, ops: Id<Ops<E::Set>>, site: u64) {
        // A tracer with a site is not unregistered, so it is still there.
        let _ = self.client.with(ops, |ops| {
            ops.sites.retain(|known| *known != site);
            Ok(())
        });
    }

    /// A thread that comes by while a site is patched is not traced.
    fn replace<K: CodeTag + KindTag<Set = E::Set>>(
        &self,
        code: &Live<K>,
        offset: u64,
        old: Instruction,
        new: Instruction,
    ) -> Result<(), Error> {
        let resume = code.address().wrapping_add(offset).wrapping_add(old.bytes().len() as u64);
        let what = Replacement { offset, old, new, resume };
        replace(self.client.engine(), &self.sites, &self.breakpoints, code, &what)
    }

    /// Frees the trampoline of a tracer, once `grace` says that no processor is in it.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] if sites call it; [`Error::StaleId`], [`Error::ForeignId`].
    pub fn unregister(&self, ops: Id<Ops<E::Set>>, grace: impl FnOnce()) -> Result<(), Error> {
        let taken = self.client.take_if(ops, |ops| match ops.sites.len() as u64 {
            0 => Ok(()),
            sites => Err(Error::InUse { sites }),
        })?;
        grace();
        self.client.free(taken.code);
        Ok(())
    }

    /// The tracer whose trampoline an address lies in.
    #[must_use]
    pub fn find(&self, address: u64) -> Option<Id<Ops<E::Set>>> {
        self.client.find(address)
    }

    /// What the trampolines take of the engine's memory.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.client.usage()
    }
}
