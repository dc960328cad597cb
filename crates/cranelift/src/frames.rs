//! How to leave generated code, in the words of unwinders: the records of an `.eh_frame` section.
#![expect(unsafe_code, reason = "unwinders believe what they are told")]

use cranelift_codegen::gimli::LittleEndian;
use cranelift_codegen::gimli::write::{Address, EhFrame, EndianVec, FrameTable};
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::isa::unwind::UnwindInfo;
use execmem_linux::tools::Frames;

/// Tells unwinders how to leave a function, until the result is dropped. Nothing if the machine has no such records.
pub(crate) fn register(isa: &dyn TargetIsa, unwind: &UnwindInfo, address: u64) -> Option<Frames> {
    let table = table(isa, unwind, address)?;
    // SAFETY: well-formed records that Cranelift made for this code, which was published at the address; the caller that holds
    // the result drops it before the code is freed.
    Some(unsafe { Frames::register(table) })
}

/// One common record and one for the function, with absolute addresses.
fn table(isa: &dyn TargetIsa, unwind: &UnwindInfo, address: u64) -> Option<Vec<u8>> {
    let UnwindInfo::SystemV(info) = unwind else { return None };
    let mut table = FrameTable::default();
    let common = table.add_cie(isa.create_systemv_cie()?);
    table.add_fde(common, info.to_fde(Address::Constant(address)));
    // Every machine this crate knows is little-endian.
    let mut bytes = EhFrame(EndianVec::new(LittleEndian));
    table.write_eh_frame(&mut bytes).ok()?;
    Some(bytes.0.into_vec())
}
