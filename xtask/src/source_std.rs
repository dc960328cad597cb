//! A compiler whose standard library is there as source: Debian's. What builds it can have another target, or other flags.

use skip::{Need, tool};

const CARGO: &str = "/usr/bin/cargo";
const RUSTC: &str = "/usr/bin/rustc";
const LIBRARY: &str = "/usr/lib/rustlib/src/rust/library";

/// Its cargo, which takes `-Zbuild-std` in [`ENVIRONMENT`].
pub(crate) const PROGRAM: &str = CARGO;

/// What it is called with. The option that builds the standard library is not stable.
pub(crate) const ENVIRONMENT: [(&str, &str); 2] = [("RUSTC", RUSTC), ("RUSTC_BOOTSTRAP", "1")];

/// What must be installed.
pub(crate) fn needs() -> [Need; 3] {
    [CARGO, RUSTC, LIBRARY].map(tool)
}
