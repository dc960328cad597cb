//! Damaged objects: an error that names the place, and nothing stays allocated.

use execmem_clients::module::{ElfMachine, RelocationSite, Resource};
use execmem_clients::{Error, Field};
use object::elf::{EM_AARCH64, R_X86_64_PC32};

use super::objects::{Builder, complete, engine, granted, load, put, section_places};

/// Loads a damaged object and checks that the refusal left nothing.
fn refused(data: &[u8]) -> Error {
    let engine = engine();
    let error = load(&engine, data).expect_err("damaged");
    assert_eq!(granted(&engine), 0);
    engine.audit().expect("audit");
    error
}

#[test]
fn objects_cut_off_anywhere_are_refused() {
    let data = complete();
    let engine = engine();
    for len in 0..data.len() {
        let outcome = load(&engine, &data[..len]);
        // The table of sections stands at the end, so no shorter file is whole.
        assert!(outcome.is_err(), "cut to {len} of {}", data.len());
        assert_eq!(granted(&engine), 0);
    }
}

#[test]
fn objects_with_any_byte_changed_are_refused_or_loaded_and_unloaded() {
    let data = complete();
    let engine = engine();
    let mut refusals = 0;
    for at in 0..data.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut damaged = data.clone();
            damaged[at] ^= change;
            match load(&engine, &damaged) {
                Ok(coming) => coming.unload(),
                Err(_) => refusals += 1,
            }
            assert_eq!(granted(&engine), 0, "byte {at} changed by {change:#x}");
        }
    }
    assert!(refusals > 100);
    engine.audit().expect("audit");
    engine.audit_unused().expect("freed memory");
}

#[test]
fn what_is_no_object_is_refused() {
    let header = Error::NotAnObject { field: Field::Header };
    assert_eq!(refused(&[]), header);
    assert_eq!(refused(b"#!/bin/sh\n"), header);
    let mut executable = complete();
    put(&mut executable, 16, 2_u16.to_le_bytes());
    assert_eq!(refused(&executable), header);
}

#[test]
fn objects_for_another_machine_are_refused() {
    let mut data = complete();
    put(&mut data, 18, EM_AARCH64.to_le_bytes());
    assert_eq!(refused(&data), Error::WrongMachine { found: ElfMachine(EM_AARCH64), wanted: ElfMachine(62) });
}

#[test]
fn sections_outside_the_file_are_named() {
    let mut data = complete();
    let (header, _) = section_places(&data, ".data");
    put(&mut data, header + 24, (1_u64 << 40).to_le_bytes());
    let error = refused(&data);
    assert!(matches!(error, Error::BadSection { field: Field::Place, .. }), "{error}");
    assert!(error.to_string().contains("(.data)"), "{error}");
}

#[test]
fn sections_that_overlap_in_the_file_are_named() {
    let mut data = complete();
    let (text, _) = section_places(&data, ".text");
    let (constants, _) = section_places(&data, ".rodata");
    let offset: [u8; 8] = data[text + 24..text + 32].try_into().expect("8 bytes");
    put(&mut data, constants + 24, offset);
    assert!(matches!(refused(&data), Error::OverlappingSections { .. }));
}

#[test]
fn alignments_that_are_no_power_of_two_are_named() {
    let mut data = complete();
    let (header, _) = section_places(&data, ".rodata");
    put(&mut data, header + 48, 48_u64.to_le_bytes());
    assert!(matches!(refused(&data), Error::BadSection { field: Field::Alignment, .. }));
}

#[test]
fn huge_sections_are_refused_before_memory_is_asked_for() {
    for len in [1_u64 << 32, 1 << 62, u64::MAX] {
        let mut data = complete();
        let (header, _) = section_places(&data, ".bss");
        put(&mut data, header + 32, len.to_le_bytes());
        let error = refused(&data);
        let too_large =
            matches!(error, Error::TooLarge { .. } | Error::OverBudget { resource: Resource::SectionBytes, .. });
        assert!(too_large, "{error}");
    }
}

#[test]
fn huge_alignments_are_refused() {
    let mut data = complete();
    let (header, _) = section_places(&data, ".bss");
    put(&mut data, header + 48, (1_u64 << 63).to_le_bytes());
    let error = refused(&data);
    assert!(matches!(error, Error::TooLarge { .. } | Error::OverBudget { .. }), "{error}");
}

/// Offset of the first relocation of `.text` in the file.
fn first_relocation(data: &[u8]) -> usize {
    section_places(data, ".rela.text").1
}

#[test]
fn relocations_outside_their_section_are_named() {
    for offset in [1_u64 << 20, u64::MAX, 38] {
        let mut data = complete();
        let at = first_relocation(&data);
        put(&mut data, at, offset.to_le_bytes());
        let error = refused(&data);
        assert!(
            matches!(error, Error::OutsideSection { at: RelocationSite { relocation: 0, .. }, .. }),
            "{offset:#x}: {error}"
        );
    }
}

#[test]
fn relocations_of_unknown_type_are_named() {
    let mut data = complete();
    let at = first_relocation(&data);
    put(&mut data, at + 8, 200_u32.to_le_bytes());
    assert!(matches!(
        refused(&data),
        Error::UnknownRelocation { at: RelocationSite { relocation: 0, .. }, number: 200, .. }
    ));
}

#[test]
fn relocations_to_symbols_that_do_not_exist_are_named() {
    let mut data = complete();
    let at = first_relocation(&data);
    put(&mut data, at + 12, 9999_u32.to_le_bytes());
    assert!(matches!(
        refused(&data),
        Error::BadReference { at: RelocationSite { relocation: 0, .. }, symbol: 9999, .. }
    ));
}

#[test]
fn relocations_of_a_section_that_does_not_exist_are_named() {
    let mut data = complete();
    let (header, _) = section_places(&data, ".rela.text");
    put(&mut data, header + 44, 77_u32.to_le_bytes());
    assert!(matches!(refused(&data), Error::BadSection { field: Field::Section, .. }));
}

#[test]
fn fields_that_are_not_zero_before_they_are_patched_are_named() {
    let mut module = Builder::new();
    let text = module.text;
    let code = module.define("code", text, &[0, 1, 0, 0, 0, 0, 0, 0], 16);
    module.relocate(text, 0, code, 0, R_X86_64_PC32);
    assert!(matches!(refused(&module.write()), Error::AlreadyPatched { at: RelocationSite { relocation: 0, .. }, .. }));
}
