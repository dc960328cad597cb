//! The rules a table must keep, each with its own error.

use core::fmt;

use crate::descriptor::{Descriptor, Fill, Growth, MAX_WINDOWS, Row, Seal, Unused};
use crate::message::Message;
use crate::{Class, Extent, KindFacts, KindName, Machine, PageSize, PowerOfTwo, Protection};

/// Most kinds of a set: what look-ups note of each, and kernels keep on their stacks.
pub const MAX_KINDS: usize = 32;

/// A rule that a table breaks, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableError {
    /// The machine of the table.
    pub machine: &'static str,
    /// The row; `None` if the set or the machine itself is wrong.
    pub row: Option<KindName>,
    /// The rule.
    pub rule: Rule,
}

impl TableError {
    /// The same in words, for constants too.
    pub(crate) const fn message(&self) -> Message {
        match self.row {
            Some(row) => Message::of(&["table of ", self.machine, ", row `", row.as_str(), "`: ", self.rule.text()]),
            None => Message::of(&["table of ", self.machine, ": ", self.rule.text()]),
        }
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message().text())
    }
}

impl core::error::Error for TableError {}

macro_rules! rules {
    ($($name:ident: $text:literal,)*) => {
        /// The rules.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Rule { $(#[doc = $text] $name,)* }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Rule] = &[$(Rule::$name,)*];

            /// The rule in words.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Rule::$name => $text,)* }
            }
        }
    };
}

rules! {
    SetHasKinds: "a set has 1 to 32 kinds, each with a name of its own",
    HasRow: "every kind has a row",
    MachineHasLeaves: "a machine has at least one leaf size, and they are listed smallest first",
    MachineShadowFits: "what a page of shadow describes fits an address",
    MachineAddressBits: "addresses are 32 or 64 bits wide",
    SharesOnce: "a row shares with a row of its own, not with one that shares",
    SharesNotExclusive: "a row cannot share with one that is exclusive",
    SharesLikeWithLike: "code shares with code, writable data with writable data, constants with constants",
    SharedAlignment: "a shared row's quantum divides its alignment and its alignment the blocks it shares",
    HasWindow: "a row has a window, and no gap before its last",
    WindowInAddressSpace: "a window lies inside the address width",
    WindowHoldsBlock: "the first window holds an aligned block of the last granularity",
    WindowInReach: "the near window of an anchored row is within branch reach of the anchor, both ways",
    HasGranularity: "a row has a granularity, and no gap before its last",
    GranularityIsLeaf: "every granularity is a leaf size of the machine",
    GranularityDescends: "granularities are listed largest first",
    QuantumDividesAlignment: "the quantum divides the alignment",
    QuantumDividesPage: "the quantum divides the last granularity",
    AlignmentDividesBlock: "the alignment divides the first granularity, or is that of shadow memory",
    ShadowIsWholePages: "blocks with shadow memory are multiples of what a page of shadow describes",
    FlipOwnsPages: "what flips or is sealed page by page has a quantum of whole blocks, or it would split them",
    CodeIsExecutable: "code is executable, and nothing else is",
    WritableStaysWritable: "writable data is read-write, and no other kind is",
    DirectIsWritable: "direct fill needs memory that is writable, for its life or until it is sealed",
    SealableIsSealed: "a sealable kind is sealed, and no other kind is",
    CodeTrapsWhenUnused: "unused executable memory traps, and no other memory does",
    TailHasTwoSizes: "growth by tail needs a large and a small granularity",
    SegmentIsOneRight: "where execution is a right of segments, code shares no segment with anything else",
    LeadIsAligned: "bytes before entry points are a multiple of 16, so that those stay aligned",
    LegacyIsLegacy: "writable and executable memory needs a legacy table",
}

/// Checks every rule on every row. A set of kinds is its facts here, so this is compiled once.
pub(crate) const fn check(
    machine: &Machine,
    rows: &[Option<Row>],
    facts: &'static [KindFacts],
    legacy: bool,
) -> Result<(), TableError> {
    if let Err(rule) = check_machine(machine) {
        return Err(TableError { machine: machine.name, row: None, rule });
    }
    if facts.is_empty() || facts.len() > MAX_KINDS || facts.len() != rows.len() {
        return Err(TableError { machine: machine.name, row: None, rule: Rule::SetHasKinds });
    }
    let mut index = 0;
    while index < rows.len() {
        let outcome = if is_named_before(facts, index) {
            Err(Rule::SetHasKinds)
        } else {
            match &rows[index] {
                None => Err(Rule::HasRow),
                Some(Row::Own(descriptor)) => check_descriptor(machine, facts[index].class, descriptor, legacy),
                Some(Row::Shares { with, alignment, quantum }) => {
                    check_sharing(machine, rows, facts, index, *with, [*alignment, *quantum])
                }
            }
        };
        if let Err(rule) = outcome {
            return Err(TableError { machine: machine.name, row: Some(KindName::of(&facts[index])), rule });
        }
        index += 1;
    }
    match check_segments(machine, rows, facts) {
        Ok(()) => Ok(()),
        Err((row, rule)) => Err(TableError { machine: machine.name, row: Some(row), rule }),
    }
}

