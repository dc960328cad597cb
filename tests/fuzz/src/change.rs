//! Ways to change an input of which nothing is known.

use crate::Random;

/// Changes some bytes; sometimes the length, or puts a part of another input there.
pub(crate) fn bytes(random: &mut Random, data: &mut Vec<u8>, other: &[u8], words: &[&[u8]]) {
    for _ in 0..=random.below(4) {
        once(random, data, other, words);
    }
}

fn once(random: &mut Random, data: &mut Vec<u8>, other: &[u8], words: &[&[u8]]) {
    let at = random.below(data.len());
    match random.below(12) {
        0 | 1 => with_byte(data, at, |byte| byte ^ 1 << (at % 8)),
        2 | 3 => {
            let new = random.next().to_le_bytes()[0];
            with_byte(data, at, |_| new);
        }
        4 | 5 => {
            let number = random.number().to_le_bytes();
            overwrite(data, at, &number[..1 << random.below(4)]);
        }
        6 => {
            let len = random.below(16).min(data.len() - at);
            data.drain(at..at + len);
        }
        7 => {
            let from = random.below(other.len());
            let len = random.below(64).min(other.len() - from);
            data.splice(at..at, other[from..from + len].iter().copied());
        }
        8 => {
            let from = random.below(other.len());
            overwrite(data, at, &other[from..(from + 1 + random.below(32)).min(other.len())]);
        }
        9 => {
            if let Some(word) = random.pick(words) {
                overwrite(data, at, word);
            }
        }
        10 => {
            if let Some(word) = random.pick(words) {
                data.splice(at..at, word.iter().copied());
            }
        }
        _ => data.truncate(if random.below(8) == 0 { at } else { data.len() }),
    }
}

fn with_byte(data: &mut [u8], at: usize, new: impl FnOnce(u8) -> u8) {
    if let Some(byte) = data.get_mut(at) {
        *byte = new(*byte);
    }
}

/// Overwrites as much as there is.
pub(crate) fn overwrite(data: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(rest) = data.get_mut(at..) {
        let len = rest.len().min(bytes.len());
        rest[..len].copy_from_slice(&bytes[..len]);
    }
}
