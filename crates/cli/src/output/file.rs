//! Files that the command writes: opened before the work, written after it.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::print;

/// A place for output. A file is opened at once, so that one that cannot be written is known before the work; what it
/// holds is replaced only when there is something to replace it with.
#[derive(Debug)]
pub(crate) struct OutputFile {
    path: PathBuf,
    /// `None`: standard output.
    file: Option<File>,
    /// Removed again if nothing is written.
    is_new: bool,
}

impl OutputFile {
    /// Opens a file; `-` is standard output.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(OutputFile { path: path.to_owned(), file: None, is_new: false });
        }
        let is_new = !path.exists();
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = file.with_context(|| format!("opening {} to write", path.display()))?;
        Ok(OutputFile { path: path.to_owned(), file: Some(file), is_new })
    }

    /// The same for an option that may be absent.
    pub(crate) fn open_if(path: Option<&PathBuf>) -> Result<Option<Self>> {
        path.map(|path| OutputFile::open(path)).transpose()
    }

    /// Whether it is standard output.
    pub(crate) const fn is_standard_output(&self) -> bool {
        self.file.is_none()
    }

    /// Replaces what the file holds.
    pub(crate) fn write(mut self, content: &[u8]) -> Result<()> {
        let Some(file) = &mut self.file else { return print(content) };
        let is_regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
        let cleared = if is_regular { file.set_len(0) } else { Ok(()) };
        let written = cleared.and_then(|()| file.write_all(content)).and_then(|()| file.flush());
        written.with_context(|| format!("writing {}", self.path.display()))?;
        self.is_new = false;
        Ok(())
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if self.is_new {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_content_until_there_is_new() {
        let path = std::env::temp_dir().join(format!("execmem-output-{}", std::process::id()));
        drop(OutputFile::open(&path).expect("a file"));
        assert!(!path.exists(), "nothing was written");
        std::fs::write(&path, "a longer text").expect("a file");
        drop(OutputFile::open(&path).expect("a file"));
        assert_eq!(std::fs::read_to_string(&path).expect("text"), "a longer text");
        OutputFile::open(&path).expect("a file").write(b"short").expect("room");
        assert_eq!(std::fs::read_to_string(&path).expect("text"), "short");
        std::fs::remove_file(&path).expect("it is there");
        let error = OutputFile::open(Path::new("/proc/version/x")).expect_err("no folder");
        assert!(format!("{error:#}").contains("opening /proc/version/x to write"), "{error:#}");
    }
}
