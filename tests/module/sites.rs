//! Sites in loaded modules: what keeps the module, what is refused, and that nothing is left of a site when it goes.

use std::cell::Cell;

use execmem_arch_arm64::ARM64_4K;
use execmem_arch_x86::TABLE;
use execmem_clients::Error;
use execmem_clients::ftrace::Ftrace;
use execmem_clients::module::{Loader, Modules, prepare_sites};
use execmem_clients::patch::{Change, NoBreakpoints, Sites, replace_at};
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
    let module = coming.and_then(|coming| coming.finish()).expect("a module");
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
