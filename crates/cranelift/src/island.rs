//! Islands: a jump to anywhere with the address it jumps to beside it.
//!
//! One island serves as veneer of calls that do not reach, as entry of a global offset table (its address alone), and
//! as the permanent entry of a function that can be replaced.

use target_lexicon::Architecture;

/// How islands of a machine look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    code: &'static [u8],
}

/// `jmp [rip + 2]; ud2`, and the same behind a landing pad: `endbr64; jmp [rip + 6]; ud2; ud2; ud2`.
const X86_64: &[u8] = &[0xff, 0x25, 2, 0, 0, 0, 0x0f, 0x0b];
const X86_64_LANDING: &[u8] = &[0xf3, 0x0f, 0x1e, 0xfa, 0xff, 0x25, 6, 0, 0, 0, 0x0f, 0x0b, 0x0f, 0x0b, 0x0f, 0x0b];

/// Islands start at a multiple of this.
pub(crate) const ALIGNMENT: usize = 8;

impl Shape {
    /// The islands of a machine, if this crate knows it.
    pub(crate) fn of(architecture: Architecture) -> Option<Shape> {
        let code: &[u8] = match architecture {
            Architecture::X86_64 => X86_64,
            // bti jc; ldr x16, 12; br x16; nop: a landing pad, so that islands work where branches are guarded
            Architecture::Aarch64(_) => &[0xdf, 0x24, 3, 0xd5, 0x70, 0, 0, 0x58, 0, 2, 0x1f, 0xd6, 0x1f, 0x20, 3, 0xd5],
            // auipc t1, 0; ld t1, 16(t1); jr t1; nop
            Architecture::Riscv64(_) => &[0x17, 3, 0, 0, 3, 0x33, 3, 1, 0x67, 0, 3, 0, 0x13, 0, 0, 0],
            _ => return None,
        };
        Some(Shape { code })
    }

    /// The same with a landing pad for indirect branches, where it has none by itself.
    pub(crate) fn with_landing_pad(self) -> Shape {
        if self.code == X86_64 { Shape { code: X86_64_LANDING } } else { self }
    }

    /// Bytes of an island.
    pub(crate) const fn len(self) -> usize {
        self.code.len() + 8
    }

    /// Where in it the address stands.
    pub(crate) const fn address_offset(self) -> usize {
        self.code.len()
    }

    /// An island that jumps to an address.
    pub(crate) fn to(self, target: u64) -> Vec<u8> {
        [self.code, &target.to_le_bytes()].concat()
    }
}

/// The islands behind the code of one function.
#[derive(Debug)]
pub(crate) struct Islands {
    shape: Shape,
    /// Address of the first.
    start: u64,
    capacity: usize,
    targets: Vec<u64>,
}

impl Islands {
    /// No islands yet, and room for some.
    pub(crate) const fn new(shape: Shape, start: u64, capacity: usize) -> Self {
        Islands { shape, start, capacity, targets: Vec::new() }
    }

    /// The address of the island to a target. `None` if there is no room for another.
    pub(crate) fn at(&mut self, target: u64) -> Option<u64> {
        let index = match self.targets.iter().position(|known| *known == target) {
            Some(index) => index,
            None if self.targets.len() == self.capacity => return None,
            None => {
                self.targets.push(target);
                self.targets.len() - 1
            }
        };
        Some(self.start + (index * self.shape.len()) as u64)
    }

    /// The address of the word that holds a target.
    pub(crate) fn slot(&mut self, target: u64) -> Option<u64> {
        Some(self.at(target)? + self.shape.address_offset() as u64)
    }

    /// The bytes of all islands that are used.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.targets.iter().flat_map(|target| self.shape.to(*target)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn islands_are_shared_by_target_and_end() {
        let shape = Shape::of(Architecture::X86_64).expect("known");
        let mut islands = Islands::new(shape, 0x1000, 2);
        assert_eq!((islands.at(7), islands.at(8), islands.at(7)), (Some(0x1000), Some(0x1010), Some(0x1000)));
        assert_eq!((islands.at(9), islands.slot(8)), (None, Some(0x1018)));
        assert_eq!(islands.bytes(), [shape.to(7), shape.to(8)].concat());
        assert_eq!(shape.to(0x1234)[8..], [0x34, 0x12, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn every_shape_ends_with_an_aligned_address() {
        for name in ["x86_64", "aarch64", "riscv64gc"] {
            let shape = Shape::of(name.parse().expect("an architecture")).expect("known");
            for shape in [shape, shape.with_landing_pad()] {
                assert_eq!(shape.len() % ALIGNMENT, 0);
                assert_eq!(shape.address_offset() % ALIGNMENT, 0);
            }
        }
        let guarded = Shape::of(Architecture::X86_64).expect("known").with_landing_pad();
        assert_eq!(guarded.to(0)[..4], [0xf3, 0x0f, 0x1e, 0xfa], "endbr64");
        assert_eq!(Shape::of(Architecture::S390x), None);
    }
}
