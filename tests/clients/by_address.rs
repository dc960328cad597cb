//! Code that is known by its address alone, and what crates that kernels share do with it.

use execmem::kinds::{Bpf, Kprobe, Text};
use execmem::{Draft, Error as EngineError, Kind, Live};
use execmem_arch_x86::X86_FLIP;
use execmem_clients::Error;
use execmem_clients::by_address::CodeByAddress;
use execmem_tests::rig::Rig;

use super::support::{check_empty, engine, refuse_every_call};

const NOT_FOUND: fn(u64) -> Error = |address| Error::Engine(EngineError::NotFound { address });

#[test]
fn what_was_edited_is_executed_and_what_was_not_is_as_before() {
    let engine = engine();
    let code = CodeByAddress::<_, Kprobe>::new(&engine, 1 << 20);
    let address = code.alloc(32).expect("room");
    code.edit(address, 8, |bytes| bytes.copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8])).expect("it is there");
    // A breakpoint in the middle, as a kernel puts it while others execute the rest.
    let writes = engine.sim.counts();
    code.edit(address + 2, 4, |bytes| bytes[1] = 0xcc).expect("inside");
    assert_eq!(engine.sim.counts().pokes, writes.pokes + 1, "one store");
    code.edit(address, 8, |_| ()).expect("nothing changes");
    assert_eq!(engine.sim.counts().pokes, writes.pokes + 1, "and nothing is written");
    let mut bytes = [0; 9];
    engine.sim.fetch(address, &mut bytes).expect("published");
    assert_eq!(bytes, [1, 2, 3, 0xcc, 5, 6, 7, 8, 0xcc], "behind it are traps");
    assert_eq!(engine.find(address).map(|found| found.kind), Some(Kind::Kprobe));
    code.free(address).expect("it is there");
    check_empty(&engine);
}

#[test]
fn addresses_of_others_and_of_what_is_gone_are_refused() {
    let engine = engine();
    let [code, others] = [(); 2].map(|()| CodeByAddress::<_, Bpf>::new(&engine, 128));
    let address = code.alloc(64).expect("room");
    let edit = |code: &CodeByAddress<_, _>, address, len| code.edit(address, len, |_| panic!("nothing to change"));
    assert_eq!(edit(&others, address, 1), Err(NOT_FOUND(address)));
    assert_eq!((others.free(address), code.free(address + 1)), (Err(NOT_FOUND(address)), Err(NOT_FOUND(address + 1))));
    let outside = EngineError::OutOfBounds { offset: 60, len: 5, granted: 64 };
    assert_eq!(edit(&code, address + 60, 5), Err(Error::Engine(outside)));
    assert_eq!(code.alloc(65), Err(Error::OverLimit { wanted: 128, held: 64, limit: 128 }));
    code.free(address).expect("it is there");
    assert_eq!((code.free(address), edit(&code, address, 1)), (Err(NOT_FOUND(address)), Err(NOT_FOUND(address))));
    code.alloc(100).expect("room");
    assert_eq!((code.usage().live, others.usage().live), (1, 0));
    code.close();
    check_empty(&engine);
}

#[test]
fn a_refusal_leaves_nothing() {
    refuse_every_call(|engine| {
        let code = CodeByAddress::<_, Kprobe>::new(engine, 1 << 20);
        let life = || -> Result<(), Error> {
            let [address, _] = [code.alloc(32)?, code.alloc(16)?];
            code.edit(address, 10, |bytes| bytes.fill(0x90))?;
            code.free(address)
        };
        let is_complete = life().is_ok();
        code.close();
        is_complete
    });
}

/// What a loader asks for that writes at the final address: the trait of the crate `kmod-loader` has these, with pointers.
trait SectionMemory {
    /// Where the section is written, and will be executed.
    fn address(&self) -> u64;

    /// Gives it the rights that it keeps.
    fn make_executable(&mut self) -> bool;
}

/// A section on rows that flip.
struct Section<'e> {
    engine: &'e Rig,
    draft: Option<Draft<Text>>,
    live: Option<Live<Text>>,
}

impl SectionMemory for Section<'_> {
    fn address(&self) -> u64 {
        let draft = self.draft.as_ref().map(|draft| draft.address());
        draft.or_else(|| self.live.as_ref().map(|live| live.address())).expect("one of them")
    }

    fn make_executable(&mut self) -> bool {
        self.live = self.draft.take().and_then(|draft| self.engine.publish(draft).ok());
        self.live.is_some()
    }
}

#[test]
fn a_loader_that_writes_at_the_final_address_is_served_by_rows_that_flip() {
    let engine = Rig::new(X86_FLIP);
    let draft = engine.alloc::<Text>(5000).expect("room");
    let mut section = Section { engine: &engine, draft: Some(draft), live: None };
    let address = section.address();
    engine.sim.store(address, &[0x90, 0xc3]).expect("a processor writes there");
    assert!(engine.sim.fetch(address, &mut [0]).is_err(), "and does not execute it");
    assert!(section.make_executable());
    let mut bytes = [0; 3];
    engine.sim.fetch(section.address(), &mut bytes).expect("it is executed");
    assert_eq!((section.address(), bytes), (address, [0x90, 0xc3, 0xcc]));
    assert!(engine.sim.store(address, &[0]).is_err(), "and not written");
    engine.free(section.live.take().expect("executable")).expect("ours");
    check_empty(&engine);
}
