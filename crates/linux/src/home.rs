//! Which addresses a window gets: near its anchor if there is room, as long as the process may have it, at random.

use execmem_types::{Extent, Machine};
use rustix::io::Errno;

use crate::fork::Mark;
use crate::host::LARGE;
use crate::place::{self, Places};
use crate::random::Random;
use crate::view::View;
use crate::{Options, Place, SetupError, proc, program};

/// How often a random place within reach is tried before the list of all mappings is read.
const ATTEMPTS: usize = 16;

/// The shortest window that is near rather than longer and far (one that is full is worse than one that is far), and the
/// shortest at all.
const NEAR_LEAST_BYTES: u64 = 128 << 20;
const LEAST_BYTES: u64 = LARGE.bytes();

/// The addresses of a window.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) view: View,
    /// What the window was to be near to, and whether it is.
    pub(crate) anchor: Option<(Extent, bool)>,
    /// Why the window is shorter than it is by default.
    pub(crate) narrowed: Option<SetupError>,
}

/// What a search needs to know.
struct Search<'s> {
    machine: &'s Machine,
    random: &'s Random,
    mark: Mark,
}

/// Reserves the addresses of home, and says what they are near to.
pub(crate) fn find_home(options: &Options, machine: &Machine, random: &Random, mark: Mark) -> Result<Home, SetupError> {
    let search = Search { machine, random, mark };
    let anchor = match options.place {
        Place::Anywhere => None,
        Place::Near(anchor) => Some(anchor),
        Place::NearProgram => own_program(),
    };
    let Some(anchor) = anchor else {
        return search.longest(options.window_bytes, |bytes| search.anywhere(bytes));
    };
    let near = search.longest(options.window_bytes, |bytes| search.near(anchor, bytes));
    let far = |_| search.longest(options.window_bytes, |bytes| search.anywhere(bytes));
    match options.place {
        Place::NearProgram => near
            .map(|home| Home { anchor: Some((anchor, true)), ..home })
            .or_else(|error| far(error).map(|home| Home { anchor: Some((anchor, false)), ..home })),
        _ => near.map(|home| Home { anchor: Some((anchor, true)), ..home }),
    }
}

/// Half the reach of a direct call, so that the other half can hold whatever the window is near to.
fn default_bytes(machine: &Machine) -> u64 {
    // The reach is a unit short of a power of two in one direction.
    (place::forward(machine.reach()).next_power_of_two() / 2).clamp(LARGE.bytes(), 1 << 30)
}

/// The program or library this crate is linked into.
fn own_program() -> Option<Extent> {
    let here: fn() -> Option<Extent> = own_program;
    program::around(here as usize as u64)
}

impl Search<'_> {
    /// A window of so many bytes; by default the longest that can be had.
    fn longest(&self, wanted: Option<u64>, find: impl Fn(u64) -> Result<View, SetupError>) -> Result<Home, SetupError> {
        let home = |view, narrowed| Home { view, anchor: None, narrowed };
        if let Some(bytes) = wanted {
            return find(bytes).map(|view| home(view, None));
        }
        let mut bytes = default_bytes(self.machine);
        let first = match find(bytes) {
            Ok(view) => return Ok(home(view, None)),
            Err(error) => error,
        };
        // The process may have no more addresses: of the longest that it may have, half is left for writable views and
        // for whatever else it needs.
        let (least, share) = match first {
            SetupError::NoAddresses { .. } => (LEAST_BYTES, 2),
            _ => (NEAR_LEAST_BYTES.min(bytes), 1),
        };
        while bytes / 2 >= least {
            bytes /= 2;
            if let Ok(view) = find(bytes) {
                if share == 1 || bytes == LEAST_BYTES {
                    return Ok(home(view, Some(first)));
                }
                drop(view);
                return find(bytes / share).map(|view| home(view, Some(first)));
            }
        }
        Err(first)
    }

    fn anywhere(&self, bytes: u64) -> Result<View, SetupError> {
        let refused = |errno: Errno| SetupError::NoAddresses { bytes, errno: errno.raw_os_error() };
        let len = usize::try_from(bytes).map_err(|_| refused(Errno::OVERFLOW))?;
        View::somewhere(len, self.random, self.mark).map_err(refused)
    }

    /// Reserves addresses within reach of an anchor: at random first, and where there is hardly any room, in what is free
    /// according to the list of all mappings. The kernel refuses what is in use.
    fn near(&self, anchor: Extent, bytes: u64) -> Result<View, SetupError> {
        let full = SetupError::NoRoomNear { anchor, bytes };
        for places in place::within_reach(anchor, bytes, self.machine.reach()).into_iter().flatten() {
            for _ in 0..ATTEMPTS {
                if let Some(view) = self.at_one_of(places, bytes)? {
                    return Ok(view);
                }
            }
        }
        for _ in 0..ATTEMPTS {
            let Ok(mappings) = proc::mappings() else { break };
            let free = place::free_within_reach(&mappings, anchor, bytes, self.machine.reach());
            let count = free.len() as u64;
            let Some(chosen) = usize::try_from(self.random.below(count)).ok().and_then(|index| free.get(index)) else {
                break;
            };
            // Another thread may have been faster.
            if let Some(view) = self.at_one_of(*chosen, bytes)? {
                return Ok(view);
            }
        }
        Err(full)
    }

    /// Reserves addresses at one of some places, unless they are in use.
    fn at_one_of(&self, places: Places, bytes: u64) -> Result<Option<View>, SetupError> {
        let refused = |errno: Errno| SetupError::NoAddresses { bytes, errno: errno.raw_os_error() };
        let start = places.nth(self.random.below(places.count));
        let start = usize::try_from(start).map_err(|_| refused(Errno::OVERFLOW))?;
        let len = usize::try_from(bytes).map_err(|_| refused(Errno::OVERFLOW))?;
        match View::at(start, len, self.mark) {
            Ok(view) => Ok(Some(view)),
            Err(Errno::EXIST) => Ok(None),
            // Below `vm.mmap_min_addr`, say, which is no shortage.
            Err(Errno::PERM | Errno::INVAL) => Ok(None),
            Err(errno) => Err(refused(errno)),
        }
    }
}
