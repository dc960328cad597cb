//! What lay where, all through a run: leaves and parts, each with the first and last state it was in.
//!
//! A run has thousands of events; its states are those after some of them, at most [`STATES`] and every mark. Between two
//! states almost everything stays, so each leaf and part is noted once, with the states between which it was there.

use std::collections::{BTreeMap, HashMap};

use execmem::Kind;
use execmem_sim::policy::Policy;

/// The most states beside marks.
const STATES: usize = 400;

/// A moment of the run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct State {
    /// Loads and unloads so far.
    pub(crate) event: u64,
    /// When, if the run has times.
    pub(crate) seconds: Option<f64>,
    /// The mark it is, if it is one.
    pub(crate) mark: Option<&'static str>,
}

/// A large leaf, or small ones of the same rights in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Leaves {
    pub(crate) start: u64,
    pub(crate) len: u64,
    /// Bytes of one leaf.
    pub(crate) page: u64,
    pub(crate) rights: &'static str,
}

/// Something that was placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Part {
    pub(crate) start: u64,
    pub(crate) len: u64,
    pub(crate) kind: Kind,
    /// The number of the load.
    pub(crate) load: usize,
}

/// States `from` up to, and not including, `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life<T> {
    pub(crate) what: T,
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// A whole run of a policy.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    pub(crate) states: Vec<State>,
    pub(crate) leaves: Vec<Life<Leaves>>,
    pub(crate) parts: Vec<Life<Part>>,
}

impl Layout {
    /// The last state of a mark.
    pub(crate) fn state_of(&self, mark: &str) -> Option<usize> {
        self.states.iter().rposition(|state| state.mark == Some(mark))
    }

    /// The leaves of a state, in order of address.
    pub(crate) fn leaves_at(&self, state: usize) -> Vec<Leaves> {
        alive(&self.leaves, state)
    }

    /// The parts of a state, in order of address.
    pub(crate) fn parts_at(&self, state: usize) -> Vec<Part> {
        alive(&self.parts, state)
    }
}

fn alive<T: Copy + Ord>(lives: &[Life<T>], state: usize) -> Vec<T> {
    let mut found: Vec<_> =
        lives.iter().filter(|life| life.from <= state && state < life.to).map(|life| life.what).collect();
    found.sort_unstable();
    found
}

/// Notes the states of a run.
#[derive(Debug)]
pub(crate) struct Recorder {
    layout: Layout,
    leaves: BTreeMap<Leaves, usize>,
    parts: BTreeMap<Part, usize>,
    /// Events between two states.
    stride: u64,
}

impl Recorder {
    /// For a run of so many events.
    pub(crate) fn new(events: usize) -> Self {
        Recorder {
            layout: Layout::default(),
            leaves: BTreeMap::new(),
            parts: BTreeMap::new(),
            stride: events.div_ceil(STATES).max(1) as u64,
        }
    }

    /// Whether the state after an event is one to note.
    pub(crate) const fn wants(&self, event: u64) -> bool {
        event.is_multiple_of(self.stride)
    }

    /// Notes a state. `loads` are the numbers of the loads by the names that the policy knows them by.
    pub(crate) fn note(&mut self, policy: &dyn Policy, loads: &HashMap<u64, usize>, state: State) {
        let now = match self.layout.states.last_mut().filter(|last| last.event == state.event && state.event > 0) {
            Some(last) if last.mark.is_none() || state.mark.is_none() => {
                last.mark = last.mark.or(state.mark);
                self.layout.states.len() - 1
            }
            _ => {
                self.layout.states.push(state);
                self.layout.states.len() - 1
            }
        };
        change(&mut self.leaves, &mut self.layout.leaves, leaves(policy), now);
        let part = |part: execmem_sim::policy::Placed| Part {
            start: part.extent.start(),
            len: part.extent.len(),
            kind: part.kind,
            load: loads.get(&part.id).copied().unwrap_or(usize::MAX),
        };
        change(&mut self.parts, &mut self.layout.parts, policy.placed().into_iter().map(part).collect(), now);
    }

    /// The run, with everything that is still there ended.
    pub(crate) fn finish(mut self) -> Layout {
        let end = self.layout.states.len();
        change(&mut self.leaves, &mut self.layout.leaves, Vec::new(), end);
        change(&mut self.parts, &mut self.layout.parts, Vec::new(), end);
        self.layout.leaves.retain(|life| life.from < life.to);
        self.layout.parts.retain(|life| life.from < life.to);
        self.layout
    }
}

/// Ends what is not there any more, and begins what is new.
fn change<T: Copy + Ord>(known: &mut BTreeMap<T, usize>, ended: &mut Vec<Life<T>>, mut found: Vec<T>, now: usize) {
    found.sort_unstable();
    known.retain(|what, from| {
        let stays = found.binary_search(what).is_ok();
        if !stays {
            ended.push(Life { what: *what, from: *from, to: now });
        }
        stays
    });
    for what in found {
        known.entry(what).or_insert(now);
    }
}

/// The leaves of a policy. Small ones in a row with the same rights are one; large ones never are.
fn leaves(policy: &dyn Policy) -> Vec<Leaves> {
    let page = policy.sim().machine().page().bytes();
    let mut runs: Vec<Leaves> = Vec::new();
    for (leaf, protection) in policy.sim().leaf_extents() {
        let rights = name(protection);
        let touches = |run: &Leaves| u128::from(run.start) + u128::from(run.len) == u128::from(leaf.start());
        match runs
            .last_mut()
            .filter(|run| run.page == page && leaf.len() == page && run.rights == rights && touches(run))
        {
            Some(run) => run.len += leaf.len(),
            None => runs.push(Leaves { start: leaf.start(), len: leaf.len(), page: leaf.len(), rights }),
        }
    }
    runs
}

const fn name(protection: execmem::Protection) -> &'static str {
    match protection {
        execmem::Protection::NoAccess => "---",
        execmem::Protection::ReadOnly => "r--",
        execmem::Protection::ReadWrite => "rw-",
        execmem::Protection::ReadExecute => "r-x",
    }
}

/// Leaves that hold code, and leaves that hold anything else.
pub(crate) fn entries(policy: &dyn Policy) -> (u64, u64) {
    let page = policy.sim().machine().page().bytes();
    let leaves_of = |is_code: bool| {
        let mut leaves = std::collections::BTreeSet::new();
        for part in policy.placed().iter().filter(|part| part.kind.is_code() == is_code) {
            let mut address = part.extent.start();
            while let Some(leaf) = policy.sim().translate(address).filter(|_| address <= part.extent.last()) {
                leaves.insert(leaf.start);
                match leaf.start.checked_add(leaf.size.bytes().max(page)) {
                    Some(next) => address = next,
                    None => break,
                }
            }
        }
        leaves.len() as u64
    };
    (leaves_of(true), leaves_of(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_noted_once_and_what_changes_ends() {
        let (mut known, mut ended) = (BTreeMap::new(), Vec::new());
        change(&mut known, &mut ended, vec![1, 2], 0);
        change(&mut known, &mut ended, vec![3, 2], 1);
        change(&mut known, &mut ended, vec![], 2);
        let lives: Vec<_> = ended.iter().map(|life| (life.what, life.from, life.to)).collect();
        assert_eq!(lives, [(1, 0, 1), (2, 0, 2), (3, 1, 2)]);
        assert_eq!(alive(&ended, 1), [2, 3]);
    }
}
