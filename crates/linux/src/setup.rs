//! How a window comes to be: which addresses, which memory, and what is tried if the system forbids the first.

use std::os::fd::OwnedFd;

use execmem_types::{Extent, Machine, Protection};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;

use crate::host::LARGE;
use crate::proc_mem::ProcMem;
use crate::view::{Origin, View, secret_file};
use crate::window::{Dual, Memory, Window};
use crate::{DataSource, Options, Place, Publish, SetupError, limits, place, proc};

/// The largest window: everything in it is within reach of everything else.
const WINDOW_MAX_BYTES: u64 = 2 << 30;

/// How often addresses are looked for again when another thread was faster.
const ATTEMPTS: usize = 16;

/// A window, and what became of the choices.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) window: Window,
    pub(crate) anchor: Option<Extent>,
    pub(crate) refusal: Option<SetupError>,
    pub(crate) node: Option<u32>,
}

/// Reserves a window.
pub(crate) fn reserve(options: &Options, machine: &Machine) -> Result<Setup, SetupError> {
    let bytes = options.window_bytes.unwrap_or_else(|| default_bytes(machine));
    check_size(bytes, machine)?;
    let (home, anchor) = find_home(options.place, bytes, machine)?;
    let (memory, refusal) = memory_of(&home, bytes, options)?;
    let mut window = Window::new(home, memory, machine.page());
    window.hides_data = hides_data(options.data)?;
    let node = options.node.filter(|node| prefer(&window, *node).is_ok());
    Ok(Setup { window, anchor, refusal, node })
}

/// What is behind the addresses of home, and why it is not the best there is.
fn memory_of(home: &View, bytes: u64, options: &Options) -> Result<(Memory, Option<SetupError>), SetupError> {
    let twice = || mapped_twice(home, bytes, options.uses_reserved_pages);
    let once = || probe_single(home).map(|()| Memory::Single);
    match options.publish {
        Publish::Poke => Ok((twice()?, None)),
        Publish::ProcMem => Ok((written_by_kernel(home)?, None)),
        Publish::Flip => Ok((once()?, None)),
        Publish::Best => match twice() {
            Ok(memory) => Ok((memory, None)),
            Err(refusal) => Ok((written_by_kernel(home).or_else(|_| once())?, Some(refusal))),
        },
    }
}

/// Whether data goes where the kernel has no mapping.
fn hides_data(source: DataSource) -> Result<bool, SetupError> {
    let probe = || {
        let len = rustix::param::page_size();
        View::anywhere(len)?.back(&secret_file(len)?, 0, len, Some(Protection::ReadWrite))
    };
    let refused = |errno: Errno| SetupError::NoSecretMemory { errno: errno.raw_os_error() };
    match source {
        DataSource::Ordinary => Ok(false),
        DataSource::Secret => probe().map(|()| true).map_err(refused),
        DataSource::SecretOrOrdinary => Ok(probe().is_ok()),
    }
}

/// Asks for memory of a NUMA node: for the file behind the window, or for the window itself.
fn prefer(window: &Window, node: u32) -> Result<(), Errno> {
    let view = window.dual().map_or(&window.home, |(_, alias)| alias);
    view.prefer(0, view.len(), node)
}

/// Half the reach of a direct call, so that the other half can hold whatever the window is near to.
fn default_bytes(machine: &Machine) -> u64 {
    // The reach is a unit short of a power of two in one direction.
    (place::forward(machine.reach).next_power_of_two() / 2).clamp(LARGE.bytes(), 1 << 30)
}

fn check_size(bytes: u64, machine: &Machine) -> Result<(), SetupError> {
    let multiple = LARGE.max(machine.page()).bytes();
    if bytes == 0 || bytes > WINDOW_MAX_BYTES || !bytes.is_multiple_of(multiple) {
        return Err(SetupError::BadWindow { bytes, multiple, limit: WINDOW_MAX_BYTES });
    }
    Ok(())
}

/// Reserves the addresses of home, and says what they are near to.
fn find_home(place: Place, bytes: u64, machine: &Machine) -> Result<(View, Option<Extent>), SetupError> {
    let refused = |errno: Errno| SetupError::NoAddresses { bytes, errno: errno.raw_os_error() };
    let len = usize::try_from(bytes).map_err(|_| refused(Errno::OVERFLOW))?;
    let anywhere = || View::anywhere(len).map(|view| (view, None)).map_err(refused);
    match place {
        Place::Anywhere => anywhere(),
        Place::Near(anchor) => near(anchor, len, machine).map(|view| (view, Some(anchor))),
        Place::NearProgram => match own_program().map(|anchor| (near(anchor, len, machine), anchor)) {
            Some((Ok(view), anchor)) => Ok((view, Some(anchor))),
            Some((Err(_), _)) | None => anywhere(),
        },
    }
}

