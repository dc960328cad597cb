//! Modules that refer to each other: order, users, what is refused, and loading in several threads.

use execmem_clients::Error;
use execmem_clients::module::{Modules, plan};
use execmem_tests::rig::Rig;
use object::elf::R_X86_64_64;

use super::objects::{Builder, IMPORTS_AT, Loaded, engine, granted};

/// A module that defines a function and holds the addresses of others in its data.
fn module(defines: &str, refers: &[&str]) -> Vec<u8> {
    let mut module = Builder::new();
    let text = module.text;
    module.define(defines, text, &[0xc3; 16], 16);
    let data = module.object.section_id(object::write::StandardSection::Data);
    let table = module.define(&format!("{defines}_table"), data, &vec![0; refers.len() * 8 + 8], 8);
    let start = module.object.symbol(table).value;
    for (offset, name) in (0..).step_by(8).zip(refers) {
        let symbol = module.symbol(name);
        module.relocate(data, start + offset, symbol, 0, R_X86_64_64);
    }
    module.write()
}

fn kernel(name: &str) -> Option<u64> {
    (name == "printk").then_some(IMPORTS_AT)
}

fn no_init(_: &Loaded<'_>) -> Result<(), Error> {
    Ok(())
}

/// Four modules, each given as name, what it defines, what it refers to.
const SET: [(&str, &str, &[&str]); 4] = [
    ("top", "top_run", &["left_run", "right_run", "printk"]),
    ("left", "left_run", &["base_run"]),
    ("base", "base_run", &["printk"]),
    ("right", "right_run", &["base_run", "base_run_table"]),
];

fn set() -> Vec<(&'static str, Vec<u8>)> {
    SET.iter().map(|(name, defines, refers)| (*name, module(defines, refers))).collect()
}

