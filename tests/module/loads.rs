//! What loads, where it lands, and what happens when the memory refuses.

use execmem::Kind;
use execmem_arch_x86::TABLES;
use execmem_clients::Error;
use execmem_clients::module::{Loader, RelocationSite};
use execmem_tests::rig::Rig;
use object::SectionKind;
use object::elf::{R_X86_64_32, R_X86_64_PC32, R_X86_64_PC64};

use super::objects::{Builder, IMPORTS_AT, complete, engine, granted, kinds, load};

#[test]
fn every_section_lands_in_memory_of_its_kind() {
    let engine = engine();
    let coming = load(&engine, &complete()).expect("a module");
    assert_eq!(kinds(&coming), Kind::MODULE);
    for (kind, extent) in coming.extents() {
        let found = engine.find(extent.start()).expect("live");
        assert_eq!((found.kind, found.extent), (kind, extent));
    }
    assert_eq!(coming.init(), coming.names().symbol("init_module"));
    coming.unload();
    assert_eq!(granted(&engine), 0);
}

#[test]
fn the_init_kinds_go_when_initialisation_ends_and_sealed_data_stays() {
    let engine = engine();
    let coming = load(&engine, &complete()).expect("a module");
    let kept = coming.names().symbol("kept").expect("a symbol");
    assert!(engine.sim.store(kept, &[1]).is_ok(), "writable during initialisation");
    let module = coming.finish_or_unload().expect("memory");
    assert!(engine.sim.store(kept, &[2]).is_err(), "read-only after it");
    assert_eq!(module.names().symbol("init_module"), None);
    assert!(module.names().symbol("main").is_some());
    assert_eq!(module.extents().count(), 4);
    module.unload();
    engine.shrink();
    assert_eq!((granted(&engine), engine.stats().bytes_mapped()), (0, 0));
    engine.audit().expect("audit");
}

#[test]
fn inv_09_a_module_that_cannot_be_sealed_comes_back_as_it_was() {
    let engine = engine();
    let coming = load(&engine, &complete()).expect("a module");
    let (before, kept) = (granted(&engine), coming.names().symbol("kept").expect("a symbol"));
    engine.sim.refuse_from(0);
    let failed = coming.finish().expect_err("its rights cannot change");
    engine.sim.refuse_nothing();
    assert!(matches!(failed.error, execmem::Error::Backend { .. }), "{failed}");
    let coming = failed.handle;
    assert_eq!((kinds(&coming), granted(&engine)), (Kind::MODULE.to_vec(), before));
    assert!(coming.init().is_some() && engine.sim.store(kept, &[1]).is_ok(), "its start can still use it");
    coming.finish().expect("memory").unload();
    assert_eq!(granted(&engine), 0);
    engine.audit().expect("audit");
}

#[test]
fn relocations_of_every_type_give_what_the_abi_says() {
    let engine = engine();
    let coming = load(&engine, &complete()).expect("a module");
    let symbol = |name| coming.names().symbol(name).expect(name);
    let (pair, value) = (symbol("pair"), symbol("value"));
    let mut code = [0; 24];
    engine.sim.fetch(pair, &mut code).expect("published code");
    let word = |at: usize| i64::from(i32::from_le_bytes(code[at..at + 4].try_into().expect("4 bytes")));
    let absolute = |value: i64| u64::from_ne_bytes(value.to_ne_bytes());
    assert_eq!(pair.wrapping_add_signed(4 + word(0)), IMPORTS_AT, "R_X86_64_PLT32");
    assert_eq!((pair + 4).wrapping_add_signed(word(4)), value + 12, "R_X86_64_PC32");
    assert_eq!(absolute(word(8)), symbol("zeroed") + 4, "R_X86_64_32S");
    assert_eq!(code[16..], symbol("main").to_le_bytes(), "R_X86_64_64");
    coming.unload();
}

