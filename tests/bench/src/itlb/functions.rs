//! The functions: chains of jumps from the first byte to the last, so that all of one is executed.

use super::case::{Layout, Sizes};
use super::text::PAGE_BYTES;
use crate::random::{Random, SEED};

/// Functions start where lines of the instruction cache do.
const LINE_BYTES: usize = 64;
/// Distance of the links of a chain.
const LINK_BYTES: usize = 512;
/// The last link, from its start to the end of its function.
const TAIL_BYTES: usize = 16;

/// Functions, by index.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Functions {
    lens: Vec<usize>,
    /// Where each would lie in a page of its own: anywhere, so that they do not all share the sets of a cache.
    offsets_in_page: Vec<usize>,
}

impl Functions {
    /// As many as make `bytes` of text.
    pub(crate) fn new(sizes: Sizes, bytes: usize) -> Self {
        let mut random = Random::new(SEED);
        let (low, high) = sizes.lines();
        let mut functions = Functions { lens: Vec::new(), offsets_in_page: Vec::new() };
        let mut left = bytes;
        loop {
            let len = random.range(low, high + 1) * LINE_BYTES;
            if len > left {
                return functions;
            }
            left -= len;
            functions.lens.push(len);
            functions.offsets_in_page.push(random.below((PAGE_BYTES - len) / LINE_BYTES + 1) * LINE_BYTES);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lens.len()
    }

    /// Where they start in a layout.
    pub(crate) fn offsets(&self, layout: Layout) -> Vec<usize> {
        if layout.is_packed() {
            let place = |end: &mut usize, len: &usize| Some(std::mem::replace(end, *end + *len));
            return self.lens.iter().scan(0, place).collect();
        }
        let pages = (0..).step_by(PAGE_BYTES);
        self.offsets_in_page.iter().zip(pages).map(|(offset, page)| page + offset).collect()
    }

    /// Bytes from the start of the first to the end of the last.
    pub(crate) fn bytes(&self, layout: Layout) -> usize {
        if layout.is_packed() { self.lens.iter().sum() } else { self.lens.len() * PAGE_BYTES }
    }

    /// What a function is executed at: offsets of its links.
    pub(crate) fn links(&self, index: usize) -> impl Iterator<Item = usize> {
        let last = self.lens[index] - TAIL_BYTES;
        (0..last)
            .step_by(LINK_BYTES)
            .filter(move |link| *link == 0 || link + LINK_BYTES <= last + TAIL_BYTES)
            .chain([last])
    }

    /// What a function returns.
    pub(crate) fn result(&self, index: usize) -> u32 {
        word(index + self.links(index).count() - 1)
    }

    /// Writes a function: `mov eax, index`, then `add eax, 1` in every further link, `ret` in the last.
    pub(crate) fn write(&self, index: usize, code: &mut [u8]) {
        let links: Vec<_> = self.links(index).collect();
        for (number, &link) in links.iter().enumerate() {
            let (opcode, operand) = if number == 0 { (0xb8, word(index)) } else { (0x05, 1) };
            code[link] = opcode;
            code[link + 1..link + 5].copy_from_slice(&operand.to_le_bytes());
            match links.get(number + 1) {
                Some(next) => {
                    let distance = word(next - (link + 10));
                    code[link + 5] = 0xe9; // jmp
                    code[link + 6..link + 10].copy_from_slice(&distance.to_le_bytes());
                }
                None => code[link + 5] = 0xc3,
            }
        }
    }
}

/// An operand: there are far fewer functions than fit.
fn word(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_fill_what_they_shall_and_never_overlap() {
        for sizes in [Sizes::Small, Sizes::Large] {
            let functions = Functions::new(sizes, 1 << 20);
            let (low, high) = sizes.lines();
            assert!(functions.lens.iter().all(|len| (low * 64..=high * 64).contains(len)));
            for layout in Layout::ALL {
                let offsets = functions.offsets(layout);
                let ends: Vec<_> = offsets.iter().zip(&functions.lens).map(|(start, len)| start + len).collect();
                assert!(offsets[1..].iter().zip(&ends).all(|(next, end)| next >= end));
                assert!(*ends.last().expect("some") <= functions.bytes(layout));
            }
            assert!(functions.bytes(Layout::Packed) + high * 64 > 1 << 20);
        }
    }

    #[test]
    fn links_reach_from_the_first_byte_to_the_last_line() {
        let functions = Functions { lens: vec![64, 512, 1088, 4096], offsets_in_page: vec![0; 4] };
        let links = |index| functions.links(index).collect::<Vec<_>>();
        assert_eq!(links(0), [0, 48]);
        assert_eq!(links(1), [0, 496]);
        assert_eq!(links(2), [0, 512, 1072]);
        assert_eq!(links(3).len(), 9);
        assert_eq!(functions.result(3), 3 + 8);
    }
}
