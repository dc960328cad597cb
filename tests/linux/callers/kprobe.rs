//! Instructions that are executed in slots.

use execmem_clients::Error;
use execmem_clients::kprobe::{Kprobes, SlotFormat, x86};
use execmem_clients::patch::Sites;

use super::support::{check_empty, engine, install, run};

skip::tests! {
    copies_in_slots_do_what_the_originals_do_and_go_on_behind_them
    a_probed_function_works_by_way_of_the_slot
    instructions_that_do_not_fit_a_slot_are_refused
}

/// Instructions to be probed: the bytes, what stands behind them up to and including a return, and data that a relative
/// operand of theirs names, at offset 32.
const PROBED: &[(&str, &[u8], &[u8])] = &[
    // mov eax, [rip + 26]; add eax, edi; ret
    ("mov eax, [rip]", &[0x8b, 0x05, 26, 0, 0, 0], &[0x01, 0xf8, 0xc3]),
    // lea rax, [rip + 25]; mov eax, [rax]; add eax, edi; ret
    ("lea rax, [rip]", &[0x48, 0x8d, 0x05, 25, 0, 0, 0], &[0x8b, 0x00, 0x01, 0xf8, 0xc3]),
    // mov eax, 1000; add eax, edi; ret
    ("mov eax, imm32", &[0xb8, 0xe8, 3, 0, 0], &[0x01, 0xf8, 0xc3]),
    // lea eax, [rdi + 1000]; ret
    ("lea eax, [rdi]", &[0x8d, 0x87, 0xe8, 3, 0, 0], &[0xc3]),
    // imul eax, [rip + 22], 1; add eax, edi; ret: a constant behind the displacement
    ("imul eax, [rip], imm32", &[0x69, 0x05, 22, 0, 0, 0, 1, 0, 0, 0], &[0x01, 0xf8, 0xc3]),
    // movsxd rax, dword [rip + 25]; add eax, edi; ret
    ("movsxd rax, [rip]", &[0x48, 0x63, 0x05, 25, 0, 0, 0], &[0x01, 0xf8, 0xc3]),
];

fn function(probed: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut code = [probed, rest].concat();
    code.resize(32, 0xcc);
    code.extend(1000_u32.to_le_bytes());
    code
}

fn copies_in_slots_do_what_the_originals_do_and_go_on_behind_them() {
    let engine = engine();
    let format = SlotFormat::of(engine.table().machine().instructions.isa).expect("a row");
    let kprobes = Kprobes::new(&engine, format, u64::MAX);
    for (name, probed, rest) in PROBED {
        let code = function(probed, rest);
        let original = install(&engine, &code);
        let source = original.address();
        assert_eq!(run(source, [234, 0, 0, 0]) & 0xffff_ffff, 1234, "{name}");
        let slot = kprobes.insert(|slot| Ok(x86::copy(source, &code, slot)?.code)).expect(name);
        let address = kprobes.address(slot).expect("used");
        assert_eq!(run(address, [234, 0, 0, 0]) & 0xffff_ffff, 1234, "{name} in its slot");
        kprobes.release(slot).expect("used");
        kprobes.collect(|| ());
        engine.free(original).expect("ours");
    }
    kprobes.close(|| ());
    check_empty(&engine);
}

/// What an optimised probe is: the probed instruction is long enough for a jump, and the slot does its work.
fn a_probed_function_works_by_way_of_the_slot() {
    let engine = engine();
    let sites = Sites::of(engine.table().machine()).expect("a row");
    let kprobes = Kprobes::new(&engine, SlotFormat { bytes: 16 }, u64::MAX);
    for (name, probed, rest) in PROBED {
        let code = function(probed, rest);
        let original = install(&engine, &code);
        let source = original.address();
        let slot = kprobes.insert(|slot| Ok(x86::copy(source, &code, slot)?.code)).expect(name);
        let jump = sites.jump(source, kprobes.address(slot).expect("used")).expect("near");
        engine.patch_unexecuted(&original, 0, jump.bytes()).expect("nobody executes it");
        assert_eq!(run(source, [5, 0, 0, 0]) & 0xffff_ffff, 1005, "{name}, probed");
        engine.patch_unexecuted(&original, 0, &probed[..5]).expect("nobody executes it");
        assert_eq!(run(source, [5, 0, 0, 0]) & 0xffff_ffff, 1005, "{name}, as before");
        kprobes.release(slot).expect("used");
        engine.free(original).expect("ours");
    }
    kprobes.close(|| ());
    check_empty(&engine);
}

fn instructions_that_do_not_fit_a_slot_are_refused() {
    let engine = engine();
    let kprobes = Kprobes::new(&engine, SlotFormat { bytes: 16 }, u64::MAX);
    // mov dword [rip + 4], 5 with a segment prefix and a longer one: 12 bytes, and 5 for the jump.
    let long = [0x2e, 0x48, 0xc7, 0x05, 4, 0, 0, 0, 5, 0, 0, 0];
    let refused = kprobes.insert(|slot| Ok(x86::copy(slot + 0x1000, &long, slot)?.code));
    assert_eq!(refused, Err(Error::CodeTooLong { len: 17, room: 16 }));
    kprobes.close(|| ());
    check_empty(&engine);
}