/// The program this crate is linked into.
fn own_program() -> Option<Extent> {
    let here: fn(&Options, &Machine) -> Result<Setup, SetupError> = reserve;
    place::program(&proc::mappings().ok()?, here as usize as u64)
}

/// Reserves addresses near an anchor. The kernel refuses those that somebody else took since they were looked up.
fn near(anchor: Extent, len: usize, machine: &Machine) -> Result<View, SetupError> {
    let full = SetupError::NoRoomNear { anchor, bytes: len as u64 };
    for _ in 0..ATTEMPTS {
        let mappings = proc::mappings().map_err(|_| full)?;
        let mut was_overtaken = false;
        for start in place::candidates(&mappings, anchor, len as u64, machine.reach) {
            let Ok(start) = usize::try_from(start) else { continue };
            match View::at(start, len) {
                Ok(view) => return Ok(view),
                Err(errno) => was_overtaken |= errno == Errno::EXIST,
            }
        }
        if !was_overtaken {
            break;
        }
    }
    Err(full)
}

/// Creates the file and maps it twice. On failure the addresses of home are as they were: reserved.
fn mapped_twice(home: &View, bytes: u64, uses_reserved_pages: bool) -> Result<Memory, SetupError> {
    if let Some(limit) = limits::file_bytes().filter(|limit| *limit < bytes) {
        return Err(SetupError::FileSizeLimit { limit, bytes });
    }
    let refused = |errno: Errno| SetupError::NoAddresses { bytes, errno: errno.raw_os_error() };
    let file = memory_file(bytes, MemfdFlags::empty());
    let file = file.map_err(|errno| SetupError::NoMemoryFile { errno: errno.raw_os_error() })?;
    let origin = Origin::mark().map_err(refused)?;
    let mut alias = View::anywhere(home.len()).map_err(refused)?;
    alias.keep_from_children().map_err(refused)?;
    alias.back(&file, 0, alias.len(), Some(Protection::ReadWrite)).map_err(refused)?;
    home.back(&file, 0, home.len(), None).map_err(refused)?;
    let maps_executable = match probe_execution(home) {
        Ok(()) => false,
        Err(_) if probe_mapping(home, &file).is_ok() => true,
        Err(errno) => {
            home.reset(0, home.len()).map_err(refused)?;
            return Err(SetupError::NotExecutable { errno: errno.raw_os_error() });
        }
    };
    let wants_reserved = uses_reserved_pages && limits::has_reserved_pages();
    let reserved = wants_reserved.then(|| memory_file(bytes, MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB).ok());
    Ok(Memory::Dual(Box::new(Dual { file, reserved: reserved.flatten(), alias: Some(alias), origin, maps_executable })))
}

/// Makes sure that memory of home can be executable, once, before anybody relies on it.
fn probe_execution(home: &View) -> Result<(), Errno> {
    let page = rustix::param::page_size();
    home.protect(0, page, Protection::ReadExecute)?;
    home.protect(0, page, Protection::NoAccess)
}

/// The same for memory that is mapped executable from the start, which systems allow that refuse the other
/// (`PR_SET_MDWE`, PaX).
fn probe_mapping(home: &View, file: &OwnedFd) -> Result<(), Errno> {
    let page = rustix::param::page_size();
    home.back(file, 0, page, Some(Protection::ReadExecute))?;
    home.protect(0, page, Protection::NoAccess)
}

/// The same for memory that is writable before.
fn probe_single(home: &View) -> Result<(), SetupError> {
    let writable = home.protect(0, rustix::param::page_size(), Protection::ReadWrite);
    let probed = writable.and_then(|()| probe_execution(home));
    probed.map_err(|errno| SetupError::NotExecutable { errno: errno.raw_os_error() })
}

/// Makes sure that the kernel writes to memory of home that can be executed and not written.
fn written_by_kernel(home: &View) -> Result<Memory, SetupError> {
    probe_single(home)?;
    let page = rustix::param::page_size();
    let written = home.protect(0, page, Protection::ReadExecute).and_then(|()| {
        let kernel = ProcMem::open()?;
        kernel.write(home.start() as u64, &[0])?;
        home.forget(0, page)?;
        home.protect(0, page, Protection::NoAccess)?;
        Ok(kernel)
    });
    let kernel = written.map_err(|errno| SetupError::NoProcMem { errno: errno.raw_os_error() })?;
    Ok(Memory::Kernel(Box::new(kernel)))
}

/// A memory file of a size that nobody can change, not even this process.
fn memory_file(bytes: u64, more: MemfdFlags) -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | more;
    let create = |flags| rustix::fs::memfd_create("execmem", flags);
    // The file itself is never executed as a program, which is all this flag forbids; `vm.memfd_noexec` may insist on
    // it. Kernels before 6.3 lack it.
    let file = create(flags | MemfdFlags::NOEXEC_SEAL).or_else(|_| create(flags))?;
    rustix::fs::ftruncate(&file, bytes)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file)
}