/// Whether a kind before has the same name.
const fn is_named_before(facts: &[KindFacts], index: usize) -> bool {
    let mut other = 0;
    while other < index {
        if is_same(facts[other].name, facts[index].name) {
            return true;
        }
        other += 1;
    }
    false
}

/// Whether two texts are one: `==` for constants.
const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    index == one.len() && index == other.len()
}

/// Returns the rule from the enclosing function unless the condition holds.
macro_rules! require {
    ($condition:expr, $rule:ident) => {
        if !$condition {
            return Err(Rule::$rule);
        }
    };
}

const fn check_machine(machine: &Machine) -> Result<(), Rule> {
    require!(matches!(machine.address_bits(), 32 | 64), MachineAddressBits);
    let Some(page) = machine.leaves[0] else { return Err(Rule::MachineHasLeaves) };
    let mut index = 1;
    while index < machine.leaves.len() {
        require!(in_order(machine.leaves[index - 1], machine.leaves[index]), MachineHasLeaves);
        index += 1;
    }
    require!(page.log2() + (machine.limits.shadow_scale_log2 as u32) < machine.address_bits(), MachineShadowFits);
    Ok(())
}

/// Whether the second may follow the first in a list of rising sizes padded with `None`.
const fn in_order(first: Option<PageSize>, second: Option<PageSize>) -> bool {
    match (first, second) {
        (Some(first), Some(second)) => first.bytes() < second.bytes(),
        (_, None) => true,
        (None, Some(_)) => false,
    }
}

const fn check_sharing(
    machine: &Machine,
    rows: &[Option<Row>],
    facts: &[KindFacts],
    index: usize,
    with: u8,
    [alignment, quantum]: [PowerOfTwo; 2],
) -> Result<(), Rule> {
    require!((with as usize) < rows.len(), SharesOnce);
    let Some(Row::Own(other)) = &rows[with as usize] else { return Err(Rule::SharesOnce) };
    require!(!other.is_exclusive, SharesNotExclusive);
    let (own, class) = (facts[index].class, facts[with as usize].class);
    let is_alike = own.is(class) && !own.is(Class::SealedAfterInit);
    require!(is_alike || other.is_writable_and_executable, SharesLikeWithLike);
    let Some(first) = other.granularities[0] else { return Err(Rule::HasGranularity) };
    let fits = alignment.bytes() <= first.max(other.alignment).bytes();
    require!(quantum.bytes() <= alignment.bytes() && fits, SharedAlignment);
    check_shadow(machine, other, alignment)
}

/// Blocks are multiples of the last granularity, and of the alignment they are wanted with.
const fn check_shadow(machine: &Machine, d: &Descriptor, alignment: PowerOfTwo) -> Result<(), Rule> {
    let mut last = d.granularities[0];
    let mut index = 1;
    while index < d.granularities.len() {
        if d.granularities[index].is_some() {
            last = d.granularities[index];
        }
        index += 1;
    }
    let Some(last) = last else { return Err(Rule::HasGranularity) };
    require!(!d.is_shadowed || last.max(alignment).bytes() >= machine.shadow_unit().bytes(), ShadowIsWholePages);
    Ok(())
}

const fn check_descriptor(machine: &Machine, class: Class, d: &Descriptor, legacy: bool) -> Result<(), Rule> {
    require!(legacy || !d.is_writable_and_executable, LegacyIsLegacy);
    let (first, last) = match check_granularities(machine, d) {
        Ok(sizes) => sizes,
        Err(rule) => return Err(rule),
    };
    require!(d.quantum.bytes() <= d.alignment.bytes(), QuantumDividesAlignment);
    require!(d.quantum.bytes() <= last.bytes(), QuantumDividesPage);
    let largest = if d.is_shadowed { first.max(machine.shadow_unit()) } else { first };
    require!(d.alignment.bytes() <= largest.bytes(), AlignmentDividesBlock);
    if let Err(rule) = check_shadow(machine, d, d.alignment) {
        return Err(rule);
    }
    require!(d.lead.is_multiple_of(16), LeadIsAligned);
    let by_page = matches!(d.fill, Fill::Flip) || matches!(d.seal, Seal::Pages);
    require!(!by_page || d.quantum.bytes() >= first.bytes(), FlipOwnsPages);
    require!(!matches!(d.growth, Growth::Tail) || first.bytes() > last.bytes(), TailHasTwoSizes);
    if let Err(rule) = check_windows(machine, d, last) {
        return Err(rule);
    }
    check_rights(class, d)
}

