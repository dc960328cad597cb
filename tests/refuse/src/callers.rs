//! The clients of an engine, and what is done with them.

use std::sync::Arc;

use execmem::kinds::{Bpf as Programs, Text};
use execmem::{Draft, Engine, Kind, KindStats, Live};
use execmem_arch_arm64::ARM64_4K;
use execmem_arch_x86::TABLE;
use execmem_clients::bpf::{self, Bpf, Dispatcher, Program, Trampoline, Trust};
use execmem_clients::by_address::CodeByAddress;
use execmem_clients::ftrace::{Ftrace, Ops};
use execmem_clients::kprobe::{Kprobes, Slot, SlotFormat, word, x86};
use execmem_clients::patch::NoBreakpoints;
use execmem_clients::prog_pack::{Packed, ProgPacks};
use execmem_clients::site::Own;
use execmem_clients::veneer::{Branch, Installed, Island, install};
use execmem_clients::{Credit, Error, Id};
use execmem_sim::Sim;

use crate::heap;
use crate::memory::Exempt;
use crate::scene::{Failure, Heap, Scene, nothing_is_left};

type Shared = Arc<Engine<Exempt<Sim>>>;

/// What the predictors of all processors forget, which are none.
type Flush = fn();

/// Bytes of instructions that do nothing.
static NOPS: [u8; 128] = [0x90; 128];

/// Where nothing near reaches.
const FAR: u64 = 0x1234_0000_0000;

/// Sites of functions from here on are named by their address.
const BY_ADDRESS: u64 = 32;

/// An operation. Numbers are places for what is held.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Op {
    InsertProbe(usize),
    ReleaseProbe(usize),
    CollectProbes,
    FindProbe(usize),
    CopyX86,
    CopyWord,
    MakeFunction,
    Register(usize),
    Enable(usize, u64),
    Disable(usize, u64),
    Unregister(usize),
    AddProgram(usize, Trust),
    FreeProgram(usize),
    MakeDispatcher,
    UpdateDispatcher,
    CloseDispatcher,
    ReplaceTrampoline,
    FreeTrampoline,
    Pack(usize, u64),
    WritePacked(usize),
    FreePacked(usize),
    InstallNear,
    InstallFar,
    MakeIsland,
    Lead(u64),
    Forget(u64),
    AllocByAddress,
    EditByAddress,
    FreeByAddress,
}

/// All clients of one engine.
#[derive(Debug)]
pub(crate) struct Callers {
    engine: Shared,
    kprobes: Option<Kprobes<Shared>>,
    probes: [Option<Id<Slot>>; 8],
    ftrace: Ftrace<Shared, NoBreakpoints>,
    tracers: [Option<Id<Ops>>; 8],
    function: Option<Live<Text>>,
    bpf: Bpf<Shared, Flush>,
    programs: [Option<Id<Program>>; 16],
    dispatcher: Option<Dispatcher<NoBreakpoints>>,
    trampoline: Trampoline,
    packs: ProgPacks<Shared>,
    packed: [Option<Id<Packed>>; 8],
    installed: [Option<Installed<Text>>; 2],
    island: Option<Island<Shared, Text>>,
    by_address: CodeByAddress<Shared, Programs>,
    address: Option<u64>,
}

/// Code that fits a slot, on a heap that may refuse.
fn code(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut code = Vec::new();
    code.try_reserve_exact(bytes.len()).map_err(|_| execmem::Error::OutOfMemory)?;
    code.extend_from_slice(bytes);
    Ok(code)
}

fn flush() {}

impl Callers {
    /// An engine with all of them, and nothing held.
    pub(crate) fn new() -> Self {
        let engine = Arc::new(Engine::new(TABLE, Exempt(Sim::new(TABLE.machine()))).expect("memory"));
        let format = SlotFormat::of(TABLE.machine().instructions.isa).expect("a row");
        let options = bpf::Options { limit: u64::MAX, seed: 1, flush_predictors: flush as Flush };
        Callers {
            kprobes: Some(Kprobes::new(Arc::clone(&engine), format, u64::MAX)),
            probes: [None; 8],
            ftrace: Ftrace::new(Arc::clone(&engine), NoBreakpoints, u64::MAX).expect("rows"),
            tracers: [None; 8],
            function: None,
            bpf: Bpf::new(Arc::clone(&engine), options),
            programs: [None; 16],
            dispatcher: None,
            trampoline: Trampoline::new(),
            packs: ProgPacks::new(Arc::clone(&engine), u64::MAX),
            packed: [None; 8],
            installed: [None, None],
            island: None,
            by_address: CodeByAddress::new(Arc::clone(&engine), u64::MAX),
            address: None,
            engine,
        }
    }

