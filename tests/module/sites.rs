//! Sites in loaded modules: what keeps the module, what is refused, and that nothing is left of a site when it goes.

use std::cell::{Cell, RefCell};

use execmem_arch_arm64::ARM64_4K;
use execmem_arch_x86::TABLE;
use execmem_clients::Error;
use execmem_clients::bpf::{Bpf, Options, Trampoline, TrampolineSite};
use execmem_clients::ftrace::Ftrace;
use execmem_clients::kprobe::{Kprobes, SlotFormat};
use execmem_clients::module::{Loader, Modules, prepare_sites};
use execmem_clients::patch::{Breakpoints, Change, NoBreakpoints, Sites, replace_at};
use execmem_clients::site::{CodeSite, Own, Probe};
use execmem_tests::rig::Rig;
use object::elf::{R_AARCH64_ABS64, R_X86_64_64};
use object::{Architecture, Endianness, SectionKind};

use super::objects::{Builder, engine, granted};

/// Two functions whose first bytes a compiler left for tracers, and the list of these places.
fn listed(room: &[u8], body: &[u8], architecture: Architecture, r_type: u32) -> Vec<u8> {
    let mut module = Builder::of(architecture, Endianness::Little);
    let text = module.text;
    let list = module.section("__patchable_function_entries", SectionKind::Data);
    for (name, offset) in [("first", 0), ("second", 8)] {
        let function = module.define(name, text, &[room, body].concat(), 16);
        module.object.append_section_data(list, &[0; 8], 8);
        module.relocate(list, offset, function, 0, r_type);
    }
    module.write()
}

/// Of x86-64: `nop` five times, `ret`.
fn traced() -> Vec<u8> {
    listed(&[0x90; 5], &[0xc3], Architecture::X86_64, R_X86_64_64)
}

fn nowhere(_: &str) -> Option<u64> {
    None
}

/// Loads the module into a set. Returns its sites.
fn load(modules: &Modules<&Rig>, data: &[u8]) -> Result<Vec<u64>, Error> {
    let sites = Cell::new(Vec::new());
    let finalize = |image: &mut execmem_clients::module::ModuleImage<'_, execmem::Kind>| {
        sites.set(prepare_sites(image, 0)?);
        Ok(())
    };
    modules.load_finalized("traced", data, &nowhere, finalize, |_| Ok(()))?;
    Ok(sites.into_inner())
}

fn at(engine: &Rig, address: u64) -> [u8; 5] {
    let mut bytes = [0; 5];
    engine.sim.fetch(address, &mut bytes).expect("published and synchronised");
    bytes
}

#[test]
fn places_that_compilers_list_become_sites() {
    let engine = engine();
    let modules = Modules::new(&engine).expect("a machine");
    let call = listed(&[0xe8, 1, 2, 3, 4], &[0xc3], Architecture::X86_64, R_X86_64_64);
    let long = listed(&[0x0f, 0x1f, 0x44, 0, 0], &[0xc3], Architecture::X86_64, R_X86_64_64);
    for data in [traced(), call, long] {
        let sites = load(&modules, &data).expect("a module");
        assert_eq!(sites.len(), 2);
        for (site, name) in sites.iter().zip(["first", "second"]) {
            assert_eq!(modules.with("traced", |module| module.names().symbol(name)), Ok(Some(*site)));
            assert_eq!(at(&engine, *site), [0x0f, 0x1f, 0x44, 0, 0]);
        }
        modules.unload("traced").expect("nothing holds it");
    }
    let other = listed(&[0x55, 0x48, 0x89, 0xe5, 0x90], &[0xc3], Architecture::X86_64, R_X86_64_64);
    assert!(matches!(load(&modules, &other), Err(Error::UnexpectedCode { .. })), "code that does something");
    assert_eq!(granted(&engine), 0);
    // Of arm64: two instructions, the first of which keeps the caller.
    let engine = Rig::new(ARM64_4K);
    let nops = [0x1f, 0x20, 0x03, 0xd5, 0x1f, 0x20, 0x03, 0xd5];
    let data = listed(&nops, &[0xc0, 0x03, 0x5f, 0xd6], Architecture::Aarch64, R_AARCH64_ABS64);
    let modules = Modules::new(&engine).expect("a machine");
    let sites = load(&modules, &data).expect("a module");
    let first = modules.with("traced", |module| module.names().symbol("first")).expect("loaded").expect("a symbol");
    assert_eq!(sites[0], first + 4);
    let mut bytes = [0; 8];
    engine.sim.fetch(first, &mut bytes).expect("published");
    assert_eq!(bytes, [0xe9, 0x03, 0x1e, 0xaa, 0x1f, 0x20, 0x03, 0xd5]);
    modules.unload_all();
}