#[test]
fn what_lies_between_functions_traps() {
    let engine = engine();
    let coming = load(&engine, &complete()).expect("a module");
    let (main, pair) = (coming.names().symbol("main").expect("main"), coming.names().symbol("pair").expect("pair"));
    let mut gap = vec![0; usize::try_from(pair - main - 5).expect("small")];
    engine.sim.fetch(main + 5, &mut gap).expect("published code");
    assert!(!gap.is_empty(), "the functions are aligned to 16");
    coming.unload();
}

#[test]
fn sections_aligned_beyond_their_kind_are_moved_inside_their_memory() {
    for align in [128, 1024, 4096] {
        let engine = engine();
        let mut module = Builder::new();
        let section = module.section(".rodata.wide", SectionKind::ReadOnlyData);
        module.define("wide", section, &[1; 10], align);
        let coming = load(&engine, &module.write()).expect("a module");
        let wide = coming.names().symbol("wide").expect("a symbol");
        assert_eq!(wide % align, 0);
        coming.unload();
    }
}

#[test]
fn symbols_nobody_defines_are_named() {
    let engine = engine();
    let loader = Loader::new(&engine).expect("a machine");
    let error = loader.load(&complete(), &|_: &str| None).expect_err("imported is undefined");
    assert_eq!(error.to_string(), "symbol imported is defined nowhere");
    assert_eq!(granted(&engine), 0);
}

#[test]
fn targets_out_of_reach_are_named_by_section_and_relocation() {
    let engine = engine();
    let mut module = Builder::new();
    let far = module.symbol("far");
    let text = module.text;
    module.define("code", text, &[0; 8], 16);
    module.relocate(text, 0, far, 0, R_X86_64_PC32);
    let loader = Loader::new(&engine).expect("a machine");
    let error = loader.load(&module.write(), &|_: &str| Some(0x7fff_0000_0000)).expect_err("two gigabytes away");
    assert!(
        matches!(error, Error::OutOfReach { at: RelocationSite { relocation: 0, .. }, name: "R_X86_64_PC32", .. }),
        "{error}"
    );
    assert_eq!(granted(&engine), 0);
}

#[test]
fn unsigned_words_refuse_kernel_addresses_and_wide_words_take_them() {
    for (r_type, fits) in [(R_X86_64_32, false), (R_X86_64_PC64, true)] {
        let engine = engine();
        let mut module = Builder::new();
        let text = module.text;
        let code = module.define("code", text, &[0; 8], 16);
        module.relocate(text, 0, code, 0, r_type);
        let outcome = load(&engine, &module.write());
        assert_eq!(outcome.is_ok(), fits);
        outcome.into_iter().for_each(|coming| coming.unload());
    }
}

/// Loads, finishes and unloads with the backend call number `nth` refused. Whether all calls were made.
fn life_refusing(table: usize, data: &[u8], nth: u64) -> bool {
    let table = TABLES[table].table;
    let engine = Rig::new(table);
    engine.sim.refuse_once(nth);
    let outcome = load(&engine, data).and_then(|coming| coming.finish_or_unload());
    let all_made = engine.sim.calls() <= nth;
    engine.sim.refuse_nothing();
    match outcome {
        Ok(module) => module.unload(),
        Err(error) => assert!(matches!(error, Error::Engine(_)), "{error}"),
    }
    assert_eq!(granted(&engine), 0, "call {nth} refused");
    engine.audit().expect("audit");
    engine.audit_unused().expect("freed memory");
    all_made
}

#[test]
fn inv_09_a_refusal_at_any_step_leaves_nothing_of_the_module() {
    let data = complete();
    // Modules of 32-bit machines are not loaded.
    for table in (0..TABLES.len()).filter(|&table| TABLES[table].table.machine().name == "x86") {
        let calls = (0..).find(|&nth| life_refusing(table, &data, nth)).expect("an end");
        assert!(calls > 15, "each of seven kinds takes more than one call");
    }
}

#[test]
fn modules_load_and_unload_from_several_threads_at_once() {
    let engine = engine();
    let data = complete();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let module = load(&engine, &data).and_then(|coming| coming.finish_or_unload()).expect("a module");
                    module.unload();
                }
            });
        }
    });
    assert_eq!(granted(&engine), 0);
    engine.audit().expect("audit");
}
