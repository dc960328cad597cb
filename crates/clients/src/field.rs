//! Parts of a file, for errors.

/// Part of an ELF file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The header of the file.
    Header,
    /// The table of sections.
    SectionTable,
    /// The table of symbols.
    SymbolTable,
    /// A name.
    Name,
    /// A section's place in the file.
    Place,
    /// An alignment.
    Alignment,
    /// A section's list of relocations.
    Relocations,
    /// The section a symbol or list of relocations refers to.
    Section,
    /// The place in its section of a symbol.
    Value,
}

impl core::fmt::Display for Field {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Field::Header => "the header",
            Field::SectionTable => "the table of sections",
            Field::SymbolTable => "the table of symbols",
            Field::Name => "the name",
            Field::Place => "the place in the file",
            Field::Alignment => "the alignment",
            Field::Relocations => "the list of relocations",
            Field::Section => "the section",
            Field::Value => "the value",
        })
    }
}
