//! Modules that patch others: what waits for an object is applied when that is loaded, and cleared when it goes.

use std::collections::BTreeSet;

use execmem_arch_arm64::ARM64_4K;
use execmem_arch_x86::TABLE;
use execmem_clients::Error;
use execmem_clients::module::{LoadLimits, Loader, Module, Modules, Resource, SectionRefusal, SymbolRefusal};
use execmem_tests::livepatch::{LateList, patching};
use execmem_tests::rig::Rig;
use object::elf::{R_AARCH64_CALL26, R_X86_64_64, R_X86_64_PC32, R_X86_64_PLT32};
use object::write::StandardSection;
use object::{Architecture, Endianness, SectionKind, SymbolScope};

use super::budgets::refuse_every_request;
use super::objects::{Builder, IMPORTS_AT, engine, granted};

/// The object that is patched: a function that others see, and two local ones of the same name.
fn target() -> Vec<u8> {
    let mut module = Builder::new();
    let text = module.text;
    module.define("helper", text, &[0xc3; 16], 16);
    for _ in 0..2 {
        let local = module.define("same", text, &[0x90; 16], 16);
        module.object.symbol_mut(local).scope = SymbolScope::Compilation;
    }
    module.write()
}

const CALLS: &[(u64, &str, i64, u32)] = &[(4, ".klp.sym.target.helper,0", -4, R_X86_64_PLT32)];
const KERNEL_CALLS: &[(u64, &str, i64, u32)] = &[(12, ".klp.sym.vmlinux.hidden,1", -4, R_X86_64_PC32)];
const POINTS: &[(u64, &str, i64, u32)] =
    &[(0, ".klp.sym.target.same,2", 3, R_X86_64_64), (8, ".klp.sym.target.helper,1", 0, R_X86_64_64)];
const LISTS: [LateList<'_>; 4] = [
    LateList { object: "target", section: ".text.fixed", relocations: CALLS },
    LateList { object: "vmlinux", section: ".text.fixed", relocations: KERNEL_CALLS },
    LateList { object: "target", section: ".data.table", relocations: POINTS },
    LateList { object: "target", section: ".rodata.table", relocations: POINTS },
];

