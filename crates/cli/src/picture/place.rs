//! Where leaves and gaps stand in a picture: in rows, at one scale.

use crate::compare::layout::Leaves;

/// Bytes of a row.
const ROW_BYTES: f64 = 16777216.0;
/// What is unused and as long as this, or longer, is a mark of one width instead of being drawn at its length.
const GAP_BYTES: u64 = 1 << 20;
const GAP_WIDTH: f64 = 52.0;
/// The least that can be seen, in pixels.
const LEAST: f64 = 0.5;

/// Something in the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Item {
    /// Leaves, by number.
    Leaf(usize),
    /// Bytes that nothing uses.
    Gap(u64),
}

/// An item with its place: row, and pixels in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Placed {
    pub(super) item: Item,
    pub(super) row: f64,
    pub(super) x: f64,
    pub(super) width: f64,
}

/// Places leaves in order of address in rows of `width` pixels.
pub(super) fn place(leaves: &[Leaves], width: f64) -> Vec<Placed> {
    let mut placed = Vec::new();
    let (mut row, mut x, mut end) = (0.0, 0.0, None::<u64>);
    let mut put = |item, item_width: f64, row: &mut f64, x: &mut f64| {
        if *x > 0.0 && *x + item_width > width + LEAST {
            (*x, *row) = (0.0, *row + 1.0);
        }
        placed.push(Placed { item, row: *row, x: *x, width: item_width });
        *x += item_width;
    };
    for (index, leaf) in leaves.iter().enumerate() {
        let gap = end.map_or(0, |end| leaf.start.saturating_sub(end));
        if gap >= GAP_BYTES {
            put(Item::Gap(gap), GAP_WIDTH, &mut row, &mut x);
        } else {
            x += gap as f64 / ROW_BYTES * width;
        }
        let leaf_width = (leaf.len as f64 / ROW_BYTES * width).clamp(LEAST, width);
        put(Item::Leaf(index), leaf_width, &mut row, &mut x);
        end = leaf.start.checked_add(leaf.len);
    }
    placed
}

/// A length for people: `12.5M`.
pub(super) fn size(bytes: u64) -> String {
    let units = ["B", "K", "M", "G", "T", "P", "E"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let text = if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") };
    format!("{}{}", text.trim_end_matches(".0"), units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(start: u64, len: u64) -> Leaves {
        Leaves { start, len, page: len, rights: "r-x" }
    }

    #[test]
    fn leaves_stand_at_one_scale_and_long_gaps_are_marks() {
        let mib = 1 << 20;
        let leaves =
            [leaf(0, 2 * mib), leaf(2 * mib + 4096, 2 * mib), leaf(100 * mib, 8 * mib), leaf(108 * mib, 8 * mib)];
        let placed = place(&leaves, 1600.0);
        let items: Vec<_> = placed.iter().map(|placed| placed.item).collect();
        let gap = Item::Gap(96 * mib - 4096);
        assert_eq!(items, [Item::Leaf(0), Item::Leaf(1), gap, Item::Leaf(2), Item::Leaf(3)]);
        assert_eq!((placed[0].width, placed[3].width), (200.0, 800.0));
        assert!(placed[1].x > 200.0 && placed[1].x < 201.0, "the guard page");
        assert_eq!((placed[4].row, placed[4].x), (1.0, 0.0), "it does not fit the first row");
    }

    #[test]
    fn lengths_are_short() {
        assert_eq!([0, 4096, 12_582_912, 1_572_864].map(size), ["0B", "4K", "12M", "1.5M"]);
    }
}
