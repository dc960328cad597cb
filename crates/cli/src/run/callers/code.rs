//! The code that callers are given: functions with an instruction to probe, or a site to trace, and a tracer. x86-64.

/// What a probed or traced function adds to its argument.
pub(super) const fn addend(number: u32) -> u32 {
    number.wrapping_mul(2_654_435_761)
}

/// Bytes of [`probed`]'s first instruction.
pub(super) const PROBED_BYTES: usize = 6;

/// `mov eax, [rip + 10]; add eax, edi; ret`, and behind it, at a multiple of 16, the addend.
pub(super) fn probed(number: u32) -> Vec<u8> {
    let mut code = vec![0x8b, 0x05, 10, 0, 0, 0, 0x01, 0xf8, 0xc3];
    code.resize(16, 0xcc);
    code.extend(addend(number).to_le_bytes());
    code
}

/// A site, then `lea eax, [rdi + addend]; ret`.
pub(super) fn traced(nop: &[u8], number: u32) -> Vec<u8> {
    [nop, &[0x8d, 0x87], &addend(number).to_le_bytes(), &[0xc3]].concat()
}

/// A tracer: `lock inc qword [rdx]; ret`.
pub(super) const TRACER: &[u8] = &[0xf0, 0x48, 0xff, 0x02, 0xc3];

/// What a probed or traced function returns.
pub(super) const fn result(number: u32, argument: u32) -> u32 {
    addend(number).wrapping_add(argument)
}