    fn kprobes(&self) -> Result<&Kprobes<Shared>, Failure> {
        self.kprobes.as_ref().ok_or(Failure::Missing)
    }

    fn copy(&self, op: Op) -> Result<(), Failure> {
        match op {
            // mov rax, [rip + 0x10]
            Op::CopyX86 => drop(x86::copy(0x1000, &[0x48, 0x8b, 0x05, 0x10, 0, 0, 0], 0x2000)?),
            // mov x0, x1
            _ => drop(word::copy(ARM64_4K.machine().instructions, 0x1000, &[0xe0, 0x03, 0x01, 0xaa])?),
        }
        Ok(())
    }

    fn probe(&mut self, op: Op) -> Result<(), Failure> {
        let kprobes = self.kprobes()?;
        match op {
            Op::InsertProbe(slot) => self.probes[slot] = Some(kprobes.insert(|_| code(&NOPS[..16]))?),
            Op::ReleaseProbe(slot) => {
                let id = self.probes[slot].ok_or(Failure::Missing)?;
                kprobes.release(id)?;
                self.probes[slot] = None;
            }
            Op::FindProbe(slot) => {
                let id = self.probes[slot].ok_or(Failure::Missing)?;
                let found = kprobes.find(kprobes.address(id)? + 1);
                return if found == Some(id) { Ok(()) } else { Err(Error::StaleId { index: 0 }.into()) };
            }
            _ => drop(kprobes.collect(|| ())),
        }
        Ok(())
    }

    fn trace(&mut self, op: Op) -> Result<(), Failure> {
        match op {
            Op::MakeFunction => {
                let mut draft: Draft<Text> = self.engine.alloc::<Text>(64)?;
                let nop = self.ftrace.nop();
                for at in (0..64).step_by(8) {
                    self.engine.write(&mut draft, at, nop.bytes())?;
                }
                self.function = Some(self.engine.publish(draft).map_err(|failed| failed.error)?);
            }
            Op::Register(slot) => self.tracers[slot] = Some(self.ftrace.register(0x1000, 7)?),
            Op::Enable(slot, site) | Op::Disable(slot, site) => {
                let id = self.tracers[slot].ok_or(Failure::Missing)?;
                let function = self.function.as_ref().ok_or(Failure::Missing)?;
                let code = Own { engine: &*self.engine, live: function };
                let outcome = match op {
                    Op::Enable(..) if site >= BY_ADDRESS => self.ftrace.enable_at(id, &code, function.address() + site),
                    Op::Enable(..) => self.ftrace.enable(id, function, site),
                    _ if site >= BY_ADDRESS => self.ftrace.disable_at(id, &code, function.address() + site),
                    _ => self.ftrace.disable(id, function, site),
                };
                match outcome {
                    // There was no heap to enable it.
                    Err(Error::UnexpectedCode { .. }) => {}
                    outcome => outcome?,
                }
            }
            Op::Unregister(slot) => {
                self.ftrace.unregister(self.tracers[slot].take().ok_or(Failure::Missing)?, || ())?;
            }
            _ => {}
        }
        Ok(())
    }

    fn program(&mut self, op: Op) -> Result<(), Failure> {
        match op {
            Op::AddProgram(slot, trust) => {
                let request = bpf::ProgramRequest { len: 100, align: 4, trust, credit: Credit::Limited };
                self.programs[slot] = Some(self.bpf.alloc(&request)?.finalize()?);
            }
            Op::FreeProgram(slot) => self.bpf.free(self.programs[slot].take().ok_or(Failure::Missing)?)?,
            Op::MakeDispatcher => self.dispatcher = Some(self.bpf.dispatcher(NoBreakpoints)?),
            Op::UpdateDispatcher => {
                let dispatcher = self.dispatcher.as_mut().ok_or(Failure::Missing)?;
                let targets = [dispatcher.entry(), dispatcher.entry() + 64];
                self.bpf.update(dispatcher, &targets, || ())?;
            }
            Op::CloseDispatcher => self.bpf.close(&self.dispatcher.take().ok_or(Failure::Missing)?)?,
            Op::ReplaceTrampoline => {
                let build = |_| code(&NOPS[..100]);
                self.bpf.replace_trampoline(&mut self.trampoline, 100, build, |_| Ok(()), || ())?;
            }
            _ => {
                let image = self.trampoline.image().ok_or(Failure::Missing)?;
                self.trampoline = Trampoline::new();
                self.bpf.free(image)?;
            }
        }
        Ok(())
    }

