//! Physical memory: frames of the machine's page size, with content.

use std::collections::BTreeMap;

use execmem_types::Trap;

/// Number of a frame.
pub(crate) type Frame = u64;

/// Frames that are in use, and runs that are not.
#[derive(Debug)]
pub(crate) struct Memory {
    frame_bytes: usize,
    /// Content of frames in use.
    contents: BTreeMap<Frame, Box<[u8]>>,
    /// Free runs below `next`, by start: length.
    free: BTreeMap<Frame, u64>,
    /// First frame never used.
    next: Frame,
    /// Frames there are.
    limit: Frame,
}

impl Memory {
    pub(crate) fn new(frame_bytes: u64, limit: Frame) -> Self {
        Memory {
            frame_bytes: usize::try_from(frame_bytes).unwrap_or(usize::MAX),
            contents: BTreeMap::new(),
            free: BTreeMap::new(),
            next: 0,
            limit,
        }
    }

    pub(crate) fn frame_bytes(&self) -> u64 {
        self.frame_bytes as u64
    }

    /// Frames in use.
    pub(crate) fn in_use(&self) -> u64 {
        self.contents.len() as u64
    }

    /// `count` frames in a row, starting at a multiple of `count`, filled with a pattern.
    pub(crate) fn take(&mut self, count: u64, pattern: Trap) -> Option<Frame> {
        let first = self.find(count)?;
        let mut page = vec![0; self.frame_bytes];
        pattern.fill(0, &mut page);
        for frame in first..first + count {
            self.contents.insert(frame, page.clone().into_boxed_slice());
        }
        Some(first)
    }

    fn find(&mut self, count: u64) -> Option<Frame> {
        let fits = |(&start, &len): (&Frame, &u64)| {
            let aligned = start.next_multiple_of(count);
            (aligned + count <= start + len).then_some((start, len, aligned))
        };
        if let Some((start, len, aligned)) = self.free.iter().find_map(fits) {
            self.free.remove(&start);
            self.add_free(start, aligned - start);
            self.add_free(aligned + count, start + len - aligned - count);
            return Some(aligned);
        }
        let first = self.next.next_multiple_of(count);
        if first + count > self.limit {
            return None;
        }
        self.add_free(self.next, first - self.next);
        self.next = first + count;
        Some(first)
    }

    fn add_free(&mut self, start: Frame, len: u64) {
        if len > 0 {
            self.free.insert(start, len);
        }
    }

    /// Gives frames back and merges them with free neighbours.
    pub(crate) fn give_back(&mut self, first: Frame, count: u64) {
        for frame in first..first + count {
            self.contents.remove(&frame);
        }
        let (mut start, mut len) = (first, count);
        if let Some((&before, &before_len)) = self.free.range(..start).next_back()
            && before + before_len == start
        {
            self.free.remove(&before);
            (start, len) = (before, before_len + len);
        }
        if let Some(after_len) = self.free.remove(&(start + len)) {
            len += after_len;
        }
        self.add_free(start, len);
    }

    /// Bytes of a frame.
    pub(crate) fn bytes(&self, frame: Frame) -> &[u8] {
        self.contents.get(&frame).map_or(&[], |content| content)
    }

    /// Bytes of a frame, to be changed.
    pub(crate) fn bytes_mut(&mut self, frame: Frame) -> &mut [u8] {
        self.contents.get_mut(&frame).map_or(&mut [], |content| content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_as_one_run() {
        let mut memory = Memory::new(4096, 1024);
        let small = memory.take(1, Trap::byte(0xcc)).expect("room");
        let large = memory.take(512, Trap::ZERO).expect("room");
        assert_eq!((small, large % 512, memory.in_use()), (0, 0, 513));
        assert!(memory.take(512, Trap::ZERO).is_none(), "the rest is not aligned");
        assert_eq!(memory.bytes(small)[7], 0xcc);
        memory.give_back(small, 1);
        memory.give_back(large, 512);
        assert_eq!(memory.free.iter().collect::<Vec<_>>(), [(&0, &1024)]);
        assert!(memory.take(512, Trap::ZERO).is_some());
    }
}
