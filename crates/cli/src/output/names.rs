//! Names that come from files, made fit for a terminal.

use std::fmt::Write as _;

/// Control characters, and those that change the direction of text, as `\u{…}`; everything else as it is.
///
/// A terminal obeys the former (CVE-2003-0063 and many since), and the latter make a name read as another (CVE-2021-42574).
pub(crate) fn printable(name: &str) -> String {
    let mut printable = String::with_capacity(name.len());
    for char in name.chars() {
        let is_direction =
            matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if char.is_control() || is_direction || matches!(char, '\u{2028}' | '\u{2029}' | '\u{feff}') {
            let _ = write!(printable, "{}", char.escape_unicode());
        } else {
            printable.push(char);
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_letters_of_any_script_are_not() {
        assert_eq!(printable("a\u{1b}[31m\nb\u{9b}c"), "a\\u{1b}[31m\\u{a}b\\u{9b}c");
        assert_eq!(printable("\u{202e}ok.\u{2066}\u{61c}"), "\\u{202e}ok.\\u{2066}\\u{61c}");
        assert_eq!(printable("ядро <b>&é 漢"), "ядро <b>&é 漢");
    }
}
