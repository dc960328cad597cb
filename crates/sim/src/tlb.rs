//! Translation caches of the processors: instruction, data, and a second level, set-associative, least recently used.
//!
//! # Invariants (I6)
//!
//! No entry grants more than the page tables do once the operation that took rights away has returned.

use execmem_types::{PageSize, Protection};

/// One array of a translation cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlbArray {
    /// Number of entries: a multiple of `ways`.
    pub entries: u32,
    /// Entries an address can be in.
    pub ways: u32,
    /// Sizes of pages it holds.
    pub pages: Vec<PageSize>,
}

/// The translation caches of a processor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Processor {
    /// First level, for instructions.
    pub instruction: Vec<TlbArray>,
    /// First level, for loads and stores.
    pub data: Vec<TlbArray>,
    /// Second level, for both.
    pub second: Vec<TlbArray>,
}

/// What the translation caches counted. A miss is a walk of the page tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TlbCounts {
    /// Instruction fetches.
    pub fetches: u64,
    /// Of these, not found in the first level.
    pub fetch_first_misses: u64,
    /// Of these, found nowhere.
    pub fetch_misses: u64,
    /// Loads and stores.
    pub loads: u64,
    /// Of these, not found in the first level.
    pub load_first_misses: u64,
    /// Of these, found nowhere.
    pub load_misses: u64,
}

/// A translation: first address and size of the leaf, and its rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Translation {
    pub(crate) start: u64,
    pub(crate) size: PageSize,
    pub(crate) protection: Protection,
}

#[derive(Debug)]
struct Array {
    shape: TlbArray,
    /// Sets one after the other; in each, the most recently used entry first.
    sets: Vec<Vec<Translation>>,
}

impl Array {
    fn new(shape: &TlbArray) -> Self {
        let sets = (shape.entries / shape.ways.max(1)).max(1);
        Array { shape: shape.clone(), sets: vec![Vec::new(); usize::try_from(sets).unwrap_or(1)] }
    }

    /// The set of an address among pages of a size.
    fn set(&mut self, address: u64, size: PageSize) -> &mut Vec<Translation> {
        let sets = self.sets.len() as u64;
        let index = (address >> size.log2()) % sets;
        &mut self.sets[usize::try_from(index).unwrap_or(0)]
    }

    /// Looks an address up, whatever the size of its page.
    fn find(&mut self, address: u64) -> bool {
        (0..self.shape.pages.len()).any(|index| {
            let size = self.shape.pages[index];
            let set = self.set(address, size);
            let holds = |entry: &Translation| entry.size == size && (entry.start ^ address) >> size.log2() == 0;
            let place = set.iter().position(holds);
            if let Some(place) = place {
                set[..=place].rotate_right(1);
            }
            place.is_some()
        })
    }

    /// Keeps a translation, as a smaller page if the array has none that large.
    fn insert(&mut self, address: u64, leaf: Translation) {
        let Some(size) = self.shape.pages.iter().copied().filter(|size| *size <= leaf.size).max() else { return };
        let ways = usize::try_from(self.shape.ways).unwrap_or(1).max(1);
        let entry = Translation { start: size.round_down(address), size, ..leaf };
        let set = self.set(address, size);
        set.truncate(ways - 1);
        set.insert(0, entry);
    }
}

/// The caches of one processor.
#[derive(Debug)]
pub(crate) struct Tlb {
    instruction: Vec<Array>,
    data: Vec<Array>,
    second: Vec<Array>,
    pub(crate) counts: TlbCounts,
}

impl Tlb {
    pub(crate) fn new(processor: &Processor) -> Self {
        let arrays = |shapes: &[TlbArray]| shapes.iter().map(Array::new).collect();
        Tlb {
            instruction: arrays(&processor.instruction),
            data: arrays(&processor.data),
            second: arrays(&processor.second),
            counts: TlbCounts::default(),
        }
    }

    /// An instruction fetch at an address that `leaf` maps.
    pub(crate) fn fetch(&mut self, address: u64, leaf: Translation) {
        self.counts.fetches += 1;
        let (first, second) = Self::access(&mut self.instruction, &mut self.second, address, leaf);
        self.counts.fetch_first_misses += u64::from(first);
        self.counts.fetch_misses += u64::from(second);
    }

