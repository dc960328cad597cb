//! error[E0599]: only Wasmtime can say that an image goes.
#[cfg(feature = "wasmtime")]
fn free(memory: &execmem_wasmtime::CodeMemory, image: &[u8]) {
    use wasmtime::CustomCodeMemory as _;
    let _ = memory.unpublish_executable(image.as_ptr(), image.len());
}

fn main() {}
