//! apt with package lists of its own, so that it needs no rights, changes nothing of the system and can serve any
//! architecture.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail, ensure};

/// Where every release of Debian is, and the keys that sign them.
const ARCHIVE: &str = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian";

/// How the names of packages start that hold a kernel, and its modules where those are apart.
const IMAGE: &str = "linux-image-";
const MODULES: &str = "linux-modules-";

/// apt for one architecture.
#[derive(Debug)]
pub(crate) struct Apt {
    arch: String,
    options: Vec<String>,
}

/// A package at a version.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Archive {
    package: String,
    /// `PACKAGE_VERSION_ARCH.deb`.
    pub(crate) file: String,
}

impl Archive {
    /// `PACKAGE_VERSION`.
    pub(crate) fn stem(&self) -> &str {
        self.file.rsplit_once('_').map_or(&*self.file, |(stem, _)| stem)
    }
}

impl Apt {
    /// apt with its lists in a folder, for the releases that the system knows, or for one that is named.
    pub(crate) fn new(folder: &Path, arch: &str, suite: Option<&str>) -> Result<Self> {
        fs::create_dir_all(folder.join("lists/partial"))?;
        fs::create_dir_all(folder.join("cache/archives/partial"))?;
        let settings = [
            format!("APT::Architecture={arch}"),
            format!("APT::Architectures={arch}"),
            // As root, apt would download as a user that cannot write to the folder.
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            format!("Dir::State::lists={}/lists", folder.display()),
            format!("Dir::Cache={}/cache", folder.display()),
        ];
        let mut settings = Vec::from(settings);
        if let Some(suite) = suite {
            let sources = folder.join("sources.list");
            fs::write(&sources, format!("deb {ARCHIVE} {suite} main\n"))?;
            settings.push(format!("Dir::Etc::sourcelist={}", sources.display()));
            settings.push("Dir::Etc::sourceparts=-".to_owned());
        }
        let options = settings.into_iter().flat_map(|setting| ["-o".to_owned(), setting]).collect();
        Ok(Apt { arch: arch.to_owned(), options })
    }

    /// Fetches the package lists of the mirrors that the system names.
    pub(crate) fn update(&self) -> Result<()> {
        eprintln!("fetching package lists");
        let output = self.output("apt-get", &["-q", "update"], Path::new("."))?;
        ensure!(output.status.success(), "apt-get update failed:\n{}", stderr(&output));
        // One mirror of many may fail; what matters is whether the package is found afterwards.
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// The newest version of a package; by default, of the kernel the architecture usually gets. Where a kernel has its
    /// modules in a package of their own, as from Linux 7 on, of that one.
    pub(crate) fn find(&self, package: Option<&str>) -> Result<Archive> {
        let package = match package {
            Some(package) => package.to_owned(),
            None => self.dependency(&format!("linux-image-{}", self.arch), IMAGE)?,
        };
        let package = self.dependency(&package, MODULES).unwrap_or(package);
        let output = self.output("apt-get", &["download", "--print-uris", &package], Path::new("."))?;
        ensure!(output.status.success(), "{}\n{}", self.unknown(&package), stderr(&output));
        let listed = String::from_utf8_lossy(&output.stdout);
        let file = file_of(&listed).with_context(|| format!("apt-get names no file of {package}: {listed}"))?;
        Ok(Archive { package, file: file.to_owned() })
    }

    /// Downloads an archive into a folder.
    pub(crate) fn download(&self, archive: &Archive, folder: &Path) -> Result<()> {
        eprintln!("downloading {}", archive.file);
        let output = self.output("apt-get", &["-q", "download", &archive.package], folder)?;
        if !output.status.success() || !folder.join(&archive.file).exists() {
            bail!("cannot download {}; is the mirror reachable?\n{}", archive.file, stderr(&output));
        }
        Ok(())
    }

    /// The package that another depends on, by the start of its name.
    fn dependency(&self, package: &str, start: &str) -> Result<String> {
        let output = self.output("apt-cache", &["depends", package], Path::new("."))?;
        ensure!(output.status.success(), "{}\n{}", self.unknown(package), stderr(&output));
        let listed = String::from_utf8_lossy(&output.stdout);
        let found = dependency_of(&listed, start);
        Ok(found.with_context(|| format!("{package} depends on no {start}*; name a --package"))?.to_owned())
    }

    fn unknown(&self, package: &str) -> String {
        let arch = &self.arch;
        format!("apt knows no package {package} for {arch}; is a Debian mirror in apt's sources, and is it reachable?")
    }

    fn output(&self, program: &str, args: &[&str], folder: &Path) -> Result<Output> {
        let mut command = Command::new(program);
        command.args(&self.options).args(args).current_dir(folder).env("LC_ALL", "C");
        match command.output() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                bail!("{program} is not installed; packages are fetched on systems that have apt")
            }
            output => output.with_context(|| format!("starting {program}")),
        }
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim_end().to_owned()
}

/// The file in a line of `apt-get download --print-uris`: `'URI' FILE SIZE HASH`.
fn file_of(listed: &str) -> Option<&str> {
    let file = listed.lines().next_back()?.split(' ').nth(1)?;
    (file.ends_with(".deb") && !file.contains('/')).then_some(file)
}

/// The package with a name that starts so in the output of `apt-cache depends`.
fn dependency_of<'l>(listed: &'l str, start: &str) -> Option<&'l str> {
    let depends = listed.lines().filter_map(|line| line.trim_start().strip_prefix("Depends: "));
    depends.map(str::trim_end).find(|package| package.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_apt_prints() {
        let listed = "'http://deb.debian.org/debian/pool/l/x_2%3a1.0_amd64.deb' x_2%3a1.0_amd64.deb 12 SHA256:00\n";
        assert_eq!(file_of(listed), Some("x_2%3a1.0_amd64.deb"));
        assert_eq!(file_of(""), None);
        let archive = Archive { package: "x".to_owned(), file: "x_2%3a1.0_amd64.deb".to_owned() };
        assert_eq!(archive.stem(), "x_2%3a1.0");
        let depends = "linux-image-amd64\n  Depends: linux-base\n  Depends: linux-image-6.1.0-48-amd64\n";
        assert_eq!(dependency_of(depends, IMAGE), Some("linux-image-6.1.0-48-amd64"));
        assert_eq!((dependency_of(depends, MODULES), dependency_of("linux-image-amd64\n", IMAGE)), (None, None));
        let apart = "linux-image-7.2-amd64\n |Depends: dracut\n  Depends: linux-modules-7.2-amd64\n";
        assert_eq!(dependency_of(apart, MODULES), Some("linux-modules-7.2-amd64"));
    }
}
