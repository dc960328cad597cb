//! The suite on simulated machines: it finds nothing on those that keep the laws, and every defect of those that do not.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod broken;
mod machine;
mod mutants;

use execmem_arch_arm64::{MACHINE_ARM64_4K, MACHINE_ARM64_16K};
use execmem_arch_powerpc_8xx::MACHINE_POWERPC_8XX;
use execmem_arch_riscv::MACHINE_RISCV64;
use execmem_arch_x86::MACHINE_X86;
use execmem_conformance::{Law, Memory, Need, Port, Report, run};
use execmem_types::{Extent, Machine, PageSize, Trap};

use broken::Broken;
use machine::TwoProcessors;
use mutants::{MUTANTS, Mutant};

/// `ret` of the machine, in the order of its memory.
const RET_X86: Trap = Trap::byte(0xc3);
const RET_ARM64: Trap = Trap::word([0xc0, 0x03, 0x5f, 0xd6]);
const RET_RISCV: Trap = Trap::half([0x82, 0x80]);
const BLR_POWERPC: Trap = Trap::word([0x4e, 0x80, 0x00, 0x20]);

const SMALL: PageSize = PageSize::kib(4);

/// Checks a backend over a machine, at addresses from `start` on.
fn check(memory: &dyn Memory, machine: &TwoProcessors, pages: &[PageSize], start: u64, lacks: &[Need]) -> Report {
    let window = Extent::new(start, 16 << 20).expect("addresses");
    let (trap, returns) = (machine.control.machine().trap(), machine.returns);
    run(&Port { memory, probe: machine, window, pages, trap, returns, lacks })
}

fn keeps_the_laws(facts: &Machine, pages: &[PageSize], start: u64, returns: Trap, lacks: &[Need]) {
    let machine = TwoProcessors::new(facts, returns);
    let report = check(&machine, &machine, pages, start, lacks);
    assert!(report.passes(), "{} {pages:?}:\n{report}", facts.name);
}

#[test]
fn machines_with_two_page_sizes_keep_the_laws() {
    keeps_the_laws(&MACHINE_X86, &[SMALL, PageSize::mib(2)], 0xffff_ffff_c000_0000, RET_X86, &[]);
    keeps_the_laws(&MACHINE_ARM64_16K, &[PageSize::kib(16), PageSize::mib(2)], 1 << 40, RET_ARM64, &[]);
}

#[test]
fn machines_with_three_page_sizes_keep_the_laws() {
    keeps_the_laws(&MACHINE_ARM64_4K, &[SMALL, PageSize::kib(64), PageSize::mib(2)], 1 << 40, RET_ARM64, &[]);
    keeps_the_laws(&MACHINE_RISCV64, &[SMALL, PageSize::kib(64), PageSize::mib(2)], 1 << 38, RET_RISCV, &[]);
    keeps_the_laws(
        &MACHINE_POWERPC_8XX,
        &[SMALL, PageSize::kib(16), PageSize::kib(512)],
        0xb000_0000,
        BLR_POWERPC,
        &[],
    );
}

#[test]
fn a_machine_with_one_page_size_lacks_larger_leaves_only() {
    keeps_the_laws(&MACHINE_X86, &[SMALL], 0xffff_ffff_c000_0000, RET_X86, &[Need::Collapse]);
}

#[test]
fn what_a_port_declares_and_does_not_lack_is_said() {
    let machine = TwoProcessors::new(&MACHINE_X86, RET_X86);
    let report = check(&machine, &machine, &[SMALL], 0xffff_ffff_c000_0000, &[Need::Collapse, Need::Poke]);
    assert_eq!((report.passes(), report.disproved().collect::<Vec<_>>()), (false, vec![Need::Poke]));
    let report = check(&machine, &machine, &[SMALL], 0xffff_ffff_c000_0000, &[]);
    assert_eq!((report.passes(), report.undeclared().collect::<Vec<_>>()), (false, vec![Need::Collapse]));
}

/// Prints a line for each broken backend, which `cargo xtask conformance --mutants` shows.
#[test]
fn every_mutant_is_caught_by_its_check() {
    let mut missed = Vec::new();
    for (law, mutants) in MUTANTS {
        for mutant in mutants {
            let machine = TwoProcessors::new(&MACHINE_ARM64_4K, RET_ARM64);
            let memory = Broken { machine: &machine, methods: &mutant.methods };
            let report = check(&memory, &machine, &[SMALL, PageSize::kib(64)], 1 << 40, &[]);
            let caught = report.broken().find(|(name, of, _)| *name == mutant.caught_by && *of == law);
            match caught {
                Some((name, _, breach)) if !report.passes() => println!("{law}; {}: {breach} ({name})", mutant.what),
                _ => missed.push(format!("{law}; {}: not by {}:\n{report}", mutant.what, mutant.caught_by)),
            }
        }
    }
    assert!(missed.is_empty(), "{} mutants are not caught:\n{}", missed.len(), missed.join("\n\n"));
}

#[test]
fn every_law_has_three_mutants_and_every_check_one() {
    let machine = TwoProcessors::new(&MACHINE_X86, RET_X86);
    let without_room = Extent::new(1 << 40, 1).expect("a byte");
    let (trap, pages) = (MACHINE_X86.trap(), &[SMALL]);
    let report = run(&Port {
        memory: &machine,
        probe: &machine,
        window: without_room,
        pages,
        trap,
        returns: RET_X86,
        lacks: &[],
    });
    for (law, mutants) in MUTANTS {
        assert!(mutants.len() >= 3, "{law}");
    }
    for (name, law, _) in report.checks() {
        let catches =
            |(of, mutants): &(Law, &[Mutant])| *of == law && mutants.iter().any(|mutant| mutant.caught_by == name);
        assert!(MUTANTS.iter().any(catches), "{name} catches nothing");
    }
}
