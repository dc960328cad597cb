//! The kinds of Linux, as the types crate declares them.

use std::sync::OnceLock;

/// The declaration, which is the one place where kinds stand.
const DECLARATION: &str = include_str!("../../../../crates/types/src/kernel.rs");

/// A kind.
#[derive(Debug)]
pub(in crate::generate) struct KindFacts {
    /// As it is written in files of facts.
    pub(in crate::generate) name: String,
    /// As Rust names it.
    pub(in crate::generate) ident: String,
    /// Name of the member of `Class`.
    pub(in crate::generate) class: String,
}

/// All kinds, in table order.
pub(in crate::generate) fn kinds() -> &'static [KindFacts] {
    static KINDS: OnceLock<Vec<KindFacts>> = OnceLock::new();
    KINDS.get_or_init(|| DECLARATION.lines().filter_map(declared).collect())
}

/// `RoData: Constants = "rodata",`
fn declared(line: &str) -> Option<KindFacts> {
    let (ident, rest) = line.trim().split_once(": ")?;
    let (class, name) = rest.strip_suffix("\",")?.split_once(" = \"")?;
    Some(KindFacts { name: name.to_owned(), ident: ident.to_owned(), class: class.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declaration_is_understood() {
        let first: Vec<_> = kinds().iter().take(4).map(|kind| (&*kind.ident, &*kind.class, &*kind.name)).collect();
        let want = [
            ("Text", "Code", "text"),
            ("Data", "Data", "data"),
            ("RoData", "Constants", "rodata"),
            ("RoAfterInit", "SealedAfterInit", "ro-after-init"),
        ];
        assert_eq!(first, want);
        assert_eq!(kinds().len(), 10);
    }
}
