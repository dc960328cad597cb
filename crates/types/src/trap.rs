//! The bytes that stand where no code is.

/// A pattern of one to four bytes, repeated at its own alignment. For executable memory it is an instruction that traps;
/// for other memory it is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trap {
    bytes: [u8; 4],
    len: u8,
}

impl Trap {
    /// Zero bytes.
    pub const ZERO: Trap = Trap { bytes: [0; 4], len: 1 };

    /// A one-byte instruction.
    #[must_use]
    pub const fn byte(byte: u8) -> Self {
        Trap { bytes: [byte; 4], len: 1 }
    }

    /// A two-byte instruction in memory order.
    #[must_use]
    pub const fn half([a, b]: [u8; 2]) -> Self {
        Trap { bytes: [a, b, a, b], len: 2 }
    }

    /// A four-byte instruction in memory order.
    #[must_use]
    pub const fn word(bytes: [u8; 4]) -> Self {
        Trap { bytes, len: 4 }
    }

    /// Length of the pattern in bytes, which is what an instruction's address is a multiple of.
    #[must_use]
    pub const fn unit(&self) -> u64 {
        self.len as u64
    }

    /// The pattern in memory order.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&self.bytes)
    }

    /// The byte at an address.
    #[must_use]
    pub const fn at(&self, address: u64) -> u8 {
        self.bytes[(address % 4) as usize]
    }

    /// Four bytes from an address on, as they stand in memory.
    #[must_use]
    pub const fn phase(&self, address: u64) -> [u8; 4] {
        [
            self.at(address),
            self.at(address.wrapping_add(1)),
            self.at(address.wrapping_add(2)),
            self.at(address.wrapping_add(3)),
        ]
    }

    /// Writes the pattern over `bytes`, the first of which stands at `address`.
    pub fn fill(&self, address: u64, bytes: &mut [u8]) {
        if self.len == 1 {
            bytes.fill(self.bytes[0]);
            return;
        }
        let phase = self.phase(address);
        let mut words = bytes.chunks_exact_mut(4);
        for word in &mut words {
            word.copy_from_slice(&phase);
        }
        let rest = words.into_remainder();
        let len = rest.len();
        rest.copy_from_slice(&phase[..len]);
    }

    /// Whether `bytes`, the first of which stands at `address`, are the pattern.
    #[must_use]
    pub fn matches(&self, address: u64, bytes: &[u8]) -> bool {
        let phase = self.phase(address);
        bytes.chunks(4).all(|word| word == &phase[..word.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fill_keeps_the_phase_at_any_address() {
        for trap in [Trap::byte(0xcc), Trap::half([1, 2]), Trap::word([1, 2, 3, 4]), Trap::ZERO] {
            for start in 0x1000..0x1008_u64 {
                for len in 0..11 {
                    let mut bytes = [9; 11];
                    trap.fill(start, &mut bytes[..len]);
                    assert!(trap.matches(start, &bytes[..len]));
                    let pattern = trap.bytes();
                    let want = |i: usize| pattern[(usize::try_from(start).expect("small") + i) % pattern.len()];
                    assert!((0..len).all(|i| bytes[i] == want(i)), "{trap:?} {start:#x} {bytes:?}");
                    assert!(bytes[len..].iter().all(|&byte| byte == 9));
                }
            }
        }
    }
}