/// Checks the list of granularities and returns its ends.
const fn check_granularities(machine: &Machine, d: &Descriptor) -> Result<(PageSize, PageSize), Rule> {
    let Some(first) = d.granularities[0] else { return Err(Rule::HasGranularity) };
    let mut last = first;
    let mut index = 0;
    while index < d.granularities.len() {
        if let Some(size) = d.granularities[index] {
            require!(is_leaf(machine, size), GranularityIsLeaf);
            require!(index == 0 || d.granularities[index - 1].is_some(), HasGranularity);
            require!(index == 0 || size.bytes() < last.bytes(), GranularityDescends);
            last = size;
        }
        index += 1;
    }
    Ok((first, last))
}

const fn is_leaf(machine: &Machine, size: PageSize) -> bool {
    let mut index = 0;
    while index < machine.leaves.len() {
        if let Some(leaf) = machine.leaves[index]
            && leaf.bytes() == size.bytes()
        {
            return true;
        }
        index += 1;
    }
    false
}

const fn check_windows(machine: &Machine, d: &Descriptor, page: PageSize) -> Result<(), Rule> {
    let Some(near) = d.windows[0] else { return Err(Rule::HasWindow) };
    let mut index = 0;
    while index < d.windows.len() {
        if let Some(window) = d.windows[index] {
            require!(index == 0 || d.windows[index - 1].is_some(), HasWindow);
            require!(window.last() <= machine.last_address(), WindowInAddressSpace);
        }
        index += 1;
    }
    require!(holds(near, page.max(d.alignment)), WindowHoldsBlock);
    if let (true, Some(anchor)) = (d.is_anchored, machine.anchor) {
        require!(machine.connects(anchor, near), WindowInReach);
    }
    Ok(())
}

/// Whether a window holds an aligned block of a size.
const fn holds(window: Extent, size: PageSize) -> bool {
    let Some(first) = size.round_up(window.start()) else { return false };
    first <= window.last() && window.last() - first >= size.bytes() - 1
}

/// The rights fit the class and the way content arrives. A row that is writable and executable keeps none of this.
const fn check_rights(class: Class, d: &Descriptor) -> Result<(), Rule> {
    if d.is_writable_and_executable {
        return Ok(());
    }
    let is_code = class.is(Class::Code);
    require!(is_code == d.protection.is_executable(), CodeIsExecutable);
    require!(class.is(Class::Data) == d.protection.is_writable(), WritableStaysWritable);
    require!(!matches!(d.protection, Protection::NoAccess), CodeIsExecutable);
    require!(class.is(Class::SealedAfterInit) != matches!(d.seal, Seal::Never), SealableIsSealed);
    require!(class.is_written_when_live() == matches!(d.fill, Fill::Direct), DirectIsWritable);
    require!(is_code == matches!(d.unused, Unused::Trap), CodeTrapsWhenUnused);
    Ok(())
}

/// Where execution is a right of whole segments, none holds windows of both code and something else.
const fn check_segments(machine: &Machine, rows: &[Option<Row>], facts: &[KindFacts]) -> Result<(), (KindName, Rule)> {
    let Some(segment) = machine.limits.executable_segment else { return Ok(()) };
    let mut index = 0;
    while index < rows.len() * rows.len() {
        let (code, other) = (index / rows.len(), index % rows.len());
        if facts[code].class.is(Class::Code)
            && !facts[other].class.is(Class::Code)
            && let (Some(Row::Own(a)), Some(Row::Own(b))) = (&rows[code], &rows[other])
            && share_segment(segment, &a.windows, &b.windows)
        {
            return Err((KindName::of(&facts[other]), Rule::SegmentIsOneRight));
        }
        index += 1;
    }
    Ok(())
}

/// Whether any window of one list lies in a segment of any of the other.
const fn share_segment(
    segment: PowerOfTwo,
    a: &[Option<Extent>; MAX_WINDOWS],
    b: &[Option<Extent>; MAX_WINDOWS],
) -> bool {
    let shift = segment.log2();
    let mut index = 0;
    while index < MAX_WINDOWS * MAX_WINDOWS {
        if let (Some(a), Some(b)) = (a[index / MAX_WINDOWS], b[index % MAX_WINDOWS])
            && a.start() >> shift <= b.last() >> shift
            && b.start() >> shift <= a.last() >> shift
        {
            return true;
        }
        index += 1;
    }
    false
}
