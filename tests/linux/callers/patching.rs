//! What `patch` and `patch_literal` promise, while another thread executes and loads what they change.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use execmem::Error;

use super::support::{check_empty, engine, install, pin, run, stress_time};

skip::tests! {
    stress_a_patched_byte_is_executed_as_it_was_or_as_it_is
    stress_a_literal_is_loaded_as_it_was_or_as_it_is
}

/// `mov eax, 0x11111100 + byte; ret`.
const RETURNS: &[u8] = &[0xb8, 0, 0x11, 0x11, 0x11, 0xc3];

/// `mov rax, [rip + 1]; ret`, and the eight bytes that it loads.
const LOADS: &[u8] = &[0x48, 0x8b, 0x05, 1, 0, 0, 0, 0xc3, 0, 0, 0, 0, 0, 0, 0, 0];
const LITERAL: u64 = 8;

/// Runs `look` in one thread as often as it can while `change` changes things in another. Returns how often each was.
fn beside(look: impl Fn() + Sync, change: impl Fn(u64)) -> (u64, u64) {
    let ends = AtomicBool::new(false);
    let end = Instant::now() + stress_time();
    std::thread::scope(|scope| {
        let looks = scope.spawn(|| {
            pin(0);
            let mut looks = 0;
            while !ends.load(Ordering::Relaxed) {
                look();
                looks += 1;
            }
            looks
        });
        pin(1);
        let mut changes = 0;
        while Instant::now() < end {
            change(changes);
            changes += 1;
        }
        ends.store(true, Ordering::Relaxed);
        (looks.join().expect("nothing was mixed"), changes)
    })
}

fn stress_a_patched_byte_is_executed_as_it_was_or_as_it_is() {
    let engine = engine();
    let code = install(&engine, RETURNS);
    let (looks, changes) = beside(
        || {
            let result = run(code.address(), [0; 4]) & 0xffff_ffff;
            assert!(result == 0x1111_1100 || result == 0x1111_1177, "{result:#x}");
        },
        |round| {
            let byte = if round.is_multiple_of(2) { 0x77 } else { 0 };
            engine.patch(&code, 1, &[byte]).expect("a byte");
            // Told by then: this processor, like every other, executes the new byte.
            assert_eq!(run(code.address(), [0; 4]) & 0xff, u64::from(byte));
        },
    );
    assert!(looks > 10 && changes > 10, "{looks} calls, {changes} changes");
    let whole = engine.table().machine().whole_bytes();
    let refused = Error::NotWhole { address: code.address(), len: 6, whole };
    assert_eq!(engine.patch(&code, 0, RETURNS), Err(refused), "six bytes are not promised to anyone");
    engine.free(code).expect("ours");
    check_empty(&engine);
}

fn stress_a_literal_is_loaded_as_it_was_or_as_it_is() {
    const VALUES: [u64; 2] = [0x0101_0101_0101_0101, 0xfefe_fefe_fefe_fefe];
    let engine = engine();
    let code = install(&engine, LOADS);
    engine.patch_literal(&code, LITERAL, &VALUES[0].to_le_bytes()).expect("a word");
    let (looks, changes) = beside(
        || {
            let mut bytes = [0; 8];
            let result = run(code.address(), [0; 4]);
            assert!(VALUES.contains(&result), "{result:#x}");
            engine.read(&code, 0, &mut bytes).expect("live");
            assert_eq!(bytes, LOADS[..8], "what is beside it stays");
        },
        |round| {
            let value = VALUES[usize::from(round.is_multiple_of(2))];
            engine.patch_literal(&code, LITERAL, &value.to_le_bytes()).expect("a word");
        },
    );
    assert!(looks > 10 && changes > 10, "{looks} calls, {changes} changes");
    assert!(matches!(engine.patch_literal(&code, 4, &[0; 8]), Err(Error::NotWhole { .. })), "it is not aligned");
    engine.free(code).expect("ours");
    check_empty(&engine);
}
