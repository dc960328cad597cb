//! The workspace as rules see it: everything is read and parsed once.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use cargo_metadata::{DependencyKind, MetadataCommand};
use proc_macro2::TokenStream;

use super::tokens::{self, Token};
use crate::workspace;

/// Files that are not Rust and that rules read.
const TEXTS: [&str; 2] = ["ARCHITECTURE.md", "README.md"];

/// The workspace.
#[derive(Default)]
pub(super) struct Tree {
    pub(super) sources: Vec<Source>,
    pub(super) packages: Vec<Package>,
    /// Names of the files of facts, one an architecture.
    pub(super) architectures: Vec<String>,
    texts: BTreeMap<String, String>,
}

/// A file of Rust.
pub(super) struct Source {
    /// From the top of the workspace, with `/`.
    pub(super) path: String,
    pub(super) text: String,
    pub(super) tokens: Vec<Token>,
    pub(super) syntax: syn::File,
}

/// A package of the workspace.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    /// Its manifest, from the top of the workspace.
    pub(super) manifest: String,
    /// The other packages of the workspace it depends on normally, and the lines that say so.
    pub(super) uses: Vec<(String, usize)>,
}

impl Tree {
    /// Reads the workspace this program was built in.
    pub(super) fn load() -> Result<Self> {
        let root = workspace::root();
        let mut tree = Tree { packages: packages(&root)?, ..Tree::default() };
        for file in workspace::files(&root.join("configs/arch"), "toml")? {
            tree.architectures.extend(file.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
        }
        for file in workspace::files(&root, "rs")? {
            let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
            tree.sources.push(Source::parse(&relative(&root, &file)?, text)?);
        }
        for path in TEXTS {
            if let Ok(text) = std::fs::read_to_string(root.join(path)) {
                tree.texts.insert(path.to_owned(), text);
            }
        }
        Ok(tree)
    }

    /// One of the files that are not Rust, unless it is missing.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// A workspace of a few files.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Tree { architectures: vec!["powerpc-8xx".to_owned(), "alpha".to_owned()], ..Tree::default() };
        for (path, text) in files {
            if path.ends_with(".rs") {
                tree.sources.push(Source::parse(path, (*text).to_owned()).expect("Rust"));
            } else {
                tree.texts.insert((*path).to_owned(), (*text).to_owned());
            }
        }
        tree
    }
}

impl Source {
    fn parse(path: &str, text: String) -> Result<Self> {
        let lexed: TokenStream =
            text.parse().map_err(|error: proc_macro2::LexError| at(path, error.span().start().line, &error))?;
        let syntax = syn::parse2(lexed.clone()).map_err(|error| at(path, error.span().start().line, &error))?;
        Ok(Source { path: path.to_owned(), text, tokens: tokens::flatten(lexed), syntax })
    }

    /// The name of the file without folders.
    pub(super) fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

fn at(path: &str, line: usize, error: &dyn std::error::Error) -> anyhow::Error {
    anyhow!("{path}:{line}: not Rust: {error}")
}

fn relative(root: &Path, path: &Path) -> Result<String> {
    let parts = path.strip_prefix(root)?.iter().map(|part| part.to_str().context("a path that is not UTF-8"));
    Ok(parts.collect::<Result<Vec<_>>>()?.join("/"))
}

fn packages(root: &Path) -> Result<Vec<Package>> {
    let metadata =
        MetadataCommand::new().current_dir(root).no_deps().exec().context("asking cargo for the packages")?;
    let names: Vec<_> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    let packages = metadata.packages.iter().map(|package| {
        let manifest = std::fs::read_to_string(&package.manifest_path)?;
        let normal = package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
        let inside = normal.map(|dependency| dependency.name.as_str()).filter(|name| names.contains(name));
        Ok(Package {
            name: package.name.to_string(),
            manifest: relative(root, package.manifest_path.as_std_path())?,
            uses: inside.map(|name| (name.to_owned(), line_of(&manifest, name))).collect(),
        })
    });
    packages.collect()
}

/// The line of a manifest that names a dependency.
fn line_of(manifest: &str, name: &str) -> usize {
    let names = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '.', '=']));
    manifest.lines().position(names).map_or(1, |index| index + 1)
}
