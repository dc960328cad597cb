//! The target that `EXECMEM_TARGET` names, by default the loader for x86.
#![no_main]

use std::sync::LazyLock;

use execmem_fuzz::{Target, named};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("EXECMEM_TARGET").unwrap_or_else(|_| "loader-x86".to_owned());
    named(&name).unwrap_or_else(|| panic!("there is no target {name}"))
});

fuzz_target!(|data: &[u8]| {
    (TARGET.run)(data);
});
