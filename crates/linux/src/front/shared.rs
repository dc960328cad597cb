//! The engine that everything in a process shares.

use execmem::Engine;
use once_cell::race::OnceBox;

use crate::per_process::PerProcess;
use crate::{Linux, Options, SetupError};

/// An engine, and what it was made with.
struct Shared {
    engine: Engine<Linux>,
    options: Options,
}

/// Made when it is first asked for. No lock: a thread that is making it while the process is forked does not exist in the
/// child.
static SHARED: OnceBox<PerProcess<Shared>> = OnceBox::new();

impl Shared {
    fn new(options: &Options) -> Result<Self, SetupError> {
        Ok(Shared { engine: Linux::engine(options)?, options: *options })
    }
}

impl Linux {
    /// An engine over memory of its own, for the kinds of Linux.
    ///
    /// # Errors
    ///
    /// What [`reserve`](Self::reserve) and [`table`](Self::table) say, [`SetupError::Engine`].
    pub fn engine(options: &Options) -> Result<Engine<Linux>, SetupError> {
        let linux = Linux::reserve(options)?;
        Ok(Engine::new(linux.table()?, linux)?)
    }
}

/// The engine of this process, made with [`Options::default`] unless [`shared_with`] was called before.
///
/// There is room for one window of 1 GiB near a program, or two: so libraries that make code should not each have one.
/// Whatever one caller knows of, such as allocations, handles and [`find`](Engine::find), works as in an engine of its own;
/// what all see is [`stats`](Engine::stats), and that one that calls [`shrink`](Engine::shrink) does it for all.
///
/// A forked child gets an engine of its own, with the same options, when it first asks; its parent's code can be called there.
///
/// All that is compiled into one program or library has the same engine. A library that is loaded into the process with a copy
/// of this crate of its own has another one, since types of Rust cannot cross: build it against `libexecmem_c.so`
/// (`execmem_shared`), which is loaded once.
///
/// ```
/// use execmem::kinds::Text;
///
/// let engine = execmem_linux::shared()?;
/// let draft = engine.alloc::<Text>(64)?;
/// assert!(std::ptr::eq(engine, execmem_linux::shared()?));
/// engine.free(draft)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// What [`Linux::reserve`] says, [`SetupError::Engine`]; the next call tries again.
pub fn shared() -> Result<&'static Engine<Linux>, SetupError> {
    shared_with(&Options::default())
}

/// The same, made with these options if it is not there yet: those of the first caller count. A program that wants others
/// than the default calls this before anything asks for the engine.
///
/// # Errors
///
/// As [`shared`].
pub fn shared_with(options: &Options) -> Result<&'static Engine<Linux>, SetupError> {
    let first = SHARED.get_or_try_init(|| {
        let made = PerProcess::new(Shared::new(options)?)?;
        Ok::<_, SetupError>(Box::new(made))
    })?;
    let own = first.get_or_make(|parent| Shared::new(&parent.options))?;
    Ok(&own.engine)
}
