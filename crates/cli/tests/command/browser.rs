//! A headless browser and what drives it. Where one of them is missing, a test is skipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use super::support::{argument, place, text};

const BROWSER: &str = "chromium";
/// What drives the browser, and the accessibility checker. Fetched when a test needs them: the checker's licence (MPL-2.0)
/// is another than this repository's.
const PACKAGES: [&str; 2] = ["playwright-core@1.65.1", "axe-core@4.14.1"];
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/command/page.mjs");

/// Looks at a page with everything that `page.mjs` does. Skips the test where the tools for that are missing.
pub(crate) fn look(page: &Path) -> Value {
    static MODULES: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    [BROWSER, "node", "npm"].iter().for_each(|name| skip::unless(skip::tool(name)));
    let modules = MODULES.get_or_init(modules);
    skip::unless(skip::condition(modules.is_ok(), modules.as_ref().err().map_or("", String::as_str)));
    let (browser, modules) = (path_of(BROWSER), modules.clone().unwrap_or_default());
    let pictures = page.with_extension("");
    let output = Command::new("node").arg(SCRIPT).args([&browser, &modules, page, &pictures]).output().expect("node");
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The folder of [`PACKAGES`], which are fetched unless they are there.
fn modules() -> Result<PathBuf, String> {
    let folder = place("npm");
    let is_there =
        |package: &str| folder.join("node_modules").join(package.split('@').next().unwrap_or(package)).exists();
    if !PACKAGES.into_iter().all(is_there) {
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        std::fs::write(folder.join("package.json"), "{\"private\": true}").map_err(|error| error.to_string())?;
        let install = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", &argument(&folder)];
        let output = Command::new("npm").args(install).args(PACKAGES).output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(format!("npm cannot fetch {}", PACKAGES.join(", ")));
        }
    }
    Ok(folder)
}

/// Where a program is that is installed.
fn path_of(program: &str) -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut paths = std::env::split_paths(&folders).map(|folder| folder.join(program));
    paths.find(|path| path.is_file()).unwrap_or_default()
}