/// The object that patches: code, data and constants, with lists of relocations that wait.
fn fix(lists: &[LateList<'_>]) -> Vec<u8> {
    fix_that_defines(["fixed", "data", "constants"], lists)
}

fn fix_that_defines(names: [&str; 3], lists: &[LateList<'_>]) -> Vec<u8> {
    let mut module = Builder::new();
    let code = module.section(".text.fixed", SectionKind::Text);
    let data = module.section(".data.table", SectionKind::Data);
    let constants = module.section(".rodata.table", SectionKind::ReadOnlyData);
    let init = module.section(".init.text", SectionKind::Text);
    module.define(names[0], code, &[0; 32], 16);
    module.define(names[1], data, &[0; 16], 8);
    module.define(names[2], constants, &[0; 16], 8);
    module.define("init_module", init, &[0; 16], 16);
    let named = lists.iter().flat_map(|list| list.relocations).map(|(_, name, ..)| *name);
    for name in named.collect::<BTreeSet<_>>() {
        module.symbol(name);
    }
    patching(module.object, lists)
}

fn kernel(name: &str) -> Option<u64> {
    ["hidden", "printk", "imported"].contains(&name).then_some(IMPORTS_AT)
}

fn symbol(modules: &Modules<&Rig>, module: &str, name: &str, number: u32) -> u64 {
    modules.with(module, |module| module.names().numbered(name, number)).expect("loaded").expect(name)
}

fn bytes<const N: usize>(engine: &Rig, address: u64) -> [u8; N] {
    let mut bytes = [0; N];
    engine.sim.read(address, &mut bytes).expect("mapped");
    bytes
}

/// What the fields of the relocations refer to: what is called, called in the kernel, and the pointers.
fn refers(engine: &Rig, modules: &Modules<&Rig>) -> (u64, u64, [u64; 4]) {
    let called = |place: u64| {
        let mut field = [0; 4];
        engine.sim.fetch(place, &mut field).expect("published and synchronised");
        if field == [0; 4] { 0 } else { (place + 4).wrapping_add_signed(i32::from_le_bytes(field).into()) }
    };
    let fixed = symbol(modules, "fix", "fixed", 0);
    let [data, constants] = ["data", "constants"].map(|name| symbol(modules, "fix", name, 0));
    let pointers = [data, data + 8, constants, constants + 8].map(|at| u64::from_le_bytes(bytes(engine, at)));
    (called(fixed + 4), called(fixed + 12), pointers)
}

fn wanted(modules: &Modules<&Rig>) -> (u64, u64, [u64; 4]) {
    let (helper, same) = (symbol(modules, "target", "helper", 0), symbol(modules, "target", "same", 2));
    assert_eq!(same, symbol(modules, "target", "same", 1) + 16);
    (helper, IMPORTS_AT, [same + 3, helper, same + 3, helper])
}

#[test]
fn relocations_are_applied_when_their_object_comes_and_cleared_when_it_goes() {
    let engine = engine();
    let modules = Modules::new(&engine).expect("a machine");
    let (target, fix) = (target(), fix(&LISTS));
    let load = |name: &str, data: &[u8]| modules.load(name, data, &kernel, |_| Ok(())).expect(name);
    load("fix", &fix);
    let without = (0, IMPORTS_AT, [0; 4]);
    assert_eq!(refers(&engine, &modules), without, "those of the kernel are applied at once");
    for round in 0..2 {
        // Elsewhere each time.
        if round == 1 {
            load("other", &super::objects::complete());
        }
        load("target", &target);
        assert_eq!(refers(&engine, &modules), wanted(&modules), "round {round}");
        modules.unload("target").expect("unused");
        assert_eq!(refers(&engine, &modules), without, "round {round}");
    }
    load("target", &target);
    modules.unload("fix").expect("unused");
    // What is loaded already is linked at once.
    load("fix", &fix);
    assert_eq!(refers(&engine, &modules), wanted(&modules));
    modules.unload_all();
    assert_eq!(granted(&engine), 0);
    engine.audit().expect("audit");
    engine.audit_unused().expect("freed code traps");
}

#[test]
fn what_unloading_all_leaves_because_it_is_held_does_not_refer_to_what_went() {
    let engine = engine();
    let modules = Modules::new(&engine).expect("a machine");
    for (name, data) in [("fix", fix(&LISTS)), ("target", target())] {
        modules.load(name, &data, &kernel, |_| Ok(())).expect(name);
    }
    let lease = modules.lease("fix").expect("loaded");
    modules.unload_all();
    assert_eq!((modules.len(), refers(&engine, &modules)), (1, (0, IMPORTS_AT, [0; 4])));
    drop(lease);
    modules.unload_all();
    assert_eq!(granted(&engine), 0);
}

/// A module of arm64 that calls `far` twice when `target` is there.
fn calls_far() -> Vec<u8> {
    let mut module = Builder::of(Architecture::Aarch64, Endianness::Little);
    let text = module.text;
    let call = 0x9400_0000_u32.to_le_bytes();
    module.define("code", text, &[call, call].concat(), 16);
    module.symbol(".klp.sym.target.far,0");
    let name = ".klp.sym.target.far,0";
    let relocations = &[(0, name, 0, R_AARCH64_CALL26), (4, name, 0, R_AARCH64_CALL26)];
    patching(module.object, &[LateList { object: "target", section: ".text", relocations }])
}

#[test]
fn calls_of_what_comes_go_by_way_of_veneers_where_they_must() {
    let engine = Rig::new(ARM64_4K);
    let mut module: Module<&Rig> = Loader::new(&engine)
        .and_then(|loader| loader.load(&calls_far(), &|_: &str| None))
        .and_then(|coming| coming.finish_or_unload())
        .expect("a module");
    let code = module.names().symbol("code").expect("a symbol");
    let (_, text) = module.extents().find(|(_, text)| text.contains(code)).expect("code");
    let all = |engine: &Rig| {
        let mut bytes = vec![0; usize::try_from(text.len()).expect("small")];
        engine.sim.fetch(text.start(), &mut bytes).expect("published");
        bytes
    };
    let before = all(&engine);
    let instructions = ARM64_4K.machine().instructions;
    let call = |place: u64| instructions.call.and_then(|call| call.decode(place, &bytes::<4>(&engine, place)));
    for far in [0x7654_3210_0000_u64, 0x1234_5678_9abc] {
        assert_eq!(module.link_object("target", &|name: &str| (name == "far").then_some(far)), Ok(true));
        let veneer = call(code).expect("a call");
        assert!(text.contains(veneer) && call(code + 4) == Some(veneer), "{veneer:#x}");
        let there = bytes::<32>(&engine, veneer);
        assert!(instructions.veneers.iter().any(|sequence| sequence.decode(veneer, &there) == Some(far)));
        let again = module.link_object("target", &|_: &str| Some(far));
        assert!(matches!(again, Err(Error::AlreadyLinked { .. })), "{again:?}");
        module.unlink_object("target").expect("memory");
        assert_eq!(all(&engine), before);
    }
    let near = code + 0x1000;
    assert_eq!(module.link_object("target", &|_: &str| Some(near)), Ok(true));
    assert_eq!(call(code), Some(near));
    assert_eq!(module.link_object("another", &|_: &str| Some(near)), Ok(false));
    module.unload();
    assert_eq!(granted(&engine), 0);
}

#[test]
fn what_cannot_be_linked_is_refused_and_nothing_changes() {
    let engine = engine();
    let modules = Modules::new(&engine).expect("a machine");
    let load = |name: &str, data: &[u8]| modules.load(name, data, &kernel, |_| Ok(()));
    // Two functions have that name.
    let ambiguous = [LateList { relocations: &[(0, ".klp.sym.target.same,0", 0, R_X86_64_64)], ..LISTS[2] }];
    load("fix", &fix(&ambiguous)).expect("nothing is looked up yet");
    assert!(matches!(load("target", &target()), Err(Error::Unresolved { .. })));
    assert_eq!(modules.len(), 1);
    modules.unload_all();
    // The same when the object is there first.
    load("target", &target()).expect("a module");
    assert!(matches!(load("fix", &fix(&ambiguous)), Err(Error::Unresolved { .. })));
    modules.unload_all();
    assert_eq!(granted(&engine), 0);
    let late = |object, section, relocations| fix(&[LateList { object, section, relocations }]);
    let outcome = load("fix", &late("target", ".init.text", CALLS));
    assert!(matches!(outcome, Err(Error::RefusedSection { reason: SectionRefusal::NotThereLater, .. })), "{outcome:?}");
    let outcome = load("fix", &late("target", ".text.fixed", &[(0, "printk", 0, R_X86_64_64)]));
    assert!(matches!(outcome, Err(Error::RefusedSymbol { reason: SymbolRefusal::OtherObject, .. })), "{outcome:?}");
    assert!(matches!(load("fix", &late("", ".text.fixed", CALLS)), Err(Error::BadSection { .. })), "no object");
    // Of another object than the list waits for.
    load("fix", &late("other", ".text.fixed", CALLS)).expect("nothing is looked up yet");
    assert!(matches!(load("other", &target()), Err(Error::BadReference { .. })));
    modules.unload_all();
    let mut module = Builder::new();
    let text = module.text;
    let function = module.define("f", text, &[0; 16], 16);
    module.symbol(".klp.sym.nonsense");
    module.relocate(text, 0, function, 0, R_X86_64_64);
    let outcome = load("fix", &patching(module.object, &[]));
    assert!(matches!(outcome, Err(Error::RefusedSymbol { reason: SymbolRefusal::NoObject, .. })), "{outcome:?}");
    let limited =
        Loader::with_limits(&engine, LoadLimits { kept_bytes: 100, ..LoadLimits::DEFAULT }).expect("a machine");
    let outcome = limited.load(&fix(&LISTS), &kernel).map(|coming| coming.unload());
    assert!(matches!(outcome, Err(Error::OverBudget { resource: Resource::KeptBytes, .. })), "{outcome:?}");
    assert_eq!(granted(&engine), 0);
}

#[test]
fn a_list_of_the_section_that_normal_relocations_patch_too_leaves_theirs() {
    let engine = engine();
    let modules = Modules::new(&engine).expect("a machine");
    let mut module = Builder::new();
    let data = module.object.section_id(StandardSection::Data);
    let own = module.define("own", data, &[0; 16], 8);
    module.relocate(data, 0, own, 0, R_X86_64_64);
    module.symbol(".klp.sym.target.helper,0");
    let relocations = &[(8, ".klp.sym.target.helper,0", 0, R_X86_64_64)];
    let late = patching(module.object, &[LateList { object: "target", section: ".data", relocations }]);
    for (name, data) in [("late", &late), ("target", &target())] {
        modules.load(name, data, &kernel, |_| Ok(())).expect(name);
    }
    let own = symbol(&modules, "late", "own", 0);
    let helper = symbol(&modules, "target", "helper", 0);
    let pair = || [own, own + 8].map(|at| u64::from_le_bytes(bytes(&engine, at)));
    assert_eq!(pair(), [own, helper]);
    modules.unload("target").expect("unused");
    assert_eq!(pair(), [own, 0]);
    modules.unload_all();
}

/// Loads and unloads the object that is patched, with backend call number `nth` refused. Whether all calls were made.
fn coming_refusing(nth: u64) -> bool {
    let engine = Rig::new(TABLE);
    let modules = Modules::new(&engine).expect("a machine");
    modules.load("fix", &fix(&LISTS), &kernel, |_| Ok(())).expect("a module");
    let start = engine.sim.calls();
    engine.sim.refuse_once(nth);
    let loaded = modules.load("target", &target(), &kernel, |_| Ok(()));
    let unloaded = loaded.as_ref().map_err(|error| *error).and_then(|()| modules.unload("target"));
    let is_over = engine.sim.calls() <= start + nth;
    engine.sim.refuse_nothing();
    match (loaded, unloaded) {
        (Ok(()), Err(_)) => assert_eq!(refers(&engine, &modules), wanted(&modules), "call {nth}"),
        _ => assert_eq!(refers(&engine, &modules), (0, IMPORTS_AT, [0; 4]), "call {nth}"),
    }
    modules.unload_all();
    assert_eq!(granted(&engine), 0, "call {nth}");
    engine.audit().expect("audit");
    is_over
}

#[test]
fn inv_09_a_refusal_while_an_object_is_linked_leaves_all_of_it_or_nothing() {
    let calls = (0..).find(|&nth| coming_refusing(nth)).expect("an end");
    assert!(calls > 15, "{calls}");
}

/// Loads the object that two modules patch while backend calls are refused from number `nth` on, and again while none is. Whether all
/// calls of the first time were made.
fn coming_again_after_refusals(nth: u64) -> bool {
    let engine = Rig::new(TABLE);
    let modules = Modules::new(&engine).expect("a machine");
    let another = fix_that_defines(["fixed too", "more data", "more constants"], &LISTS);
    for (name, data) in [("fix", fix(&LISTS)), ("another", another)] {
        modules.load(name, &data, &kernel, |_| Ok(())).expect("a module");
    }
    let start = engine.sim.calls();
    engine.sim.refuse_from(nth);
    let loaded = modules.load("target", &target(), &kernel, |_| Ok(()));
    let is_over = engine.sim.calls() <= start + nth;
    engine.sim.refuse_nothing();
    if loaded.is_err() {
        modules.load("target", &target(), &kernel, |_| Ok(())).expect("what is left of the first time goes");
    }
    assert_eq!(refers(&engine, &modules), wanted(&modules), "call {nth}");
    modules.unload("target").expect("nothing refers to it");
    assert_eq!(refers(&engine, &modules), (0, IMPORTS_AT, [0; 4]), "call {nth}");
    modules.unload_all();
    engine.audit().expect("audit");
    is_over
}

#[test]
fn an_object_comes_again_after_its_links_could_not_be_put_back() {
    let calls = (0..).find(|&nth| coming_again_after_refusals(nth)).expect("an end");
    assert!(calls > 5, "{calls}");
}

#[test]
fn inv_09_no_heap_while_an_object_is_linked_leaves_nothing_and_unlinking_takes_none() {
    let (target, fix) = (target(), fix(&LISTS));
    refuse_every_request(TABLE, |bench| {
        let modules = Modules::new(bench)?;
        let load = |name: &str, data: &[u8]| modules.load(name, data, &kernel, |_| Ok(()));
        let outcome = load("fix", &fix).and_then(|()| load("target", &target));
        if outcome.is_ok() {
            modules.unload("target").expect("it takes no heap");
        }
        modules.unload_all();
        outcome
    });
}
