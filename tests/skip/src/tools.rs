//! The programs that tests and build tasks need: one table, which `cargo xtask install` installs.

use std::path::Path;

/// A program, or a file at a fixed place, and the package of Debian that brings it.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// The name of a program in `PATH`, or a path from the root.
    pub file: &'static str,
    /// The package.
    pub package: &'static str,
    /// What needs it.
    pub needed_by: &'static str,
}

const fn tool(file: &'static str, package: &'static str, needed_by: &'static str) -> Tool {
    Tool { file, package, needed_by }
}

/// Every program. No package is listed only because another needs it: apt knows.
pub const TOOLS: &[Tool] = &[
    tool("as", "binutils", "tests/binutils"),
    tool("ld", "binutils", "tests/binutils"),
    tool("objdump", "binutils", "tests/binutils"),
    tool("gcc", "gcc", "tests/binutils, tests/linux"),
    tool("aarch64-linux-gnu-as", "binutils-aarch64-linux-gnu", "tests/binutils"),
    tool("aarch64-linux-gnu-ld", "binutils-aarch64-linux-gnu", "tests/binutils"),
    tool("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu", "tests/binutils, cargo xtask cross"),
    tool("riscv64-linux-gnu-as", "binutils-riscv64-linux-gnu", "tests/binutils"),
    tool("riscv64-linux-gnu-ld", "binutils-riscv64-linux-gnu", "tests/binutils"),
    tool("riscv64-linux-gnu-gcc", "gcc-riscv64-linux-gnu", "tests/binutils, cargo xtask cross"),
    tool("powerpc-linux-gnu-as", "binutils-powerpc-linux-gnu", "tests/binutils"),
    tool("powerpc-linux-gnu-ld", "binutils-powerpc-linux-gnu", "tests/binutils"),
    tool("powerpc-linux-gnu-gcc", "gcc-powerpc-linux-gnu", "tests/binutils, cargo xtask cross"),
    tool("/usr/aarch64-linux-gnu/lib/libc.so", "libc6-dev-arm64-cross", "cargo xtask cross"),
    tool("/usr/riscv64-linux-gnu/lib/libc.so", "libc6-dev-riscv64-cross", "cargo xtask cross"),
    tool("/usr/powerpc-linux-gnu/lib/libc.so", "libc6-dev-powerpc-cross", "cargo xtask cross"),
    tool("qemu-aarch64", "qemu-user", "cargo xtask cross"),
    tool("qemu-riscv64", "qemu-user", "cargo xtask cross"),
    tool("qemu-ppc", "qemu-user", "cargo xtask cross"),
    tool("/usr/bin/cargo", "cargo-web", "cargo xtask cross"),
    tool("/usr/bin/rustc", "rustc-web", "cargo xtask cross"),
    tool("/usr/lib/rustlib/src/rust/library", "rust-web-src", "cargo xtask cross"),
    tool("qemu-system-x86_64", "qemu-system-x86", "cargo xtask bare"),
    tool("chromium", "chromium", "crates/cli/tests: pages as a browser draws them"),
    tool("node", "nodejs", "crates/cli/tests: what drives the browser"),
    tool("npm", "npm", "crates/cli/tests: fetches what drives the browser"),
    tool("gdb", "gdb", "crates/cranelift/tests: backtraces of generated functions"),
    tool("pkg-config", "pkg-config", "crates/capi/tests"),
    tool("cmake", "cmake", "crates/capi/tests"),
    tool("valgrind", "valgrind", "cargo xtask bench --callgrind"),
];

impl Tool {
    /// The row of a program.
    #[must_use]
    pub fn named(file: &str) -> Option<&'static Tool> {
        TOOLS.iter().find(|tool| tool.file == file)
    }

    /// Whether the file is there, and for a name without a folder, in a folder of `PATH`.
    #[must_use]
    pub fn is_installed(&self) -> bool {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        // Joined to a path from the root, a folder is forgotten.
        Path::new(self.file).exists() || std::env::split_paths(&folders).any(|folder| folder.join(self.file).exists())
    }
}
