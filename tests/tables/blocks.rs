//! An engine on a small copy of a table's windows, with a record of its blocks.

use execmem::{Draft, Error, Extent, Kind, Table};
use execmem_tests::recorder::{Call, Recorded};
use execmem_types::Placement;

use super::oracle::{Block, Oracle, Verdict};

/// Windows are cut to this many large blocks.
const BLOCKS: u64 = 3;

/// A table with windows of a few blocks, which begin and end off the blocks, and all rows placed from one end.
pub(crate) fn scaled(table: &Table, placement: Placement) -> Table {
    let largest = Kind::ALL.into_iter().filter_map(|kind| table.descriptor(kind).granularities().next()).max();
    let block = largest.expect("a granularity").bytes();
    let page = table.machine().page().bytes();
    let cut = |window: Extent| {
        let start = window.start() + page * 3;
        let whole = Extent::between(start, window.end()).expect("more than three pages");
        Extent::new(start, (BLOCKS * block + 5 * page).min(whole.len())).expect("some blocks")
    };
    let adjusted = table.adjusted(|plan| {
        for (_, own) in plan.owns_mut() {
            own.placement = placement;
            let near = own.windows[0].expect("a window");
            own.windows = own.windows.map(|window| {
                let window = window?;
                if window == near || !window.overlaps(near) {
                    return Some(cut(window));
                }
                // A window around the near one stays around it.
                let start = cut(near).start().saturating_sub(2 * block).max(window.start());
                let end = (cut(near).end() + u128::from(page)).min(window.end());
                Extent::between(start, end)
            });
        }
    });
    adjusted.expect("every rule")
}

/// An engine, what is allocated from it, and the blocks it has.
#[derive(Debug)]
pub(crate) struct Small {
    pub(crate) engine: Recorded,
    pub(crate) blocks: Vec<Block>,
    pub(crate) held: Vec<Draft>,
}

impl Small {
    pub(crate) fn new(table: Table) -> Self {
        let engine = Recorded::new(table);
        Small { engine, blocks: Vec::new(), held: Vec::new() }
    }

    /// Allocates, and compares what happens with the verdict of the oracle.
    pub(crate) fn alloc(&mut self, kind: Kind, len: u64) -> Result<Option<Extent>, String> {
        let live: Vec<_> = self.held.iter().map(|draft| (draft.kind(), draft.extent())).collect();
        let table = *self.engine.table();
        let oracle = Oracle { table: &table, blocks: &self.blocks, live: &live };
        let verdict = oracle.judge(kind, len);
        let outcome = self.engine.alloc_kind(kind, len);
        let mapped = self.follow(table.home(kind));
        let oracle = Oracle { table: &table, blocks: &self.blocks, live: &live };
        let draft = match outcome {
            Ok(draft) => draft,
            Err(Error::Exhausted { .. } | Error::TooLarge { .. }) => {
                let is_right = matches!(verdict, Verdict::Full | Verdict::Tail);
                return if is_right { Ok(None) } else { Err(format!("{kind}, {len:#x}: refused; {verdict:x?}")) };
            }
            Err(error) => return Err(error.to_string()),
        };
        let extent = draft.extent();
        self.held.push(draft);
        let complain = |why: &str| Err(format!("{kind}, {len:#x}: {extent} {why}; {verdict:x?}, mapped {mapped:x?}"));
        if live.iter().any(|(_, other)| other.overlaps(extent)) {
            return complain("is live already");
        }
        if !extent.start().is_multiple_of(table.alignment(kind).bytes()) {
            return complain("is not aligned");
        }
        let Some(window) = oracle.window_of(kind, extent) else { return complain("is in no window") };
        let is_right = match verdict {
            // Where windows overlap, a place in a block that lies across the end of the nearer one may be in that.
            Verdict::Hole { window: want } => mapped.is_empty() && window <= want,
            Verdict::Grow { window: want, extent: block, .. } => {
                joined(&mapped) == Some(block) && block.overlaps(extent) && window <= want
            }
            Verdict::Tail => true,
            Verdict::Full => false,
        };
        if is_right { Ok(Some(extent)) } else { complain("is the wrong place") }
    }

    /// Frees one of what is held.
    pub(crate) fn free(&mut self, index: usize) {
        let draft = self.held.swap_remove(index);
        let home = self.engine.table().home(draft.kind());
        self.engine.free(draft).expect("ours");
        self.follow(home);
    }

    /// Frees everything and checks that nothing is left.
    pub(crate) fn clear(mut self) -> Result<(), String> {
        while !self.held.is_empty() {
            self.free(0);
        }
        self.engine.audit_unused().map_err(|error| error.to_string())?;
        self.engine.shrink();
        self.follow(Kind::Text);
        self.engine.audit().map_err(|error| error.to_string())?;
        if self.blocks.is_empty() { Ok(()) } else { Err(format!("{:x?} stay mapped", self.blocks)) }
    }

    /// Learns which blocks came and went since the last time. Returns those that came.
    fn follow(&mut self, home: Kind) -> Vec<Extent> {
        let mut came = Vec::new();
        for call in self.engine.recording.take() {
            match call {
                Call::Map(extent, _) => {
                    assert!(
                        !self.blocks.iter().any(|block| block.extent.overlaps(extent)),
                        "{extent} is a block already"
                    );
                    self.blocks.push(Block { home, extent });
                    came.push(extent);
                }
                Call::Unmap(extent) => self.blocks.retain(|block| !extent.covers(block.extent)),
                _ => {}
            }
        }
        came
    }
}

/// Extents next to each other, as one.
fn joined(extents: &[Extent]) -> Option<Extent> {
    let mut whole = *extents.first()?;
    for extent in &extents[1..] {
        whole = Extent::between(whole.start(), extent.end()).filter(|_| whole.end() == u128::from(extent.start()))?;
    }
    Some(whole)
}