#[test]
fn a_module_stays_while_it_is_leased_or_a_site_of_it_is_patched() {
    let engine = engine();
    let modules = Modules::new(&engine).expect("a machine");
    let ftrace = Ftrace::new(&engine, NoBreakpoints, u64::MAX).expect("rows");
    let sites = load(&modules, &traced()).expect("a module");
    let ops = ftrace.register(0x1000, 7).expect("room");
    let leased = |leases| Err(Error::Leased { module: execmem_clients::Name::new("traced"), leases });
    {
        let lease = modules.lease_at(sites[0] + 2).expect("a module's");
        assert_eq!(modules.unload("traced"), leased(1));
        ftrace.enable_at(ops, &lease, sites[0]).expect("a site");
        assert_eq!(modules.unload("traced"), leased(2));
        assert_eq!(ftrace.enable_at(ops, &lease, sites[0]), Err(Error::UnexpectedCode { site: sites[0] }));
        assert!(matches!(
            ftrace.enable_at(ops, &lease, 0x1234),
            Err(Error::BranchOutOfReach { .. } | Error::NoCode { .. })
        ));
        let outside = sites[0] - 0x10_0000;
        assert_eq!(ftrace.enable_at(ops, &lease, outside), Err(Error::NoCode { address: outside }));
        assert_eq!(modules.unload("traced"), leased(2), "what is refused holds nothing");
    }
    assert_eq!(modules.unload("traced"), leased(1), "the site is still traced");
    assert_eq!(ftrace.unregister(ops, || ()), Err(Error::InUse { sites: 1 }));
    let lease = modules.lease("traced").expect("loaded");
    assert_eq!(at(&engine, sites[0])[0], 0xe8);
    ftrace.disable_at(ops, &lease, sites[0]).expect("enabled");
    assert_eq!(at(&engine, sites[0]), [0x0f, 0x1f, 0x44, 0, 0]);
    assert!(ftrace.disable_at(ops, &lease, sites[0]).is_err());
    // Waiting: no thread gets a lease meanwhile.
    let mut lease = Some(lease);
    let mut waits = 0;
    let outcome = modules.unload_waiting("traced", || {
        waits += 1;
        assert!(modules.lease("traced").is_err() && modules.lease_at(sites[0]).is_none());
        if waits == 3 {
            lease = None;
        }
    });
    assert_eq!((outcome, waits), (Ok(()), 3));
    assert!(modules.lease("traced").is_err() && modules.unload("traced").is_err());
    ftrace.unregister(ops, || ()).expect("no sites");
    assert_eq!(granted(&engine), 0);
    engine.audit_unused().expect("freed code traps");
}

