//! Variables of which each processor has its own.

use execmem_arch_x86::TABLE;
use execmem_clients::Error;
use execmem_clients::module::{LoadLimits, Loader, Modules, Resource};
use execmem_tests::per_cpu::PerCpus;
use execmem_tests::rig::Rig;
use object::SectionKind;
use object::elf::{R_X86_64_64, R_X86_64_PC32};

use super::objects::{Builder, IMPORTS_AT, engine, granted};

/// Near the kernel's text, as code reaches it.
const COPIES_AT: u64 = IMPORTS_AT + 0x10_0000;

/// A module with a variable of each processor that holds the address of a function, and code that refers to it.
fn counting(bytes: usize) -> Vec<u8> {
    let mut module = Builder::new();
    let text = module.text;
    let code = module.define("code", text, &[0; 16], 16);
    let section = module.section(".data..percpu", SectionKind::Data);
    let variable = module.define("variable", section, &vec![0; bytes], 64);
    module.relocate(section, 8, code, 5, R_X86_64_64);
    module.relocate(text, 4, variable, -4, R_X86_64_PC32);
    module.write()
}

fn no_imports(_: &str) -> Option<u64> {
    None
}

#[test]
fn they_lie_where_the_caller_says_and_begin_with_what_the_module_says() {
    let (engine, copies) = (engine(), PerCpus::new(COPIES_AT + 1));
    let loader = Loader::new(&engine).expect("a machine").with_per_cpu(copies.clone());
    let coming = loader.load(&counting(100), &no_imports).expect("a module");
    let symbol = |name| coming.names().symbol(name).expect(name);
    let (code, variable) = (symbol("code"), symbol("variable"));
    assert_eq!(variable, COPIES_AT.next_multiple_of(64), "aligned");
    assert!(engine.find(variable).is_none() && coming.extents().count() == 1, "no memory of the engine");
    let first = copies.content(variable, 100).expect("taken");
    assert_eq!((&first[..8], &first[8..16]), (&[0; 8][..], &(code + 5).to_le_bytes()[..]));
    let mut field = [0; 4];
    engine.sim.fetch(code + 4, &mut field).expect("published");
    assert_eq!((code + 4).wrapping_add_signed(i32::from_le_bytes(field).into()), variable - 4);
    let module = coming.finish_or_unload().expect("memory");
    assert_eq!(module.per_cpu().map(|extent| (extent.start(), extent.len())), Some((variable, 100)));
    assert_eq!(copies.live(), 1);
    module.unload();
    assert_eq!((granted(&engine), copies.live()), (0, 0));
    // In a set, and given up before it is initialised.
    let modules = Modules::with_loader(loader);
    modules.load("counting", &counting(100), &no_imports, |_| Ok(())).expect("a module");
    assert_eq!(copies.live(), 1);
    modules.unload_all();
    let failed = modules.load("counting", &counting(100), &no_imports, |_| Err(Error::UnknownMachine));
    assert_eq!((failed, copies.live(), granted(&engine)), (Err(Error::UnknownMachine), 0, 0));
}

#[test]
fn too_many_and_those_without_a_place_are_refused() {
    let (engine, copies) = (engine(), PerCpus::new(COPIES_AT));
    let loader = Loader::new(&engine).expect("a machine");
    let refused = loader.load(&counting(100), &no_imports).expect_err("nowhere");
    assert_eq!(refused, Error::NoPerCpu { len: 100 });
    let loader = loader.with_per_cpu(copies.clone());
    let refused = loader.load(&counting(4 << 20), &no_imports).expect_err("4 MiB for each processor");
    assert!(matches!(refused, Error::OverBudget { resource: Resource::PerCpuBytes, limit: 0x8000, .. }), "{refused}");
    let loader = Loader::with_limits(&engine, LoadLimits { per_cpu_bytes: 8 << 20, ..LoadLimits::DEFAULT });
    let loader = loader.expect("a machine").with_per_cpu(copies.clone());
    loader.load(&counting(4 << 20), &no_imports).expect("as the caller says").unload();
    assert_eq!((granted(&engine), copies.live()), (0, 0));
}

#[test]
fn inv_09_a_refusal_at_any_step_gives_them_back() {
    for nth in 0.. {
        let (engine, copies) = (Rig::new(TABLE), PerCpus::new(COPIES_AT));
        engine.sim.refuse_once(nth);
        let loader = Loader::new(&engine).expect("a machine").with_per_cpu(copies.clone());
        let outcome = loader.load(&counting(100), &no_imports).and_then(|coming| coming.finish_or_unload());
        let all_made = engine.sim.calls() <= nth;
        engine.sim.refuse_nothing();
        assert_eq!(copies.live(), usize::from(outcome.is_ok()), "call {nth}");
        outcome.into_iter().for_each(|module| module.unload());
        assert_eq!((granted(&engine), copies.live()), (0, 0), "call {nth}");
        if all_made {
            assert!(nth >= 3, "it maps, writes and publishes: {nth}");
            break;
        }
    }
}
