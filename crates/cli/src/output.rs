//! What the command prints: collected as text that fits the terminal, then written at once.
//!
//! Nothing is printed line by line, so a full disk or a closed pipe is one error with one message and never a panic.

mod file;
mod grid;
mod names;

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::{Context as _, Result};

pub(crate) use file::OutputFile;
pub(crate) use grid::Grid;
pub(crate) use names::printable;

/// Columns where neither `COLUMNS` nor a terminal says how many there are.
const COLUMNS: usize = 100;
/// Columns that text is made for.
const FEWEST: usize = 60;
const MOST: usize = 200;

/// Text for standard output.
#[derive(Debug)]
pub(crate) struct Text {
    text: String,
    columns: usize,
}

impl Text {
    /// Empty, as wide as the terminal: `COLUMNS` if it is set, else what the terminal says, within 60 to 200.
    pub(crate) fn new() -> Self {
        let wanted = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let terminal = || Some(usize::from(terminal_size::terminal_size()?.0.0));
        Text::with_columns(wanted.or_else(terminal).unwrap_or(COLUMNS))
    }

    /// Empty, for a number of columns, within 60 to 200.
    pub(crate) fn with_columns(columns: usize) -> Self {
        Text { text: String::new(), columns: columns.clamp(FEWEST, MOST) }
    }

    /// A paragraph, broken where it would be too wide. Lines after the first keep its indentation.
    pub(crate) fn paragraph(&mut self, text: impl AsRef<str>) {
        let text = text.as_ref();
        let indent = text.len() - text.trim_start().len();
        let indents = [&text[..indent], &" ".repeat(indent + 2)];
        let options = textwrap::Options::new(self.columns).initial_indent(indents[0]);
        let options = if indent > 0 { options.subsequent_indent(indents[1]) } else { options };
        for line in textwrap::wrap(&text[indent..], options) {
            let _ = writeln!(self.text, "{line}");
        }
        if text.is_empty() {
            self.text.push('\n');
        }
    }

    /// A paragraph with an empty line before it.
    pub(crate) fn heading(&mut self, text: impl AsRef<str>) {
        self.text.push('\n');
        self.paragraph(text);
    }

    /// A table; one that is too wide follows in parts with the same first column.
    pub(crate) fn grid(&mut self, grid: &Grid) {
        self.text.push_str(&grid.render(self.columns));
    }

    /// The text so far.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Writes it to standard output.
    pub(crate) fn print(&self) -> Result<()> {
        print(self.text.as_bytes())
    }
}

/// Writes bytes to standard output.
pub(crate) fn print(content: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(content).and_then(|()| out.flush()).context("writing to standard output")
}

/// Writes JSON to standard output.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<()> {
    print((serde_json::to_string_pretty(value)? + "\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_broken_at_the_width_and_keep_their_indentation() {
        let mut text = Text::with_columns(60);
        text.paragraph(format!("  {}", "word ".repeat(40)));
        assert!(text.as_str().lines().all(|line| line.len() <= 60 && line.starts_with("  ")), "{}", text.as_str());
        assert_eq!(text.as_str().matches("word").count(), 40);
    }

    #[test]
    fn the_width_is_kept_within_what_text_is_made_for() {
        assert_eq!(Text::with_columns(10).columns, 60);
        assert_eq!(Text::with_columns(1000).columns, 200);
    }
}