#[test]
fn functions_are_probed_and_replaced_and_are_what_they_were() {
    let engine = engine();
    let modules = Modules::new(&engine).expect("a machine");
    let sites = load(&modules, &traced()).expect("a module");
    let machine = engine.table().machine();
    let rules = Sites::of(machine).expect("a row");
    let lease = modules.lease("traced").expect("loaded");
    let jump = rules.jump(sites[0], sites[1]).expect("near");
    let change = |old, new| Change { address: sites[0], old, new, resume: sites[0] + 5 };
    replace_at(&lease, &rules, &NoBreakpoints, &change(rules.nop(), jump)).expect("a site");
    assert_eq!(at(&engine, sites[0])[0], 0xe9);
    let again = replace_at(&lease, &rules, &NoBreakpoints, &change(rules.nop(), jump));
    assert_eq!(again, Err(Error::UnexpectedCode { site: sites[0] }));
    replace_at(&lease, &rules, &NoBreakpoints, &change(jump, rules.nop())).expect("what stands there");
    let mut probe = Probe::place(&lease, machine, sites[1] + 5).expect("an instruction");
    assert_eq!((at(&engine, sites[1] + 5)[0], probe.address()), (0xcc, sites[1] + 5));
    assert!(matches!(Probe::place(&lease, machine, sites[1] + 5), Err(Error::UnexpectedCode { .. })));
    assert_eq!(
        modules.unload("traced"),
        Err(Error::Leased { module: execmem_clients::Name::new("traced"), leases: 2 })
    );
    probe.remove(&lease).expect("it stands");
    assert!(probe.remove(&lease).is_err(), "once");
    assert_eq!(at(&engine, sites[1] + 5)[0], 0xc3);
    drop(lease);
    modules.unload("traced").expect("nothing holds it");
    assert_eq!(granted(&engine), 0);
}

/// The life of a traced module with the backend call number `nth` refused. Whether all calls were made.
fn life_refusing(nth: u64) -> bool {
    let engine = Rig::new(TABLE);
    let all_made = Cell::new(false);
    let life = || {
        let modules = Modules::new(&engine)?;
        let ftrace = Ftrace::new(&engine, NoBreakpoints, u64::MAX)?;
        let sites = load(&modules, &traced())?;
        let outcome = ftrace.register(0x1000, 7).and_then(|ops| {
            let lease = modules.lease("traced")?;
            let enabled = ftrace.enable_at(ops, &lease, sites[1]);
            let outcome = enabled.and_then(|()| ftrace.disable_at(ops, &lease, sites[1]));
            all_made.set(engine.sim.calls() <= nth);
            // Whatever was refused, the site is whole.
            engine.sim.refuse_nothing();
            if at(&engine, sites[1])[0] == 0xe8 {
                ftrace.disable_at(ops, &lease, sites[1])?;
            }
            assert_eq!(at(&engine, sites[1]), [0x0f, 0x1f, 0x44, 0, 0], "call {nth}");
            drop(lease);
            ftrace.unregister(ops, || ()).and(outcome)
        });
        modules.unload("traced").expect("nothing holds it");
        outcome
    };
    engine.sim.refuse_once(nth);
    let outcome: Result<(), Error> = life();
    engine.sim.refuse_nothing();
    assert!(outcome.is_ok() || !all_made.get(), "{outcome:?}");
    assert_eq!(granted(&engine), 0, "call {nth} refused");
    engine.audit().expect("audit");
    all_made.get()
}

#[test]
fn inv_09_a_refusal_while_a_module_is_traced_leaves_the_site_whole() {
    let calls = (0..).find(|&nth| life_refusing(nth)).expect("an end");
    assert!(calls > 10, "{calls}");
}

