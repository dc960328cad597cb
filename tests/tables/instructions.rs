//! Instructions of every machine: golden bytes from assemblers, and what a processor makes of any target.

use execmem_tests::tables::{all, named};
use execmem_types::{NamedTable, Sequence};
use quickcheck::quickcheck;

use super::interpret::follow;

/// Where one sequence leads, by the interpreter.
fn leads(table: &NamedTable, site: u64, bytes: &[u8]) -> Option<u64> {
    let end = site + bytes.len() as u64;
    let fetch = |address: u64, len: usize| {
        let start = usize::try_from(address.checked_sub(site)?).ok()?;
        let inside = address < end && start + len <= bytes.len();
        inside.then(|| bytes[start..start + len].to_vec())
    };
    follow(table.table.machine().name, site, &fetch)
}

fn sequences(table: &NamedTable) -> impl Iterator<Item = Sequence> {
    let code = table.table.machine().instructions;
    code.call.into_iter().chain(code.jump).chain(code.veneers.iter().copied())
}

quickcheck! {
    fn what_is_encoded_leads_where_it_should_and_what_is_not_cannot(site: u64, target: u64, distance: i64, shift: u8) -> bool {
        all().all(|table| {
            let machine = table.table.machine();
            let width = u64::MAX >> (64 - machine.address_bits());
            // Sites far from the ends of the address space, targets near and anywhere.
            let site = (site & width >> 1 & !0xf) + 0x1_0000;
            let near = site.wrapping_add_signed(distance >> (shift % 48)) & width & !3;
            [near, target & width & !3].into_iter().all(|target| {
                sequences(table).all(|sequence| match sequence.encode(site, target) {
                    Some(encoded) => leads(table, site, encoded.bytes()) == Some(target) || leads_into_itself(site, &sequence, target),
                    None => table.table.machine().instructions.call != Some(sequence) || !machine.reach().reaches(site, target),
                })
            })
        })
    }
}

/// The interpreter cannot tell whether it arrived if the target lies in the instructions themselves.
fn leads_into_itself(site: u64, sequence: &Sequence, target: u64) -> bool {
    target.wrapping_sub(site) < sequence.len()
}

/// Assembled with `llvm-mc -triple …`, except loongarch and nios2, whose bytes are from their manuals.
const GOLDEN: &[(&str, &str, u64, &[u8])] = &[
    ("x86", "call .+0x1000", 0x1000, &[0xe8, 0xfb, 0x0f, 0, 0]),
    ("arm64-4k", "bl .+0x1000", 0x1000, &[0x00, 0x04, 0x00, 0x94]),
    ("arm64-64k", "bl .-4", 0xffff_ffff_ffff_fffc, &[0xff, 0xff, 0xff, 0x97]),
    ("powerpc-8xx", "bl .+0x1000", 0x1000, &[0x48, 0x00, 0x10, 0x01]),
    ("riscv64", "auipc ra, 1; jalr -4(ra)", 0xffc, &[0x97, 0x10, 0, 0, 0xe7, 0x80, 0xc0, 0xff]),
    ("arm", "bl .+0x1000", 0x1000, &[0xfe, 0x03, 0x00, 0xeb]),
    ("s390", "brasl %r14, .+0x1000", 0x1000, &[0xc0, 0xe5, 0, 0, 0x08, 0]),
    ("loongarch", "bl 0x1000", 0x1000, &[0x00, 0x00, 0x10, 0x54]),
    ("sparc64", "call .+0x1000", 0x1000, &[0x40, 0, 0x04, 0]),
    ("mips", "jal 0x10001000", 0x1000, &[0x0c, 0x00, 0x04, 0x00]),
    ("nios2", "call 0x10001000", 0x1000, &[0x00, 0x00, 0x01, 0x00]),
];

#[test]
fn calls_are_what_assemblers_make_of_them() {
    const SITE: u64 = 0x1000_0000;
    for (arch, what, distance, want) in GOLDEN {
        let call = named(arch).table.machine().instructions.call.expect("a call");
        let got = call.encode(SITE, SITE.wrapping_add(*distance)).expect("near");
        let want: Vec<u8> =
            if matches!(*arch, "mips" | "nios2") { absolute(arch, SITE + distance) } else { want.to_vec() };
        assert_eq!(got.bytes(), want, "{arch}: {what}");
    }
}

/// Forms that name the low bits of an address.
fn absolute(arch: &str, target: u64) -> Vec<u8> {
    let words = u32::try_from(target >> 2 & 0x3ff_ffff).expect("26 bits");
    match arch {
        "mips" => (0x0c00_0000 | words).to_be_bytes().to_vec(),
        _ => (words << 6).to_le_bytes().to_vec(),
    }
}

#[test]
fn the_reach_of_a_call_is_exactly_what_its_encoding_reaches() {
    for table in all() {
        let machine = table.table.machine();
        let Some(call) = table.table.machine().instructions.call else { continue };
        let site = 0x4000_0000;
        let unit = machine.trap().unit();
        let execmem_types::Reach::Relative { base, min, max } = machine.reach() else {
            assert!(
                call.encode(site, site + 0xfff_fffc - 8).is_some() && call.encode(site, site + 0x1000_0000).is_none()
            );
            continue;
        };
        let at = |distance: i64| (site + u64::from(base)).wrapping_add_signed(distance);
        let is_narrow = machine.address_bits() == 32 && max > 0x7000_0000;
        let step = i64::try_from(unit).expect("small");
        for (distance, can) in [(min, true), (max, true), (min - step, is_narrow), (max + step, is_narrow)] {
            let target = at(distance);
            if target > u64::MAX >> (64 - machine.address_bits()) {
                continue;
            }
            let aligned = target & !(unit - 1);
            assert_eq!(call.encode(site, aligned).is_some(), can, "{}: {distance:#x}", table.name);
        }
    }
}

#[test]
fn nops_fill_every_length_that_instructions_can_have() {
    for table in all() {
        let unit = usize::try_from(table.table.machine().trap().unit()).expect("small");
        for len in (0..40).step_by(unit.max(table.table.machine().instructions.nops[0].len())) {
            let mut bytes = vec![0xaa; len];
            assert_eq!(table.table.machine().instructions.pad(&mut bytes), Some(()), "{}", table.name);
        }
        assert!(table.table.machine().instructions.nops.is_sorted_by_key(|nop| nop.len()), "{}", table.name);
        assert!(!table.table.machine().instructions.breakpoint.is_empty());
    }
}

#[test]
fn a_call_site_can_become_a_nop_or_a_breakpoint_in_one_store_or_says_how() {
    for table in all() {
        let (code, whole) = (table.table.machine().instructions, table.table.machine().whole_bytes());
        assert!(whole >= table.table.machine().trap().unit(), "{}: a trap is one store", table.name);
        let Some(call) = code.call else { continue };
        let mut nop = vec![0; usize::try_from(call.len()).expect("short")];
        assert_eq!(code.pad(&mut nop), Some(()), "{}: a nop as long as a call", table.name);
        assert!(code.breakpoint.len() as u64 <= whole, "{}: a breakpoint is one store", table.name);
    }
}