    /// A load or store at an address that `leaf` maps.
    pub(crate) fn load(&mut self, address: u64, leaf: Translation) {
        self.counts.loads += 1;
        let (first, second) = Self::access(&mut self.data, &mut self.second, address, leaf);
        self.counts.load_first_misses += u64::from(first);
        self.counts.load_misses += u64::from(second);
    }

    /// Whether the first level missed, and whether the second did too.
    fn access(first: &mut [Array], second: &mut [Array], address: u64, leaf: Translation) -> (bool, bool) {
        if first.iter_mut().any(|array| array.find(address)) {
            return (false, false);
        }
        let is_second = second.iter_mut().any(|array| array.find(address));
        fill(first, address, leaf);
        if !is_second {
            fill(second, address, leaf);
        }
        (true, !is_second)
    }

    /// Forgets everything.
    pub(crate) fn flush(&mut self) {
        for array in self.instruction.iter_mut().chain(&mut self.data).chain(&mut self.second) {
            array.sets.iter_mut().for_each(Vec::clear);
        }
    }

    /// Every translation that is held.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Translation> {
        let arrays = self.instruction.iter().chain(&self.data).chain(&self.second);
        arrays.flat_map(|array| array.sets.iter().flatten())
    }
}

/// Keeps a translation in the array for its size, or a part of it in the first that takes smaller pages.
fn fill(arrays: &mut [Array], address: u64, leaf: Translation) {
    let own = arrays.iter().position(|array| array.shape.pages.contains(&leaf.size));
    let place = own.or_else(|| arrays.iter().position(|array| array.shape.pages.iter().any(|size| *size < leaf.size)));
    if let Some(place) = place {
        arrays[place].insert(address, leaf);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(entries: u32, ways: u32, page: PageSize) -> TlbArray {
        TlbArray { entries, ways, pages: vec![page] }
    }

    fn leaf(address: u64, size: PageSize) -> Translation {
        Translation { start: size.round_down(address), size, protection: Protection::ReadExecute }
    }

    fn misses(processor: &Processor, size: PageSize, addresses: impl Iterator<Item = u64> + Clone) -> TlbCounts {
        let mut tlb = Tlb::new(processor);
        for address in addresses.clone().chain(addresses) {
            tlb.fetch(address, leaf(address, size));
        }
        tlb.counts
    }

    #[test]
    fn what_fits_misses_once_and_what_does_not_misses_always() {
        let small = PageSize::kib(4);
        let processor = Processor { instruction: vec![array(64, 64, small)], ..Processor::default() };
        let pages = |count: u64| (0..count).map(|page| page * 4096);
        assert_eq!(misses(&processor, small, pages(64)).fetch_misses, 64);
        assert_eq!(misses(&processor, small, pages(65)).fetch_misses, 130, "the oldest goes first");
        assert_eq!(misses(&processor, PageSize::mib(2), pages(64)).fetch_misses, 64, "a part of a large page");
    }

    #[test]
    fn ways_and_the_second_level_count() {
        let small = PageSize::kib(4);
        let one_set = || [0, 16, 32].into_iter().map(|page: u64| page * 4096);
        let mut processor = Processor { instruction: vec![array(32, 2, small)], ..Processor::default() };
        assert_eq!(misses(&processor, small, one_set()).fetch_misses, 6, "three pages, two ways");
        processor.second = vec![array(16, 4, small)];
        let counts = misses(&processor, small, one_set());
        assert_eq!((counts.fetch_first_misses, counts.fetch_misses), (6, 3));
    }

    #[test]
    fn large_pages_have_their_own_entries() {
        let (small, large) = (PageSize::kib(4), PageSize::mib(2));
        let processor = Processor { instruction: vec![array(8, 8, small), array(2, 2, large)], ..Processor::default() };
        let mut tlb = Tlb::new(&processor);
        for page in (0..1024).chain(0..1024) {
            tlb.fetch(page * 4096, leaf(page * 4096, large));
        }
        assert_eq!(tlb.counts.fetch_misses, 2);
        tlb.flush();
        assert_eq!(tlb.entries().count(), 0);
    }
}