    fn pack(&mut self, op: Op) -> Result<(), Failure> {
        match op {
            Op::Pack(slot, len) => self.packed[slot] = Some(self.packs.alloc(len)?),
            Op::WritePacked(slot) => self.packs.write(self.packed[slot].ok_or(Failure::Missing)?, 0, &NOPS)?,
            Op::FreePacked(slot) => {
                self.packs.free(self.packed[slot].ok_or(Failure::Missing)?)?;
                self.packed[slot] = None;
            }
            _ => {}
        }
        Ok(())
    }

    fn by_address(&mut self, op: Op) -> Result<(), Failure> {
        match op {
            Op::AllocByAddress => self.address = Some(self.by_address.alloc(200)?),
            Op::EditByAddress => {
                self.by_address.edit(self.address.ok_or(Failure::Missing)?, 100, |bytes| bytes.fill(NOPS[0]))?;
            }
            _ => self.by_address.free(self.address.take().ok_or(Failure::Missing)?)?,
        }
        Ok(())
    }

    fn veneer(&mut self, op: Op) -> Result<(), Failure> {
        match op {
            Op::InstallNear => {
                let branch = Branch { offset: 0, target: TABLE_NEAR, is_call: true };
                self.installed[0] = Some(install::<Text, _, _>(&self.engine, &NOPS, &[branch])?);
            }
            Op::InstallFar => {
                let branch =
                    |number: u64| Branch { offset: number * 8, target: FAR * (number + 1), is_call: number == 0 };
                let branches = [0, 1, 2].map(branch);
                self.installed[1] = Some(install::<Text, _, _>(&self.engine, &NOPS, &branches)?);
            }
            Op::MakeIsland => self.island = Some(Island::new(Arc::clone(&self.engine), 4)?),
            Op::Lead(target) => drop(self.island.as_mut().ok_or(Failure::Missing)?.lead(target)?),
            Op::Forget(target) => {
                let island = self.island.as_mut().ok_or(Failure::Missing)?;
                match island.forget(target) {
                    // There was no heap to lead there.
                    Err(Error::NoVeneer { .. }) => {}
                    outcome => outcome?,
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// What code near the kernel reaches.
const TABLE_NEAR: u64 = 0xffff_ffff_c000_1000;

impl Scene for Callers {
    type Op = Op;
    /// What kinds hold, and what the clients say that they do.
    type Picture = (Vec<(u64, u64)>, [u64; 4]);

    fn run(&mut self, op: Op) -> Result<(), Failure> {
        match op {
            Op::CopyX86 | Op::CopyWord => self.copy(op),
            Op::InsertProbe(_) | Op::ReleaseProbe(_) | Op::CollectProbes | Op::FindProbe(_) => self.probe(op),
            Op::MakeFunction | Op::Register(_) | Op::Enable(..) | Op::Disable(..) | Op::Unregister(_) => self.trace(op),
            Op::Pack(..) | Op::WritePacked(_) | Op::FreePacked(_) => self.pack(op),
            Op::InstallNear | Op::InstallFar | Op::MakeIsland | Op::Lead(_) | Op::Forget(_) => self.veneer(op),
            Op::AllocByAddress | Op::EditByAddress | Op::FreeByAddress => self.by_address(op),
            _ => self.program(op),
        }
    }

    fn heap(op: Op) -> Heap {
        match op {
            // Clean slots are kept if there is heap for them.
            Op::CollectProbes => Heap::Welcome,
            Op::ReleaseProbe(_)
            | Op::FindProbe(_)
            | Op::Disable(..)
            | Op::Unregister(_)
            | Op::FreeProgram(_)
            | Op::CloseDispatcher
            | Op::FreeTrampoline
            | Op::Lead(_)
            | Op::Forget(_)
            | Op::FreeByAddress => Heap::Untouched,
            _ => Heap::Needed,
        }
    }

    fn picture(&self) -> Self::Picture {
        let of = |stats: KindStats| (stats.live, stats.bytes_granted);
        // Slots that are kept for the next probe are no use of anything.
        let kinds = Kind::ALL.iter().filter(|kind| **kind != Kind::Kprobe);
        let used = self.kprobes.as_ref().map_or(0, |kprobes| kprobes.slots().used as u64);
        let usage = [used, self.ftrace.usage().bytes, self.bpf.usage().bytes, self.packs.usage().bytes];
        (kinds.map(|kind| of(self.engine.kind_stats(*kind))).collect(), usage)
    }

    fn check(&self) -> Result<(), String> {
        self.engine.audit().map_err(|broken| broken.to_string())
    }

    fn end(mut self) -> Result<(), String> {
        let failed = |failure: Failure| format!("{failure:?}");
        self.kprobes.take().into_iter().for_each(|kprobes| kprobes.close(|| ()));
        for slot in 0..self.tracers.len() {
            if self.tracers[slot].is_none() {
                continue;
            }
            let last = if self.function.is_some() { 64 } else { 0 };
            for site in (0..last).step_by(8) {
                self.trace(Op::Disable(slot, site)).map_err(failed)?;
            }
            self.trace(Op::Unregister(slot)).map_err(failed)?;
        }
        for slot in 0..self.programs.len() {
            self.programs[slot].is_some().then(|| self.program(Op::FreeProgram(slot))).transpose().map_err(failed)?;
        }
        self.dispatcher.is_some().then(|| self.program(Op::CloseDispatcher)).transpose().map_err(failed)?;
        self.trampoline.image().map(|_| self.program(Op::FreeTrampoline)).transpose().map_err(failed)?;
        for slot in 0..self.packed.len() {
            self.packed[slot].is_some().then(|| self.pack(Op::FreePacked(slot))).transpose().map_err(failed)?;
        }
        let code = self.installed.into_iter().flatten().map(|installed| installed.code).chain(self.function.take());
        for live in code {
            self.engine.free(live).map_err(|failed| failed.error.to_string())?;
        }
        self.island.take().into_iter().for_each(Island::free);
        self.by_address.close();
        nothing_is_left(&self.engine)
    }
}

/// Makes the tables of the decoder, which stay for ever: nothing can be done where there is no heap for them. Returns their
/// bytes.
pub(crate) fn make_decoder() -> i64 {
    let before = heap::live();
    drop(x86::copy(0, &NOPS, 0));
    heap::live() - before
}

/// A life of every client.
pub(crate) fn script() -> Vec<Op> {
    let mut ops = vec![Op::CopyX86, Op::CopyWord, Op::AllocByAddress, Op::EditByAddress, Op::FreeByAddress];
    ops.extend((0..6).flat_map(|slot| [Op::InsertProbe(slot), Op::FindProbe(slot)]));
    ops.extend((0..3).map(Op::ReleaseProbe));
    ops.extend([Op::CollectProbes, Op::InsertProbe(0), Op::ReleaseProbe(0), Op::ReleaseProbe(4), Op::CollectProbes]);
    ops.extend([Op::MakeFunction, Op::Register(0), Op::Register(1), Op::Enable(0, 0), Op::Enable(0, 8)]);
    ops.extend([
        Op::Enable(1, BY_ADDRESS),
        Op::Disable(1, BY_ADDRESS),
        Op::Enable(1, 16),
        Op::Disable(0, 0),
        Op::Disable(0, 8),
        Op::Unregister(0),
    ]);
    ops.extend((0..8).map(|slot| Op::AddProgram(slot, Trust::Trusted)));
    ops.extend((0..8).step_by(2).map(Op::FreeProgram));
    ops.extend((8..12).map(|slot| Op::AddProgram(slot, Trust::Untrusted)));
    ops.extend([Op::MakeDispatcher, Op::UpdateDispatcher, Op::UpdateDispatcher, Op::ReplaceTrampoline]);
    ops.extend([Op::ReplaceTrampoline, Op::CloseDispatcher, Op::FreeTrampoline]);
    ops.extend([Op::Pack(0, 100), Op::Pack(1, 5000), Op::WritePacked(1), Op::Pack(2, 2 << 20), Op::FreePacked(1)]);
    ops.extend([Op::FreePacked(0), Op::Pack(3, 64), Op::InstallNear, Op::InstallFar, Op::MakeIsland]);
    ops.extend([Op::Lead(FAR), Op::Lead(FAR * 2), Op::Forget(FAR)]);
    ops
}
