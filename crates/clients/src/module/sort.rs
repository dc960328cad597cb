//! Sorting in place, by heap sort: a long list takes no more stack than a short one. What `core` has takes some kilobytes.

/// Sorts by a key. Items of one key end in any order.
pub(super) fn sort_by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    let is_less = |items: &[T], one: usize, other: usize| match (items.get(one), items.get(other)) {
        (Some(one), Some(other)) => key(one) < key(other),
        _ => false,
    };
    let len = items.len();
    for step in (0..len + len / 2).rev() {
        // First each subtree becomes a heap, then the largest item goes to the end of what is left.
        let (mut node, end) = if step >= len { (step - len, len) } else { (0, step) };
        if step < len {
            items.swap(0, step);
        }
        let heap = &mut items[..end];
        loop {
            let (left, right) = (2 * node + 1, 2 * node + 2);
            let larger = if is_less(heap, left, right) { right } else { left };
            if !is_less(heap, node, larger) {
                break;
            }
            heap.swap(node, larger);
            node = larger;
        }
    }
}

/// Sorts small items.
pub(super) fn sort<T: Ord + Copy>(items: &mut [T]) {
    sort_by_key(items, |item| *item);
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn lists_of_every_length_are_sorted() {
        let mut state = 7_u64;
        for len in 0..200 {
            let mut random = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state >> 58
            };
            let mut items: Vec<u64> = (0..len).map(|_| random()).collect();
            let mut expected = items.clone();
            expected.sort_unstable();
            sort(&mut items);
            assert_eq!(items, expected);
        }
    }
}