fn views<'a>(set: &'a [(&'static str, Vec<u8>)]) -> Vec<(&'a str, &'a [u8])> {
    set.iter().map(|(name, data)| (*name, data.as_slice())).collect()
}

#[test]
fn modules_load_after_what_they_need_and_refer_to_it() {
    let engine = engine();
    let modules = Modules::new(&engine).expect("a machine");
    let set = set();
    let levels = plan(&views(&set), &kernel).expect("an order");
    assert_eq!(levels, [vec![2], vec![1, 3], vec![0]]);
    for (name, data) in levels.concat().into_iter().map(|index| &set[index]) {
        modules.load(name, data, &kernel, no_init).expect(name);
    }
    let address = |module: &str, symbol: &str| {
        modules.with(module, |module| module.names().symbol(symbol)).expect("loaded").expect(symbol)
    };
    let mut words = [0; 24];
    engine.sim.read(address("top", "top_run_table"), &mut words).expect("mapped");
    let wanted = [address("left", "left_run"), address("right", "right_run"), IMPORTS_AT];
    assert_eq!(words.to_vec(), wanted.map(u64::to_le_bytes).concat());
    let symbol_at =
        |address| modules.symbol_at(address, |module, symbol, distance| format!("{module} {symbol} {distance}"));
    assert_eq!(symbol_at(address("left", "left_run") + 5).as_deref(), Some("left left_run 5"));
    assert_eq!(symbol_at(IMPORTS_AT), None);
    // Users first.
    let in_use = |module: &str, users| Err(Error::ModuleInUse { module: execmem_clients::Name::new(module), users });
    assert_eq!((modules.unload("base"), modules.unload("left")), (in_use("base", 2), in_use("left", 1)));
    modules.unload("top").expect("unused");
    modules.unload("left").expect("unused now");
    assert_eq!(modules.unload("base"), in_use("base", 1));
    modules.unload_all();
    assert!(modules.is_empty() && granted(&engine) == 0);
    engine.audit().expect("audit");
}

#[test]
fn cycles_missing_modules_and_missing_symbols_are_named() {
    let reason = |set: &[(&'static str, Vec<u8>)]| plan(&views(set), &kernel).expect_err("no order").to_string();
    let cycle = [("outer", module("o", &["a"])), ("first", module("a", &["b"])), ("second", module("b", &["a"]))];
    assert_eq!(reason(&cycle), "module first needs itself, by way of others");
    assert_eq!(reason(&[("lonely", module("a", &["nowhere"]))]), "symbol nowhere is defined nowhere");
    let mut about = Builder::new();
    let text = about.text;
    about.define("a", text, &[0xc3], 16);
    let section = about.section(".modinfo", object::SectionKind::ReadOnlyData);
    about.define("about", section, b"name=x\0depends=some-other,absent\0", 1);
    let about = about.write();
    let other = ("some_other", module("b", &[]));
    assert_eq!(reason(&[("x", about), other]), "module x needs absent, which is not among those to be loaded");
}

#[test]
fn what_cannot_be_loaded_leaves_no_user_and_no_name() {
    let engine = engine();
    let modules = Modules::new(&engine).expect("a machine");
    modules.load("base", &module("base_run", &[]), &kernel, no_init).expect("room");
    let before = granted(&engine);
    let unresolved = modules.load("user", &module("u", &["base_run", "nowhere"]), &kernel, no_init);
    assert!(matches!(unresolved, Err(Error::Unresolved { .. })));
    let again = modules.load("base", &module("x", &[]), &kernel, no_init);
    assert!(matches!(again, Err(Error::Duplicate { .. })));
    let same_symbol = modules.load("twin", &module("base_run", &["base_run_table"]), &kernel, no_init);
    assert!(matches!(same_symbol, Err(Error::DuplicateSymbol { .. })), "{same_symbol:?}");
    let failing = modules.load("user", &module("u", &["base_run"]), &kernel, |coming| {
        assert!(coming.names().symbol("u").is_some());
        Err(Error::UnknownMachine)
    });
    assert_eq!(failing, Err(Error::UnknownMachine), "what init said");
    assert!(matches!(modules.unload("user"), Err(Error::NoSuchModule { .. })));
    assert_eq!((granted(&engine), modules.len()), (before, 1));
    modules.unload("base").expect("nobody uses it");
    assert_eq!(granted(&engine), 0);
}

#[test]
fn modules_of_one_level_load_in_several_threads() {
    let engine = engine();
    let modules = Modules::new(&engine).expect("a machine");
    modules.load("base", &module("base_run", &[]), &kernel, no_init).expect("room");
    let set: Vec<_> = (0..64).map(|n| (format!("m{n}"), module(&format!("f{n}"), &["base_run", "printk"]))).collect();
    let modules = &modules;
    for _ in 0..5 {
        std::thread::scope(|scope| {
            for part in set.chunks(16) {
                scope.spawn(move || {
                    for (name, data) in part {
                        modules.load(name, data, &kernel, no_init).expect("room");
                    }
                });
            }
        });
        assert_eq!(modules.len(), 65);
        assert!(matches!(modules.unload("base"), Err(Error::ModuleInUse { users: 64, .. })));
        std::thread::scope(|scope| {
            for part in set.chunks(16) {
                scope.spawn(move || part.iter().for_each(|(name, _)| modules.unload(name).expect("unused")));
            }
        });
    }
    modules.unload_all();
    engine.shrink();
    engine.audit().expect("audit");
    assert_eq!(engine.stats().bytes_mapped(), 0);
}

/// Loads the set with the backend call number `nth` refused, and unloads what was loaded. Whether all calls were made.
fn life_refusing(engine: &Rig, set: &[(&'static str, Vec<u8>)], nth: u64) -> bool {
    let modules = Modules::new(engine).expect("a machine");
    engine.sim.refuse_once(nth);
    for index in [2, 1, 3, 0] {
        let (name, data) = &set[index];
        // A module that needs one that failed fails too.
        let _ = modules.load(name, data, &kernel, no_init);
    }
    engine.sim.refuse_nothing();
    let all_loaded = modules.len() == set.len();
    modules.unload_all();
    assert!(modules.is_empty());
    assert_eq!(granted(engine), 0, "call {nth} refused");
    engine.audit().expect("audit");
    all_loaded
}

#[test]
fn inv_09_a_refusal_while_a_set_is_loaded_leaves_only_whole_modules() {
    let (engine, set) = (engine(), set());
    let refused = (0..100).filter(|nth| !life_refusing(&engine, &set, *nth)).count();
    assert!(refused > 10 && refused < 90, "several calls for each of four modules: {refused}");
}