#[test]
fn code_of_a_module_that_its_owner_keeps_and_of_a_handle_are_sites_too() {
    let engine = engine();
    let loader = Loader::new(&engine).expect("a machine");
    let sites = Cell::new(Vec::new());
    let coming = loader.load_finalized(&traced(), &nowhere, |image| {
        sites.set(prepare_sites(image, 0)?);
        Ok(())
    });
    let module = coming.and_then(|coming| coming.finish_or_unload()).expect("a module");
    let (sites, rules) = (sites.into_inner(), Sites::of(engine.table().machine()).expect("a row"));
    let mut draft = engine.alloc::<execmem::kinds::Text>(16).expect("room");
    engine.write(&mut draft, 0, rules.nop().bytes()).expect("a draft");
    let live = engine.publish(draft).expect("memory");
    let own = Own { engine: &engine.engine, live: &live };
    let patched = |code: &dyn Fn(&Change) -> Result<(), Error>, site: u64| {
        let call = rules.call(site, sites[1]).expect("near");
        let change = |old, new| Change { address: site, old, new, resume: site + 5 };
        code(&change(rules.nop(), call)).and_then(|()| code(&change(call, rules.nop())))
    };
    patched(&|change| replace_at(&module, &rules, &NoBreakpoints, change), sites[0]).expect("a site");
    patched(&|change| replace_at(&own, &rules, &NoBreakpoints, change), live.address()).expect("a site");
    let wrong = patched(&|change| replace_at(&own, &rules, &NoBreakpoints, change), sites[0]);
    assert_eq!(wrong, Err(Error::NoCode { address: sites[0] }));
    assert!(own.hold(live.address()).is_ok() && own.hold(live.address() + 64).is_err());
    module.unload();
    engine.free(live).expect("ours");
    assert_eq!(granted(&engine), 0);
}

#[test]
fn probes_with_slots_and_trampolines_hold_the_module_they_stand_in() {
    let engine = engine();
    let modules = Modules::new(&engine).expect("a machine");
    let sites = load(&modules, &traced()).expect("a module");
    let lease = modules.lease("traced").expect("loaded");
    let leases = || match modules.unload("traced") {
        Err(Error::Leased { leases, .. }) => leases,
        other => panic!("{other:?}"),
    };
    let format = SlotFormat::of(engine.table().machine().instructions.isa).expect("a row");
    let kprobes = Kprobes::new(&engine, format, u64::MAX);
    let place = sites[1] + 5;
    let copy = |_: u64| Ok(vec![0xc3]);
    let mut probe = kprobes.place(&lease, &NoBreakpoints, place, copy).expect("an instruction");
    assert_eq!((at(&engine, place)[0], leases(), kprobes.slots().used), (0xcc, 2, 1));
    let twice = kprobes.place(&lease, &NoBreakpoints, place, copy).map(|_| ());
    assert_eq!((twice, leases()), (Err(Error::UnexpectedCode { site: place }), 2));
    assert_eq!((kprobes.slots().used, kprobes.slots().dirty), (1, 0), "what is refused takes no slot");
    kprobes.remove(&lease, &NoBreakpoints, &mut probe).expect("it stands");
    assert_eq!((at(&engine, place)[0], leases()), (0xc3, 1));
    assert!(kprobes.remove(&lease, &NoBreakpoints, &mut probe).is_err(), "once");
    kprobes.close(|| ());

    let bpf = Bpf::new(&engine, Options { limit: u64::MAX, seed: 1, flush_predictors: || () });
    let mut trampoline = Trampoline::new();
    let site = TrampolineSite { code: &lease, breakpoints: &NoBreakpoints, address: sites[0] };
    let calls = |engine: &Rig| {
        let call = engine.table().machine().instructions.call.expect("a row");
        call.decode(sites[0], &at(engine, sites[0]))
    };
    for images in 1..=2 {
        let mut graces = 1;
        bpf.attach_trampoline(&mut trampoline, &site, 8, |_| Ok(vec![0xc3; 8]), || graces += 1).expect("a site");
        let image = bpf.image(trampoline.image().expect("attached")).expect("live").start();
        assert_eq!((calls(&engine), leases(), graces), (Some(image), 2, images));
    }
    // Something else is there already.
    let refused = bpf.attach_trampoline(&mut Trampoline::new(), &site, 8, |_| Ok(vec![0xc3; 8]), || ());
    assert_eq!((refused, leases()), (Err(Error::UnexpectedCode { site: sites[0] }), 2));
    bpf.detach_trampoline(&mut trampoline, &site, || ()).expect("attached");
    assert!(bpf.detach_trampoline(&mut trampoline, &site, || ()).is_err(), "once");
    assert_eq!((at(&engine, sites[0]), leases()), ([0x0f, 0x1f, 0x44, 0, 0], 1));
    drop(lease);
    modules.unload("traced").expect("nothing holds it");
    assert_eq!(granted(&engine), 0);
}

