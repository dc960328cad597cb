//! `/proc/modules`, or what `lsmod` makes of it: `cat /proc/modules > modules.txt`. Every user may read it.
//!
//! ```text
//! ext4 983040 1 - Live 0xffffffffc0a00000       Module                  Size  Used by
//! jbd2 180224 1 ext4, Live 0x0000000000000000   ext4                  983040  1
//! ```
//!
//! The module that was loaded last comes first. The size is what stays after initialisation, in whole pages. The address
//! is zero for users that may not know it.

use anyhow::{Context as _, Result, ensure};

use super::{address_of, bytes_of, each_line};
use crate::survey::facts::{Address, ModuleFacts, Place};

/// The modules in load order, and where each lies, as far as that is said.
///
/// # Errors
///
/// Which line is none of a module.
pub(crate) fn parse(text: &str) -> Result<(Vec<ModuleFacts>, Vec<Place>)> {
    let (mut modules, mut places) = (Vec::new(), Vec::new());
    each_line(text, |line| {
        let mut fields = line.split_whitespace();
        let (name, size) = (fields.next().unwrap_or(""), fields.next().context("a name without a size")?);
        if (name, size) == ("Module", "Size") {
            return Ok(());
        }
        let bytes = bytes_of(size)?;
        let address = fields.find(|field| field.starts_with("0x")).map(address_of).transpose()?;
        modules.push(ModuleFacts { name: name.to_owned(), bytes: Some(bytes), sections: None });
        if let Some(start) = address.filter(|address| *address != 0) {
            places.push(Place { name: name.to_owned(), kind: "text".to_owned(), start: Address(start), bytes });
        }
        Ok(())
    })?;
    ensure!(!modules.is_empty(), "no module is listed");
    modules.reverse();
    places.reverse();
    Ok((modules, places))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROC: &str = "snd 126976 1 - Live 0xffffffffc0c00000\next4 983040 1 - Live 0x0000000000000000 (OE)\n\
                        jbd2 180224 1 ext4, Live 0x0000000000000000\n";
    const LSMOD: &str =
        "Module                  Size  Used by\nsnd  126976  1\next4  983040  1\njbd2  180224  1 ext4\n";

    #[test]
    fn modules_come_in_load_order_from_either_listing() {
        for text in [PROC, LSMOD] {
            let (modules, _) = parse(text).expect("modules");
            let found: Vec<_> = modules.iter().map(|module| (module.name.as_str(), module.bytes)).collect();
            assert_eq!(found, [("jbd2", Some(180_224)), ("ext4", Some(983_040)), ("snd", Some(126_976))]);
        }
    }

    #[test]
    fn an_address_of_zero_is_unknown() {
        let (_, places) = parse(PROC).expect("modules");
        let found: Vec<_> = places.iter().map(|place| (place.name.as_str(), place.start)).collect();
        assert_eq!(found, [("snd", Address(0xffff_ffff_c0c0_0000))]);
    }

    #[test]
    fn other_text_is_refused_by_line() {
        for (text, message) in [("", "no module"), ("a 1\nb", "line 2: a name without"), ("a x", "line 1: `x` is no")] {
            let error = format!("{:#}", parse(text).expect_err("no modules"));
            assert!(error.contains(message), "{error}");
        }
    }
}
