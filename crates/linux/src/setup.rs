//! How a window comes to be: which addresses, which memory, and what is tried if the system forbids the first.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use execmem_types::{Extent, Machine, Protection};
use rustix::io::Errno;

use crate::auxv::page_bytes;
use crate::file::{Guard, Guarded, memory_file, secret_file};
use crate::fork::{self, Mark};
use crate::home::find_home;
use crate::host::LARGE;
use crate::material::Means;
use crate::random::Random;
use crate::record::Record;
use crate::view::{Part, View};
use crate::window::Window;
use crate::{DataSource, Options, Publish, SetupError, limits, proc_mem};

/// The largest window: everything in it is within reach of everything else.
const WINDOW_MAX_BYTES: u64 = 2 << 30;

/// A window, and what became of the choices.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) window: Window,
    /// What the window was to be near to, and whether it is.
    pub(crate) anchor: Option<(Extent, bool)>,
    pub(crate) refusal: Option<SetupError>,
    pub(crate) narrowed: Option<SetupError>,
}

/// Reserves a window.
pub(crate) fn reserve(options: &Options, machine: &Machine) -> Result<Setup, SetupError> {
    if let Some(bytes) = options.window_bytes {
        check_size(bytes, machine)?;
    }
    let refused = |errno: Errno| SetupError::NoAddresses { bytes: 0, errno: errno.raw_os_error() };
    fork::register().map_err(refused)?;
    let mark = Mark::of_this_process().map_err(refused)?;
    let random = Random::new(options.seed);
    let found = find_home(options, machine, &random, mark)?;
    let home = found.view;
    let Found { means, has_kernel, refusal } = means(&home, options, mark, &random)?;
    let sink = means.guard.map(|_| sink(&random, mark)).transpose().map_err(refused)?;
    let extent = Extent::new(home.start() as u64, home.whole().len as u64);
    let record = extent.and_then(|extent| Record::new(extent, machine.page()));
    let record = record.ok_or_else(|| refused(Errno::NOMEM))?;
    let mut window = Window {
        home,
        record,
        mark,
        means,
        random,
        sink,
        maps_executable: AtomicBool::new(false),
        has_kernel_memory: AtomicBool::new(has_kernel),
        changing: Mutex::new(()),
    };
    window.means.hides_data = hides_data(&window, options.data)?;
    window.means.node = options.node.filter(|node| takes_node(&window, *node));
    Ok(Setup { window, anchor: found.anchor, refusal, narrowed: found.narrowed })
}

fn check_size(bytes: u64, machine: &Machine) -> Result<(), SetupError> {
    let multiple = LARGE.max(machine.page()).bytes();
    if bytes == 0 || bytes > WINDOW_MAX_BYTES || !bytes.is_multiple_of(multiple) {
        return Err(SetupError::BadWindow { bytes, multiple, limit: WINDOW_MAX_BYTES });
    }
    Ok(())
}

/// What there is for writable views without a file: shared memory that nothing else shows.
fn sink(random: &Random, mark: Mark) -> Result<View, Errno> {
    let len = usize::try_from(LARGE.bytes()).map_err(|_| Errno::OVERFLOW)?;
    let view = View::somewhere(len, random, mark)?;
    view.map_shared(view.whole(), Protection::NoAccess)?;
    view.keep_from_children(view.whole())?;
    view.set_dumped(view.whole(), false)?;
    let _ = view.unlock(view.whole());
    view.protect(view.whole(), Protection::ReadWrite)?;
    Ok(view)
}

/// What memory is made of here, and why it is not the best.
struct Found {
    means: Means,
    /// The kernel writes.
    has_kernel: bool,
    refusal: Option<SetupError>,
}

fn means(home: &View, options: &Options, mark: Mark, random: &Random) -> Result<Found, SetupError> {
    let none = Means {
        guard: None,
        may_fall_back: options.publish == Publish::Best,
        hides_data: false,
        hides_views: options.hides_views,
        uses_pool: false,
        starts_large: options.starts_large,
        node: None,
    };
    let uses_pool = options.uses_reserved_pages && limits::has_reserved_pages();
    let twice = || {
        let means = Means { guard: Some(probe_twice(home, mark, random)?), uses_pool, ..none };
        Ok(Found { means, has_kernel: false, refusal: None })
    };
    let kernel = || probe_kernel(home).map(|()| Found { means: none, has_kernel: true, refusal: None });
    let single = || probe_single(home).map(|()| Found { means: none, has_kernel: false, refusal: None });
    match options.publish {
        Publish::Poke => twice(),
        Publish::ProcMem => kernel(),
        Publish::Flip => single(),
        Publish::Best if options.is_debuggable => kernel().or_else(|_| single()),
        Publish::Best => twice().or_else(|refusal| match refusal {
            // No prohibition, and gone in a moment.
            SetupError::NoDescriptor => Err(refusal),
            _ => Ok(Found { refusal: Some(refusal), ..kernel().or_else(|_| single())? }),
        }),
    }
}

