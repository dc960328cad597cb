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

use execmem::kinds::Ftrace as FtraceKind;
use execmem::sync::Locking;
use execmem::{Backend, CodeTag, Engine, Extent, Handle, Live};

use crate::client::{Client, Held};
use crate::patch::{Breakpoints, Instruction, PatchRule, Replacement, replace};
use crate::{Credit, Error, Id, Usage};

pub use trampoline::Trampoline;

/// A tracer: its trampoline, and the sites that call it.
#[derive(Debug)]
pub struct Ops {
    code: Live<FtraceKind>,
    sites: Vec<u64>,
}

impl Held for Ops {
    fn extent(&self) -> Extent {
        self.code.extent()
    }
}

/// The tracers of one engine. `P` is what handles breakpoints while sites are patched.
#[derive(Debug)]
pub struct Ftrace<'e, B, L: Locking, P> {
    client: Client<'e, B, L, Ops>,
    rule: PatchRule,
    trampoline: Trampoline,
    breakpoints: P,
}

impl<'e, B: Backend, L: Locking, P: Breakpoints> Ftrace<'e, B, L, P> {
    /// Tracers whose trampolines take at most `limit` bytes together.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownMachine`] if there are no rows for the table's machine.
    pub fn new(engine: &'e Engine<B, L>, breakpoints: P, limit: u64) -> Result<Self, Error> {
        let machine = engine.table().machine().name;
        let rule = PatchRule::of_machine(machine).ok_or(Error::UnknownMachine)?;
        let trampoline = Trampoline::of_machine(machine).ok_or(Error::UnknownMachine)?;
        Ok(Ftrace { client: Client::new(engine, limit), rule, trampoline, breakpoints })
    }

    /// The instruction that stands at a site which is not traced.
    #[must_use]
    pub fn nop(&self) -> Instruction {
        self.rule.nop()
    }

    /// Makes a trampoline that calls `handler(site, caller, data)`: the address behind the site, the address that the
    /// traced function returns to, and `data`.
    ///
    /// # Errors
    ///
    /// [`Error::OverLimit`], [`Error::Engine`]; [`Error::BranchOutOfReach`] for numbers that are no addresses.
    pub fn register(&self, handler: u64, data: u64) -> Result<Id<Ops>, Error> {
        let len = self.trampoline.len();
        let code = self.client.install(len, Credit::Limited, |_| self.trampoline.code(handler, data))?;
        Ok(self.client.hold(Ops { code, sites: Vec::new() }))
    }

    /// Where the trampoline of a tracer stands.
    ///
    /// # Errors
    ///
    /// [`Error::StaleId`], [`Error::ForeignId`].
    pub fn address(&self, ops: Id<Ops>) -> Result<u64, Error> {
        self.client.with(ops, |ops| Ok(ops.code.address()))
    }

    /// Lets the site at an offset of published code call a tracer, while others execute it.
    ///
    /// # Errors
    ///
    /// [`Error::UnexpectedCode`] if the site is traced already or is none; [`Error::BranchOutOfReach`], and the errors of
    /// [`replace`].
    pub fn enable<K: CodeTag>(&self, ops: Id<Ops>, code: &Live<K>, offset: u64) -> Result<(), Error> {
        let site = code.address().wrapping_add(offset);
        self.client.with(ops, |ops| {
            ops.sites.try_reserve(1).map_err(|_| execmem::Error::OutOfMemory)?;
            let call = self.rule.call(site, ops.code.address())?;
            self.replace(code, offset, self.rule.nop(), call)?;
            ops.sites.push(site);
            Ok(())
        })
    }

    /// Lets the site call nothing again, while others execute it.
    ///
    /// # Errors
    ///
    /// [`Error::UnexpectedCode`] if it does not call this tracer; the errors of [`replace`].
    pub fn disable<K: CodeTag>(&self, ops: Id<Ops>, code: &Live<K>, offset: u64) -> Result<(), Error> {
        let site = code.address().wrapping_add(offset);
        self.client.with(ops, |ops| {
            let place = ops.sites.iter().position(|known| *known == site).ok_or(Error::UnexpectedCode { site })?;
            let call = self.rule.call(site, ops.code.address())?;
            self.replace(code, offset, call, self.rule.nop())?;
            ops.sites.swap_remove(place);
            Ok(())
        })
    }

    /// Whoever comes by while a site is patched is not traced.
    fn replace<K: CodeTag>(
        &self,
        code: &Live<K>,
        offset: u64,
        old: Instruction,
        new: Instruction,
    ) -> Result<(), Error> {
        let resume = code.address().wrapping_add(offset).wrapping_add(old.bytes().len() as u64);
        let what = Replacement { offset, old, new, resume };
        replace(self.client.engine, &self.rule, &self.breakpoints, code, &what)
    }

    /// Frees the trampoline of a tracer, once `grace` says that no processor is in it.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] if sites call it; [`Error::StaleId`], [`Error::ForeignId`].
    pub fn unregister(&self, ops: Id<Ops>, grace: impl FnOnce()) -> Result<(), Error> {
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
    pub fn find(&self, address: u64) -> Option<Id<Ops>> {
        self.client.find(address)
    }

    /// What the trampolines take of the engine's memory.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.client.usage()
    }
}
