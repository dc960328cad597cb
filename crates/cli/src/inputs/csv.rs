//! A table of one's own: commas between fields, a header, `#` before remarks.
//!
//! ```text
//! # what I plan to load
//! name,text,data,rodata,kallsyms,bpf,count
//! my_driver,120000,8000,30000,9000,,1
//! my_filter,,,,,740,200
//! ```
//!
//! The first column with the header `name` or `module` names a row. Each other column is a kind, in bytes: those of modules
//! are `text`, `data`, `rodata`, `ro-after-init`, `init-text`, `init-data`, `init-rodata`, with `kallsyms` (the symbol table
//! that the kernel keeps) and `file` (the unpacked file); the others are `bpf`, `kprobe`, `ftrace`. `size` is a module whose
//! kinds are not known. `count` says how many there are of a row. Empty fields are zero. A row is of one sort.

use std::collections::HashSet;

use anyhow::{Context as _, Result, bail, ensure};
use execmem::Kind;

use super::bytes_of;
use crate::survey::facts::{ModuleFacts, Piece, Sections, Survey};

/// The most rows, each as often as it counts.
const MOST_ROWS: u64 = 1_000_000;

/// What a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Column {
    Name,
    Kind(Kind),
    SymbolTable,
    File,
    Size,
    Count,
}

impl Column {
    fn parse(header: &str) -> Result<Self> {
        Ok(match header {
            "name" | "module" => Column::Name,
            "kallsyms" => Column::SymbolTable,
            "file" => Column::File,
            "size" => Column::Size,
            "count" => Column::Count,
            other => match Kind::ALL.into_iter().find(|kind| kind.name() == other) {
                Some(kind) => Column::Kind(kind),
                None => bail!(
                    "`{}` is no column; there are name, {}, kallsyms, file, size, count",
                    other.escape_debug(),
                    Kind::ALL.map(Kind::name).join(", ")
                ),
            },
        })
    }
}

/// What a row says.
#[derive(Debug, Default)]
struct Row {
    name: String,
    sections: Sections,
    size: Option<u64>,
    /// Kinds of other callers than the module loader.
    others: Vec<(Kind, u64)>,
    count: Option<u64>,
}

/// Adds the rows of a table to a survey, in their order.
///
/// # Errors
///
/// Which column or line is wrong.
pub(crate) fn parse(text: &str, survey: &mut Survey) -> Result<()> {
    let mut reader =
        csv::ReaderBuilder::new().comment(Some(b'#')).trim(csv::Trim::All).flexible(false).from_reader(text.as_bytes());
    let columns: Vec<_> = reader.headers()?.iter().map(Column::parse).collect::<Result<_>>()?;
    ensure!(columns.contains(&Column::Name), "no column is called name");
    let mut seen = HashSet::new();
    ensure!(columns.iter().all(|column| seen.insert(column)), "a column comes twice");
    let mut rows = 0;
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let mut row = Row::default();
        for (column, field) in columns.iter().zip(&record) {
            row.set(*column, field).with_context(|| format!("line {line}"))?;
        }
        rows += row.count.unwrap_or(1);
        ensure!(rows <= MOST_ROWS, "line {line}: more than {MOST_ROWS} pieces");
        row.add_to(survey).with_context(|| format!("line {line}"))?;
    }
    ensure!(rows > 0, "no row follows the header");
    Ok(())
}

impl Row {
    fn set(&mut self, column: Column, field: &str) -> Result<()> {
        if column == Column::Name {
            self.name = field.to_owned();
            return Ok(());
        }
        if field.is_empty() {
            return Ok(());
        }
        let number = bytes_of(field)?;
        match column {
            Column::Name => {}
            Column::SymbolTable => self.sections.kallsyms = number,
            Column::File => self.sections.file = number,
            Column::Size => self.size = Some(number),
            Column::Count => self.count = Some(number),
            Column::Kind(kind) => match self.sections.of_mut(kind) {
                Some(bytes) => *bytes = number,
                None if number > 0 => self.others.push((kind, number)),
                None => {}
            },
        }
        Ok(())
    }

    fn add_to(self, survey: &mut Survey) -> Result<()> {
        let is_module = self.sections != Sections::default() || self.size.is_some();
        ensure!(
            !is_module || self.others.is_empty(),
            "a module has no bpf, kprobe or ftrace; give these rows of their own"
        );
        ensure!(self.others.len() <= 1, "a row is of one sort; bpf, kprobe and ftrace need rows of their own");
        ensure!(is_module || self.others.len() == 1, "`{}` has no bytes", self.name.escape_debug());
        for _ in 0..self.count.unwrap_or(1) {
            let name = self.name.clone();
            let Some(&(kind, bytes)) = self.others.first() else {
                let sections = (self.sections != Sections::default()).then_some(self.sections);
                survey.modules.push(ModuleFacts { name, bytes: self.size, sections });
                continue;
            };
            let pieces = match kind {
                Kind::Bpf => &mut survey.programs,
                Kind::Kprobe => &mut survey.probes,
                _ => &mut survey.trampolines,
            };
            pieces.push(Piece { name, bytes, address: None });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Survey> {
        let mut survey = Survey::new();
        parse(text, &mut survey).map(|()| survey)
    }

    #[test]
    fn rows_are_modules_or_pieces_of_code_as_often_as_they_count() {
        let text = "# mine\nname,text,data,kallsyms,bpf,kprobe,size,count\n\"a, b\",10,20,30,,,,\nc,,,,,,8192,\n\
                    p,,,,740,,,3\nq,,,,0,16,,2\n";
        let survey = read(text).expect("a table");
        let sections = Sections { text: 10, data: 20, kallsyms: 30, ..Sections::default() };
        let expected = ModuleFacts { name: "a, b".to_owned(), bytes: None, sections: Some(sections) };
        assert_eq!(survey.modules[0], expected);
        assert_eq!((survey.modules[1].bytes, survey.modules[1].sections), (Some(8192), None));
        assert_eq!((survey.programs.len(), survey.probes.len()), (3, 2));
    }

    #[test]
    fn the_sets_of_this_repository_are_such_tables() {
        let text = include_str!("../../data/workloads/modules/workstation-6.1.csv");
        assert_eq!(read(text).expect("a set").modules.len(), 176);
    }

    #[test]
    fn wrong_columns_and_rows_are_named() {
        let cases = [
            ("name,txt\na,1", "`txt` is no column"),
            ("text\n1", "no column is called name"),
            ("name,text,text\na,1,1", "a column comes twice"),
            ("name,text\na,1\nb,x", "line 3: `x`"),
            ("name,text\na", "1 fields"),
            ("name,text,bpf\na,1,1", "line 2: a module has no bpf"),
            ("name,kprobe,bpf\na,1,1", "line 2: a row is of one sort"),
            ("name,text\na,", "`a` has no bytes"),
            ("name,text\n", "no row"),
            ("name,bpf,count\na,1,2000000", "more than 1000000 pieces"),
            ("", "no column is called name"),
        ];
        for (text, message) in cases {
            let error = format!("{:#}", read(text).expect_err("no table"));
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
