//! The report: one file that needs nothing else, made of the templates in `html/`.

use anyhow::Result;
use serde_json::json;

use crate::compare::outcome::Comparison;

const PAGE: &str = include_str!("html/report.html");
const STYLE: &str = include_str!("html/report.css");
const SCRIPT: &str = include_str!("html/report.js");

/// The report of a comparison.
pub(crate) fn report(comparison: &Comparison) -> Result<String> {
    let mut data = serde_json::to_value(comparison)?;
    for (policy, outcome) in comparison.policies.iter().enumerate() {
        data["policies"][policy]["map"] = json!(outcome.map);
    }
    // A closing tag inside the data would end the script element.
    let data = serde_json::to_string(&data)?.replace("</", "<\\/");
    Ok(PAGE.replace("/*STYLE*/", STYLE).replace("/*SCRIPT*/", SCRIPT).replace("/*DATA*/", &data))
}
