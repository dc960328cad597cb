//! Physical memory: frames of the machine's page size on nodes, with content.

use std::collections::HashMap;

use execmem_types::Trap;

use crate::buddy::{Buddy, Frame, MAX_ORDER};

/// What a frame holds.
#[derive(Debug)]
enum Content {
    /// A pattern, since nothing was written yet.
    Pattern(Trap),
    Bytes(Box<[u8]>),
}

/// Frames of all nodes. Node `n` has the frames from `n * per_node` on.
#[derive(Debug)]
pub(crate) struct Memory {
    frame_bytes: usize,
    nodes: Vec<Buddy>,
    per_node: u64,
    /// Content of frames that belong to mappings.
    contents: HashMap<Frame, Content>,
}

impl Memory {
    pub(crate) fn new(frame_bytes: u64, nodes: u64, per_node: u64) -> Self {
        let node = |node: u64| Buddy::new(node * per_node, (node + 1) * per_node, MAX_ORDER);
        Memory {
            frame_bytes: usize::try_from(frame_bytes).unwrap_or(usize::MAX),
            nodes: (0..nodes).map(node).collect(),
            per_node,
            contents: HashMap::new(),
        }
    }

    pub(crate) fn frame_bytes(&self) -> u64 {
        self.frame_bytes as u64
    }

    /// Frames that hold content.
    pub(crate) fn in_use(&self) -> u64 {
        self.contents.len() as u64
    }

    /// Number of frames.
    pub(crate) fn frames(&self) -> u64 {
        self.per_node * self.nodes.len() as u64
    }

    /// Frames that are free, on all nodes.
    pub(crate) fn free_frames(&self) -> u64 {
        self.nodes.iter().map(Buddy::free_frames).sum()
    }

    pub(crate) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The node of a frame.
    pub(crate) fn node_of(&self, frame: Frame) -> usize {
        usize::try_from(frame / self.per_node.max(1)).unwrap_or(0).min(self.nodes.len() - 1)
    }

    /// `count` frames in a row, a power of two, aligned to their number: on `node` if it has them, else on the next.
    pub(crate) fn take(&mut self, count: u64, node: usize) -> Option<Frame> {
        let nodes = self.nodes.len();
        (0..nodes).find_map(|step| self.nodes[(node + step) % nodes].take(count.ilog2()))
    }

    /// The same from one node only.
    pub(crate) fn take_on(&mut self, count: u64, node: usize) -> Option<Frame> {
        self.nodes.get_mut(node)?.take(count.ilog2())
    }

    /// Gives frames back.
    pub(crate) fn give_back(&mut self, first: Frame, count: u64) {
        let node = self.node_of(first);
        self.nodes[node].give(first, count.ilog2());
    }

    /// Fills frames with a pattern.
    pub(crate) fn fill(&mut self, first: Frame, count: u64, pattern: Trap) {
        for frame in first..first + count {
            self.contents.insert(frame, Content::Pattern(pattern));
        }
    }

    /// Forgets the content of frames.
    pub(crate) fn forget(&mut self, first: Frame, count: u64) {
        for frame in first..first + count {
            self.contents.remove(&frame);
        }
    }

    /// Copies bytes out of a frame.
    pub(crate) fn read(&self, frame: Frame, offset: usize, bytes: &mut [u8]) {
        match self.contents.get(&frame) {
            Some(Content::Bytes(content)) => bytes.copy_from_slice(&content[offset..offset + bytes.len()]),
            Some(Content::Pattern(pattern)) => pattern.fill(offset as u64, bytes),
            None => bytes.fill(0),
        }
    }

    /// Copies bytes into a frame.
    pub(crate) fn write(&mut self, frame: Frame, offset: usize, bytes: &[u8]) {
        let Some(content) = self.contents.get_mut(&frame) else { return };
        if let Content::Pattern(pattern) = content {
            let mut page = vec![0; self.frame_bytes].into_boxed_slice();
            pattern.fill(0, &mut page);
            *content = Content::Bytes(page);
        }
        if let Content::Bytes(content) = content {
            content[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// Moves the content of one frame to another.
    pub(crate) fn move_content(&mut self, from: Frame, to: Frame) {
        if let Some(content) = self.contents.remove(&from) {
            self.contents.insert(to, content);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_hold_a_pattern_until_they_are_written() {
        let mut memory = Memory::new(4096, 1, 1024);
        let frame = memory.take(2, 0).expect("room");
        memory.fill(frame, 2, Trap::word([1, 2, 3, 4]));
        memory.write(frame, 5, &[9]);
        let mut bytes = [0; 4];
        memory.read(frame, 3, &mut bytes);
        assert_eq!(bytes, [4, 1, 9, 3]);
        memory.move_content(frame, frame + 1);
        memory.read(frame + 1, 3, &mut bytes);
        assert_eq!((bytes, memory.in_use()), ([4, 1, 9, 3], 1));
    }

    #[test]
    fn a_full_node_borrows_from_the_next() {
        let mut memory = Memory::new(4096, 2, 512);
        assert_eq!(memory.take(512, 1), Some(512));
        assert_eq!(memory.take_on(512, 1), None);
        assert_eq!(memory.take(512, 1).map(|frame| memory.node_of(frame)), Some(0));
        assert_eq!(memory.free_frames(), 0);
        memory.give_back(512, 512);
        assert_eq!((memory.free_frames(), memory.frames()), (512, 1024));
    }
}