/// Makes sure that a memory file can be executable at home and not become writable there. Says how that is ensured.
fn probe_twice(home: &View, mark: Mark, random: &Random) -> Result<Guard, SetupError> {
    let block = usize::try_from(LARGE.bytes()).unwrap_or(usize::MAX);
    if let Some(limit) = limits::file_bytes().filter(|limit| *limit < block as u64) {
        return Err(SetupError::FileSizeLimit { limit, bytes: block as u64 });
    }
    let mut refusal = SetupError::NotGuarded { errno: 0 };
    for guard in Guard::ALL {
        match probe_guard(home, guard, mark, random) {
            Ok(()) => return Ok(guard),
            // Neither the guard nor anything else will help.
            Err(error @ (SetupError::NoMemoryFile { .. } | SetupError::NoDescriptor)) => return Err(error),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

/// The same for one guard.
fn probe_guard(home: &View, guard: Guard, mark: Mark, random: &Random) -> Result<(), SetupError> {
    let page = Part::new(0, page_bytes());
    let errno = |errno: Errno| errno.raw_os_error();
    let not_guarded = |refused| SetupError::NotGuarded { errno: errno(refused) };
    let not_executable = |refused| SetupError::NotExecutable { errno: errno(refused) };
    let _kept_away = fork::keep_away();
    let file = memory_file(page.len, false).map_err(|refused| match refused {
        Errno::MFILE | Errno::NFILE => SetupError::NoDescriptor,
        other => SetupError::NoMemoryFile { errno: errno(other) },
    })?;
    let file = Guarded::new(&file, guard).map_err(not_guarded)?;
    let tried = home.map_file(page, file.reader(), 0, Protection::NoAccess).and_then(|()| {
        let changed = home.protect(page, Protection::ReadExecute);
        // Where rights are not changed so, they may come with the mapping.
        changed.or_else(|errno| home.map_file(page, file.reader(), 0, Protection::ReadExecute).map_err(|_| errno))
    });
    home.reset(page).and(tried).map_err(not_executable)?;
    // Tried somewhere else, where there is nothing that a thread could execute.
    let view = View::somewhere(page.len, random, mark).map_err(not_guarded)?;
    view.map_file(view.whole(), file.reader(), 0, Protection::ReadOnly).map_err(not_guarded)?;
    let changed = view.protect(view.whole(), Protection::ReadWrite);
    if changed.is_err() { Ok(()) } else { Err(SetupError::NotGuarded { errno: 0 }) }
}

/// Makes sure that memory that was writable can become executable.
fn probe_single(home: &View) -> Result<(), SetupError> {
    let page = Part::new(0, page_bytes());
    let probed =
        home.map_private(page, Protection::ReadWrite).and_then(|()| home.protect(page, Protection::ReadExecute));
    let probed = probed.and(home.reset(page));
    probed.map_err(|errno| SetupError::NotExecutable { errno: errno.raw_os_error() })
}

/// Makes sure that the kernel writes to memory of home that can be executed and not written.
fn probe_kernel(home: &View) -> Result<(), SetupError> {
    probe_single(home)?;
    proc_mem::probe(home, Part::new(0, page_bytes())).map_err(|errno| match errno {
        Errno::MFILE | Errno::NFILE => SetupError::NoDescriptor,
        other => SetupError::NoProcMem { errno: other.raw_os_error() },
    })
}

/// Whether the kernel takes a hint for a NUMA node.
fn takes_node(window: &Window, node: u32) -> bool {
    let page = Part::new(0, page_bytes());
    window.home.prefer(page, node).is_ok() && window.home.reset(page).is_ok()
}

/// Whether data goes where the kernel has no mapping.
fn hides_data(window: &Window, source: DataSource) -> Result<bool, SetupError> {
    let probe = || {
        let _kept_away = fork::keep_away();
        let file = secret_file(page_bytes())?;
        let view = View::somewhere(page_bytes(), &window.random, window.mark)?;
        view.map_file(view.whole(), &file, 0, Protection::ReadWrite)
    };
    let refused = |errno: Errno| SetupError::NoSecretMemory { errno: errno.raw_os_error() };
    match source {
        DataSource::Ordinary => Ok(false),
        DataSource::Secret => probe().map(|()| true).map_err(refused),
        DataSource::SecretOrOrdinary => Ok(probe().is_ok()),
    }
}
