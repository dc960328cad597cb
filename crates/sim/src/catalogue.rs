//! Processors whose translation caches are known: `data/processors.toml`, embedded.

use std::collections::BTreeMap;

use execmem_types::PageSize;
use serde::Deserialize;

use crate::tlb::{Processor, TlbArray};

const PROCESSORS: &str = include_str!("../data/processors.toml");

/// A processor of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownProcessor {
    /// Where the numbers are from.
    pub source: String,
    /// Its family, as CPUID has it.
    pub family: Option<u32>,
    /// Its models, as CPUID has them.
    #[serde(default)]
    pub models: Vec<u32>,
    instruction: Vec<ArrayEntry>,
    data: Vec<ArrayEntry>,
    second: Vec<ArrayEntry>,
}

/// An array as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ArrayFields")]
struct ArrayEntry(TlbArray);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArrayFields {
    entries: u32,
    ways: u32,
    pages: Vec<String>,
}

impl KnownProcessor {
    /// All of them, by name.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub fn all() -> Result<BTreeMap<String, KnownProcessor>, toml::de::Error> {
        toml::from_str(PROCESSORS)
    }

    /// Its translation caches.
    #[must_use]
    pub fn processor(&self) -> Processor {
        let arrays = |entries: &[ArrayEntry]| entries.iter().map(|entry| entry.0.clone()).collect();
        Processor { instruction: arrays(&self.instruction), data: arrays(&self.data), second: arrays(&self.second) }
    }

    /// Whether CPUID says that it is this one.
    #[must_use]
    pub fn is_model(&self, family: u32, model: u32) -> bool {
        self.family == Some(family) && self.models.contains(&model)
    }
}

impl TryFrom<ArrayFields> for ArrayEntry {
    type Error = String;

    fn try_from(fields: ArrayFields) -> Result<Self, String> {
        let ArrayFields { entries, ways, pages } = fields;
        if ways == 0 || !entries.is_multiple_of(ways) {
            return Err(format!("{entries} entries are no whole number of sets of {ways} ways"));
        }
        let pages = pages.into_iter().map(|text| parse_size(&text).ok_or(format!("{text} is no size")));
        Ok(ArrayEntry(TlbArray { entries, ways, pages: pages.collect::<Result<_, _>>()? }))
    }
}

/// A size as people write it: `4K`, `2M`, `1G`. `None` if it is none, or no power of two.
#[must_use]
pub fn parse_size(text: &str) -> Option<PageSize> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let shift = match unit {
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return None,
    };
    PageSize::from_bytes(number.parse::<u64>().ok()?.checked_mul(1 << shift)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_processor_is_readable_and_says_where_it_is_from() {
        let all = KnownProcessor::all().expect("readable");
        for (name, known) in &all {
            let Processor { instruction, data, second } = known.processor();
            assert!(!known.source.is_empty(), "{name}");
            assert!([&instruction, &data].iter().all(|arrays| arrays[0].pages[0] == PageSize::kib(4)), "{name}");
            // Not every processor has a second level.
            assert!(second.iter().all(|array| array.pages[0] >= PageSize::kib(4)), "{name}");
        }
        assert!(all["sapphire-rapids"].is_model(6, 143) && !all["cortex-a76"].is_model(6, 143));
    }

    #[test]
    fn what_is_no_array_is_refused() {
        assert_eq!(["4K", "2M", "1G"].map(parse_size), [12, 21, 30].map(|log2| PageSize::from_bytes(1 << log2)));
        assert!(["", "K", "4X", "3K", "9999999999999999999G", "é"].iter().all(|text| parse_size(text).is_none()));
        let array = |entries, ways, page: &str| ArrayFields { entries, ways, pages: vec![page.to_owned()] };
        assert!(ArrayEntry::try_from(array(64, 4, "4K")).is_ok());
        for (entries, ways, page) in [(64, 0, "4K"), (65, 4, "4K"), (64, 4, "5K")] {
            assert!(ArrayEntry::try_from(array(entries, ways, page)).is_err());
        }
    }
}
