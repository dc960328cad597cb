//! Tracers: trampolines, sites, what is refused, and that a refusal while a site is patched puts it back.

use execmem_tests::rig::Rig;
use std::cell::RefCell;

use execmem::Live;
use execmem::kinds::Text;
use execmem_clients::Error;
use execmem_clients::ftrace::Ftrace;
use execmem_clients::patch::{Breakpoints, NoBreakpoints};

use super::support::{check_empty, engine, refuse_every_call};

/// Where the sites of [`function`] are.
const SITES: [u64; 3] = [0, 8, 21];

/// Published code with three sites.
fn function(engine: &Rig, nop: &[u8]) -> Result<Live<Text>, execmem::Error> {
    let mut code = [0x90; 64];
    for site in SITES {
        let at = usize::try_from(site).expect("small");
        code[at..at + nop.len()].copy_from_slice(nop);
    }
    let mut draft = engine.alloc::<Text>(64)?;
    if let Err(error) = engine.write(&mut draft, 0, &code) {
        engine.free(draft).expect("ours");
        return Err(error);
    }
    engine.publish(draft).map_err(|failed| {
        engine.free(failed.handle).expect("ours");
        failed.error
    })
}

fn site_bytes(engine: &Rig, code: &Live<Text>, site: u64) -> [u8; 5] {
    let mut bytes = [0; 5];
    engine.sim.fetch(code.address() + site, &mut bytes).expect("published and synchronised");
    bytes
}

#[test]
fn enabled_sites_call_their_own_trampoline_and_disabled_ones_nothing() {
    let engine = engine();
    let ftrace = Ftrace::new(&engine, NoBreakpoints, u64::MAX).expect("rows");
    let code = function(&engine, ftrace.nop().bytes()).expect("room");
    let (first, second) = (ftrace.register(0x1000, 7).expect("room"), ftrace.register(0x2000, 8).expect("room"));
    ftrace.enable(first, &code, SITES[0]).expect("a site");
    ftrace.enable(second, &code, SITES[2]).expect("a site");
    for (ops, site) in [(first, SITES[0]), (second, SITES[2])] {
        let bytes = site_bytes(&engine, &code, site);
        let distance = i32::from_le_bytes(bytes[1..].try_into().expect("4 bytes"));
        let target = (code.address() + site + 5).wrapping_add_signed(distance.into());
        assert_eq!((bytes[0], target), (0xe8, ftrace.address(ops).expect("registered")));
        assert_eq!(ftrace.find(target + 3), Some(ops));
    }
    assert_eq!(site_bytes(&engine, &code, SITES[1]), ftrace.nop().bytes(), "untouched");
    let trampoline = ftrace.address(first).expect("registered");
    let mut bytes = [0; 72];
    engine.sim.fetch(trampoline, &mut bytes).expect("published");
    assert_eq!((&bytes[56..64], &bytes[64..]), (&0x1000_u64.to_le_bytes()[..], &7_u64.to_le_bytes()[..]));
    ftrace.disable(first, &code, SITES[0]).expect("enabled");
    assert_eq!(site_bytes(&engine, &code, SITES[0]), ftrace.nop().bytes());
    ftrace.disable(second, &code, SITES[2]).expect("enabled");
    for ops in [first, second] {
        ftrace.unregister(ops, || ()).expect("no sites");
    }
    assert_eq!(ftrace.usage().bytes, 0);
    engine.free(code).expect("ours");
    check_empty(&engine);
}

