//! The report: one file that needs nothing else, made of the templates in `html/`.

use anyhow::Result;
use serde_json::json;

use crate::compare::outcome::Comparison;

const PAGE: &str = include_str!("html/report.html");
const STYLE: &str = include_str!("html/report.css");
const SCRIPT: &str = include_str!("html/report.js");

/// The report of a comparison, under a title.
pub(crate) fn report(comparison: &Comparison, title: &str) -> Result<String> {
    let mut data = serde_json::to_value(comparison)?;
    for (policy, outcome) in comparison.policies.iter().enumerate() {
        data["policies"][policy]["map"] = json!(outcome.map);
    }
    // A closing tag inside the data would end the script element.
    let data = serde_json::to_string(&data)?.replace("</", "<\\/");
    let page = PAGE.replace("/*TITLE*/", title).replace("/*STYLE*/", STYLE);
    Ok(page.replace("/*SCRIPT*/", SCRIPT).replace("/*DATA*/", &data))
}

/// The colour of a kind on a light page, or of another name that the style sheet has.
pub(crate) fn color(name: &str) -> &'static str {
    let light = STYLE.split('}').next().unwrap_or(STYLE);
    let mut definitions = light.split(';').filter_map(|line| line.trim().strip_prefix("--")?.split_once(": "));
    definitions.find(|(defined, _)| *defined == name).map_or("black", |(_, color)| color)
}

#[cfg(test)]
mod tests {
    use execmem::Kind;

    use super::*;

    #[test]
    fn every_kind_has_a_colour_of_its_own() {
        let mut colors: Vec<_> = Kind::ALL.map(|kind| color(kind.name())).to_vec();
        assert!(colors.iter().all(|color| color.starts_with('#')), "{colors:?}");
        colors.sort_unstable();
        colors.dedup();
        assert_eq!(colors.len(), Kind::ALL.len());
    }
}