/// What stands at a site, and whether the slot is there, whenever a breakpoint is armed or disarmed.
struct Watch<'k, 'e> {
    engine: &'e Rig,
    kprobes: &'k Kprobes<&'e Rig>,
    resume: Cell<u64>,
    seen: RefCell<Vec<(&'static str, u8, bool)>>,
}

impl Watch<'_, '_> {
    fn see(&self, what: &'static str, site: u64) {
        let is_there = self.kprobes.find(self.resume.get()).is_some();
        self.seen.borrow_mut().push((what, at(self.engine, site)[0], is_there));
    }
}

impl Breakpoints for Watch<'_, '_> {
    fn arm(&self, site: u64, resume: u64) {
        self.resume.set(resume);
        self.see("arm", site);
    }
    fn disarm(&self, site: u64) {
        self.see("disarm", site);
    }
}

#[test]
fn a_thread_that_hit_a_probe_finds_its_entry_or_its_instruction_and_its_slot_until_grace() {
    let engine = engine();
    let modules = Modules::new(&engine).expect("a machine");
    let place = load(&modules, &traced()).expect("a module")[1] + 5;
    let lease = modules.lease("traced").expect("loaded");
    let format = SlotFormat::of(engine.table().machine().instructions.isa).expect("a row");
    let kprobes = Kprobes::new(&engine, format, u64::MAX);
    let watch = Watch { engine: &engine, kprobes: &kprobes, resume: Cell::new(0), seen: RefCell::new(Vec::new()) };
    let mut probe = kprobes.place(&lease, &watch, place, |_| Ok(vec![0xc3])).expect("an instruction");
    let slot = kprobes.address(probe.slot()).expect("used");
    assert_eq!((watch.resume.get(), at(&engine, place)[0]), (slot, 0xcc));
    kprobes.remove(&lease, &watch, &mut probe).expect("it stands");
    // Before the breakpoint stands, and after the instruction is back.
    assert_eq!(watch.seen.into_inner(), [("arm", 0xc3, true), ("disarm", 0xc3, true)]);
    let is_there = Cell::new(false);
    assert_eq!(kprobes.collect(|| is_there.set(at(&engine, slot)[0] == 0xc3)), 1);
    assert!(is_there.get() && kprobes.find(slot).is_none());
    kprobes.close(|| ());
    drop(lease);
    modules.unload_all();
    assert_eq!(granted(&engine), 0);
}

#[test]
fn a_trampoline_whose_image_goes_during_grace_is_attached_again() {
    let engine = engine();
    let modules = Modules::new(&engine).expect("a machine");
    let sites = load(&modules, &traced()).expect("a module");
    let lease = modules.lease("traced").expect("loaded");
    let bpf = Bpf::new(&engine, Options { limit: u64::MAX, seed: 1, flush_predictors: || () });
    let (site, mut trampoline) =
        (TrampolineSite { code: &lease, breakpoints: &NoBreakpoints, address: sites[0] }, Trampoline::new());
    for round in 0..2 {
        bpf.attach_trampoline(&mut trampoline, &site, 8, |_| Ok(vec![0xc3; 8]), || ()).expect("a site");
        let image = trampoline.image().expect("attached");
        let outcome = bpf.detach_trampoline(&mut trampoline, &site, || {
            assert_eq!(at(&engine, sites[0]), [0x0f, 0x1f, 0x44, 0, 0]);
            if round == 0 {
                bpf.free(image).expect("no thread is in it");
            }
        });
        assert_eq!((outcome.is_ok(), trampoline.image().is_none(), bpf.usage().live), (round == 1, true, 0));
        assert!(matches!(outcome, Ok(()) | Err(Error::StaleId { .. })), "{outcome:?}");
    }
    drop(lease);
    modules.unload("traced").expect("no site holds it");
    assert_eq!(granted(&engine), 0);
}