#[test]
fn misuse_is_refused_and_changes_nothing() {
    let engine = engine();
    let ftrace = Ftrace::new(&engine, NoBreakpoints, 200).expect("rows");
    let others = Ftrace::new(&engine, NoBreakpoints, u64::MAX).expect("rows");
    let code = function(&engine, ftrace.nop().bytes()).expect("room");
    let ops = ftrace.register(0x1000, 7).expect("room");
    let other = ftrace.register(0x1000, 7).expect("room");
    assert!(matches!(ftrace.register(1, 1), Err(Error::OverLimit { .. })));
    assert!(matches!(ftrace.enable(ops, &code, 1), Err(Error::UnexpectedCode { .. })), "no site");
    assert!(matches!(others.enable(ops, &code, 0), Err(Error::ForeignId { .. })));
    assert!(matches!(ftrace.disable(ops, &code, 0), Err(Error::UnexpectedCode { .. })), "not enabled");
    ftrace.enable(ops, &code, 0).expect("a site");
    assert!(matches!(ftrace.enable(other, &code, 0), Err(Error::UnexpectedCode { .. })), "taken");
    assert!(matches!(ftrace.disable(other, &code, 0), Err(Error::UnexpectedCode { .. })), "of another");
    assert_eq!(ftrace.unregister(ops, || panic!("refused before")), Err(Error::InUse { sites: 1 }));
    ftrace.disable(ops, &code, 0).expect("enabled");
    assert!(matches!(others.unregister(ops, || ()), Err(Error::ForeignId { .. })));
    ftrace.unregister(ops, || ()).expect("no sites");
    assert!(matches!(ftrace.unregister(ops, || ()), Err(Error::StaleId { .. })), "twice");
    assert!(matches!(ftrace.enable(ops, &code, 0), Err(Error::StaleId { .. })));
    ftrace.unregister(other, || ()).expect("no sites");
    engine.free(code).expect("ours");
    check_empty(&engine);
}

/// Remembers which site is armed, and what was.
#[derive(Default)]
struct Witness {
    armed: RefCell<Vec<(u64, u64)>>,
    all: RefCell<Vec<(u64, u64)>>,
}

impl Breakpoints for Witness {
    fn arm(&self, site: u64, resume: u64) {
        self.armed.borrow_mut().push((site, resume));
        self.all.borrow_mut().push((site, resume));
    }
    fn disarm(&self, site: u64) {
        self.armed.borrow_mut().retain(|(armed, _)| *armed != site);
    }
}

#[test]
fn breakpoints_are_armed_for_as_long_as_they_stand() {
    let engine = engine();
    let witness = Witness::default();
    let ftrace = Ftrace::new(&engine, &witness, u64::MAX).expect("rows");
    let code = function(&engine, ftrace.nop().bytes()).expect("room");
    let ops = ftrace.register(0x1000, 7).expect("room");
    ftrace.enable(ops, &code, 8).expect("a site");
    let site = code.address() + 8;
    assert_eq!((&*witness.all.borrow(), witness.armed.borrow().len()), (&vec![(site, site + 5)], 0));
}

#[test]
fn inv_09_a_refusal_while_a_site_is_patched_puts_it_back() {
    refuse_every_call(|engine| {
        let witness = Witness::default();
        let ftrace = Ftrace::new(engine, &witness, u64::MAX).expect("rows");
        let nop = ftrace.nop();
        let Ok(code) = function(engine, nop.bytes()) else { return false };
        let mut outcome = Err(Error::UnknownMachine);
        if let Ok(ops) = ftrace.register(0x1000, 7) {
            outcome = ftrace.enable(ops, &code, 21);
            let found = site_bytes(engine, &code, 21);
            assert_eq!(found == nop.bytes(), outcome.is_err(), "{outcome:?} {found:x?}");
            if outcome.is_ok() {
                // One call is refused, so the second attempt works.
                let first = ftrace.disable(ops, &code, 21);
                assert_eq!(site_bytes(engine, &code, 21)[0] == 0xe8, first.is_err());
                outcome = first.or_else(|_| ftrace.disable(ops, &code, 21));
            }
            assert_eq!(witness.armed.borrow().len(), 0);
            ftrace.unregister(ops, || ()).expect("no sites");
        }
        engine.free(code).expect("ours");
        outcome.is_ok()
    });
}
