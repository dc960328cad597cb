//! The functions that Cranelift's code calls by itself, as addresses of Rust's.

use cranelift_codegen::ir::LibCall;

macro_rules! rounding {
    ($($name:ident: $float:ty, $method:ident;)*) => { $(
        extern "C" fn $name(value: $float) -> $float {
            value.$method()
        }
    )* };
}

rounding! {
    ceil_f32: f32, ceil;
    ceil_f64: f64, ceil;
    floor_f32: f32, floor;
    floor_f64: f64, floor;
    trunc_f32: f32, trunc;
    trunc_f64: f64, trunc;
    nearest_f32: f32, round_ties_even;
    nearest_f64: f64, round_ties_even;
}

extern "C" fn fma_f32(a: f32, b: f32, c: f32) -> f32 {
    a.mul_add(b, c)
}

extern "C" fn fma_f64(a: f64, b: f64, c: f64) -> f64 {
    a.mul_add(b, c)
}

/// The address of a function, where Rust has it. The rest has a name that is looked up.
pub(crate) fn address(call: LibCall) -> Option<u64> {
    let float: extern "C" fn(f32) -> f32 = match call {
        LibCall::CeilF32 => ceil_f32,
        LibCall::FloorF32 => floor_f32,
        LibCall::TruncF32 => trunc_f32,
        LibCall::NearestF32 => nearest_f32,
        _ => return double(call),
    };
    Some(float as usize as u64)
}

fn double(call: LibCall) -> Option<u64> {
    let double: extern "C" fn(f64) -> f64 = match call {
        LibCall::CeilF64 => ceil_f64,
        LibCall::FloorF64 => floor_f64,
        LibCall::TruncF64 => trunc_f64,
        LibCall::NearestF64 => nearest_f64,
        LibCall::FmaF32 => return Some(fma_f32 as extern "C" fn(f32, f32, f32) -> f32 as usize as u64),
        LibCall::FmaF64 => return Some(fma_f64 as extern "C" fn(f64, f64, f64) -> f64 as usize as u64),
        _ => return None,
    };
    Some(double as usize as u64)
}
