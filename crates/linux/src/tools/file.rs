//! Files at names that everybody can foresee, in folders where everybody may make some.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Opens a file for reading and appending that this process makes, or that a process of the same user made before it.
///
/// # Errors
///
/// [`io::ErrorKind::PermissionDenied`] if the name is that of a link, of a file that another user has or that has another
/// name too, or of something that is no file; nothing is waited for, and nothing changed. What the system says.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let common = OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let create = rustix::fs::open(path, common | OFlags::CREATE | OFlags::EXCL, Mode::RUSR | Mode::WUSR);
    if let Ok(file) = create {
        return Ok(File::from(file));
    }
    let file = match rustix::fs::open(path, common, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::LOOP) => return Err(refused("it is a link")),
        Err(errno) => return Err(errno.into()),
    };
    let facts = file.metadata()?;
    let own = rustix::process::geteuid().as_raw();
    match (facts.is_file(), facts.uid() == own, facts.nlink()) {
        (false, ..) => Err(refused("it is no file")),
        (_, false, _) => Err(refused("another user has it")),
        (true, true, 1) => Ok(file),
        _ => Err(refused("it has other names too, or none")),
    }
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}
