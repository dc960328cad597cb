//! What a backend promises, and what it takes to check that.

use core::fmt;

/// A law of [`Backend`](execmem_types::Backend), by its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Law {
    /// What each method says of itself.
    Methods,
    /// Law 1.
    FailedCallsChangeNothing,
    /// Law 2.
    NeverWritableAndExecutable,
    /// Law 3.
    FreshMemoryHoldsThePattern,
    /// Law 4.
    NothingStale,
    /// Law 5.
    PokesReachExecution,
    /// Law 6.
    AccessesWaitForNothingSlow,
    /// Law 7.
    SlowCallsRunBesideEachOther,
    /// Law 8.
    RightsAreNamed,
    /// Law 9.
    TheCallerIsAsked,
}

impl Law {
    /// All of them, by number.
    pub const ALL: [Law; 10] = [
        Law::Methods,
        Law::FailedCallsChangeNothing,
        Law::NeverWritableAndExecutable,
        Law::FreshMemoryHoldsThePattern,
        Law::NothingStale,
        Law::PokesReachExecution,
        Law::AccessesWaitForNothingSlow,
        Law::SlowCallsRunBesideEachOther,
        Law::RightsAreNamed,
        Law::TheCallerIsAsked,
    ];

    /// Its number in the documentation of `Backend`. 0 for [`Law::Methods`].
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statement = match self {
            Law::Methods => return f.write_str("what the methods say"),
            Law::FailedCallsChangeNothing => "calls that fail change nothing",
            Law::NeverWritableAndExecutable => "nothing is writable and executable",
            Law::FreshMemoryHoldsThePattern => "fresh memory holds the pattern",
            Law::NothingStale => "nothing stale is left",
            Law::PokesReachExecution => "pokes keep rights and are executed",
            Law::AccessesWaitForNothingSlow => "accesses do not wait for slow calls",
            Law::SlowCallsRunBesideEachOther => "slow calls run beside each other",
            Law::RightsAreNamed => "rights are those that were named",
            Law::TheCallerIsAsked => "callers are refused everywhere or nowhere",
        };
        write!(f, "law {}, {statement}", self.number())
    }
}

/// What a check needs and a port may lack. A port [declares](crate::Port::lacks) what it lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// Every page size that the port names.
    LargePages,
    /// A [window](crate::Port::window) with room for pages of the largest size.
    Room,
    /// Memory that is written through another mapping: [`Access::Poke`](execmem_types::Access::Poke).
    Poke,
    /// [`Backend::collapse`](execmem_types::Backend::collapse).
    Collapse,
    /// [`Backend::adopt`](execmem_types::Backend::adopt), and [memory](crate::Probe::foreign) for it.
    Adopt,
    /// [Other addresses](crate::Probe::view) of the same memory.
    Views,
    /// A [count of frames](crate::Probe::frames).
    Frames,
    /// Frames that are [refused](crate::Probe::refuse_frame).
    Refusals,
    /// Frames that are [held back](crate::Probe::hold_frames).
    Holding,
    /// A [second processor](crate::Probe::together).
    SecondProcessor,
    /// A place where [`check_caller`](execmem_types::Backend::check_caller) [refuses](crate::Probe::where_refused).
    RefusedCaller,
}

impl Need {
    /// All of them.
    pub const ALL: [Need; 11] = [
        Need::LargePages,
        Need::Room,
        Need::Poke,
        Need::Collapse,
        Need::Adopt,
        Need::Views,
        Need::Frames,
        Need::Refusals,
        Need::Holding,
        Need::SecondProcessor,
        Need::RefusedCaller,
    ];
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Need::LargePages => "some page size is not available",
            Need::Room => "the window is too small",
            Need::Poke => "memory has no other mapping to write through",
            Need::Collapse => "small leaves do not become large ones",
            Need::Adopt => "no memory is there to be adopted",
            Need::Views => "the port names no other address of its memory",
            Need::Frames => "the port does not count frames",
            Need::Refusals => "the port does not refuse frames",
            Need::Holding => "the port does not hold frames back",
            Need::SecondProcessor => "the port has no second processor",
            Need::RefusedCaller => "no caller is refused",
        })
    }
}
