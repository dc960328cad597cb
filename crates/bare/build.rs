//! Where the linker puts the kernel, and the module that it carries.

use std::env;
use std::process::Command;

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if variable("CARGO_CFG_TARGET_OS") != "none" {
        return;
    }
    let script = format!("{}/link/{}.ld", variable("CARGO_MANIFEST_DIR"), variable("CARGO_CFG_TARGET_ARCH"));
    println!("cargo:rerun-if-changed={script}");
    println!("cargo:rustc-link-arg-bins=-T{script}");

    let object = format!("{}/module.o", variable("OUT_DIR"));
    let options = ["--edition=2024", "--crate-type=lib", "--emit=obj", "-Copt-level=2", "-Cpanic=abort"];
    println!("cargo:rerun-if-changed=module/module.rs");
    let status = Command::new(variable("RUSTC"))
        .args(options)
        .args(["-Crelocation-model=static", "-Ccodegen-units=1", "--target", &variable("TARGET")])
        .args(["-o", &object, "module/module.rs"])
        .status();
    assert!(status.is_ok_and(|status| status.success()), "the module does not compile");
}
