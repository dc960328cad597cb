//! Tables that fit the terminal.

use comfy_table::{CellAlignment, Table, presets};

/// Columns that the borders take, and the space beside a cell with what parts it from the next.
const BORDERS: usize = 2;
const PADDING: usize = 3;

/// A table. Its first column says what a row is; where the columns do not fit beside each other, those that are left
/// follow in another table with the same first column.
#[derive(Debug)]
pub(crate) struct Grid {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Columns whose cells stand at the right, from this one on.
    right_from: usize,
}

impl Grid {
    /// An empty table under a header.
    pub(crate) fn new<S: Into<String>>(header: impl IntoIterator<Item = S>) -> Self {
        Grid { header: header.into_iter().map(Into::into).collect(), rows: Vec::new(), right_from: usize::MAX }
    }

    /// Puts the cells of all columns from this one on at the right.
    pub(crate) const fn right_from(mut self, column: usize) -> Self {
        self.right_from = column;
        self
    }

    /// Adds a row: a cell for each column of the header.
    pub(crate) fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The table as text of so many columns.
    pub(crate) fn render(&self, columns: usize) -> String {
        let widths: Vec<_> = (0..self.header.len()).map(|column| self.width(column)).collect();
        let first = widths.first().copied().unwrap_or(0);
        let mut parts: Vec<Vec<usize>> = Vec::new();
        let mut used = columns;
        for (column, width) in widths.iter().enumerate().skip(1) {
            match parts.last_mut().filter(|_| used + width <= columns) {
                Some(part) => part.push(column),
                None => {
                    parts.push(vec![0, column]);
                    used = BORDERS + first;
                }
            }
            used += width;
        }
        parts.iter().map(|part| self.part(part, columns)).collect()
    }

    /// Characters of the longest line in a column, and the space beside it.
    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column)).chain(self.header.get(column));
        let lines = cells.flat_map(|cell| cell.lines());
        PADDING + lines.map(textwrap::core::display_width).max().unwrap_or(0)
    }

    fn part(&self, columns: &[usize], width: usize) -> String {
        let pick = |cells: &Vec<String>| -> Vec<String> {
            columns.iter().map(|column| cells.get(*column).cloned().unwrap_or_default()).collect()
        };
        let mut table = Table::new();
        table.load_preset(presets::UTF8_BORDERS_ONLY);
        // One cell alone can be wider than the terminal; it is broken.
        table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
        table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
        table.set_header(pick(&self.header));
        table.add_rows(self.rows.iter().map(pick));
        for (place, column) in columns.iter().enumerate().filter(|(_, column)| **column >= self.right_from) {
            debug_assert!(*column < self.header.len());
            if let Some(column) = table.column_mut(place) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        format!("{table}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Grid {
        let mut grid = Grid::new(["policy", "entries", "mapped", "lost", "a long header"]).right_from(2);
        grid.row(["module_alloc", "5 × 2M + 2961 × 4K", "21108 KiB", "22", "1"]);
        grid.row(["execmem", "12 × 2M", "24576 KiB", "0", "2"]);
        grid
    }

    #[test]
    fn a_table_fits_every_width_and_loses_no_cell() {
        for columns in 60..=200 {
            let text = sample().render(columns);
            let widest = text.lines().map(textwrap::core::display_width).max();
            assert!(widest <= Some(columns), "{columns}: {widest:?}");
            for cell in ["5 × 2M + 2961 × 4K", "24576 KiB", "a long header"] {
                assert_eq!(text.matches(cell).count(), 1, "{columns}: {cell}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_follows_under_the_same_first_column() {
        assert_eq!(sample().render(200).matches("policy").count(), 1);
        let narrow = sample().render(60);
        assert_eq!(narrow.matches("policy").count(), 2, "{narrow}");
        assert_eq!(narrow.matches("module_alloc").count(), 2, "{narrow}");
    }
}
