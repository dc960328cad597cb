//! The report: one page that needs nothing else.
//!
//! Everything that is text or a number is in the page as it is, so it can be read without scripts; `html/*.js` draws the map
//! of the address space and the direct map over time from the data in the page. Every name goes through [`maud`], which
//! escapes it for where it stands, or through [`data::json`].

mod data;
mod entries;
mod tables;

use anyhow::Result;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::compare::outcome::Comparison;
use crate::survey::facts::Place;

const STYLE: &str = include_str!("html/report.css");
const SCRIPTS: [&str; 4] = [
    include_str!("html/base.js"),
    include_str!("html/map.js"),
    include_str!("html/point.js"),
    include_str!("html/history.js"),
];

/// The report of a comparison.
pub(crate) fn report(comparison: &Comparison) -> Result<String> {
    let name = &comparison.load.modules_of;
    let title = format!("Executable memory: {}", name.rsplit('/').find(|part| !part.is_empty()).unwrap_or(name));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content={ "execmem " (comparison.provenance.version) };
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (title) }
                    p { (comparison.loaded()) }
                    noscript { p { "The map and the curves need scripts; every number is in the tables." } }
                }
                main {
                    (answer(comparison))
                    (entries::section(comparison))
                    (map())
                    (tables::sections(comparison))
                    (now(&comparison.places))
                    (about(comparison))
                }
                script #data type="application/json" { (PreEscaped(data::json(comparison)?)) }
                @for script in SCRIPTS { script { (PreEscaped(script)) } }
            }
        }
    };
    Ok(page.into_string())
}

fn answer(comparison: &Comparison) -> Markup {
    let sentences = comparison.answer();
    html! {
        @if !sentences.is_empty() {
            section aria-labelledby="answer-title" {
                h2 #answer-title { "What would be gained" }
                ul .answer { @for sentence in sentences { li { (sentence) } } }
            }
        }
    }
}

/// The frame that `map.js` draws in.
fn map() -> Markup {
    html! {
        section .drawn aria-labelledby="map-title" {
            h2 #map-title { "Address space" }
            p {
                "Every policy at one scale, in order of address. A tall tile is one large leaf; a low comb is many small ones. "
                "What is unused is marked with its size. Heights tell the sizes of leaves, colours the kinds of memory."
            }
            div .controls {
                label { "Moment " output #moment {} input #state type="range" min="0" max="0" step="1"; }
                label { "A row is " output #row {} input #zoom type="range" min="20" max="28" step="1"; }
                label { "Find " input #find type="search" list="names" autocomplete="off" placeholder="module or program"; }
                button #link type="button" { "Copy link" }
            }
            datalist #names {}
            div #marks .marks role="group" aria-label="Moments of the run" {}
            ul #legend .legend aria-label="Colours" {}
            p #found role="status" {}
            div #maps {}
            div #inspector aria-live="polite" { p { "Click into a map, or move through it by arrow keys, to see what lies where." } }
        }
    }
}

/// Where the surveyed machine has everything now.
fn now(places: &[Place]) -> Markup {
    let code = |place: &&Place| !matches!(place.kind.as_str(), "data" | "rodata");
    let regions = |places: &mut dyn Iterator<Item = &Place>| {
        let touched = places.flat_map(|place| {
            let last = place.start.0.saturating_add(place.bytes.saturating_sub(1));
            place.start.0 >> 21..=last >> 21
        });
        touched.collect::<std::collections::BTreeSet<_>>().len()
    };
    html! {
        @if let (Some(first), Some(last)) = (places.first(), places.last()) {
            section aria-labelledby="now-title" {
                h2 #now-title { "This machine now" }
                p {
                    (places.len()) " places were read, from " code { (String::from(first.start)) } " to "
                    code { (String::from(last.start)) } ". They touch " (regions(&mut places.iter()))
                    " regions of 2 MiB, code " (regions(&mut places.iter().filter(code)))
                    ". The sizes of their leaves cannot be read from outside the kernel."
                }
                details {
                    summary { "Table" }
                    (tables::table(
                        &["name", "kind", "start", "bytes known"],
                        &places.iter().map(|place| vec![
                            tables::Cell::text(&place.name),
                            tables::Cell::text(&place.kind),
                            tables::Cell::text(&String::from(place.start)),
                            tables::Cell::count(place.bytes),
                        ]).collect::<Vec<_>>(),
                        "Where code and data lie now",
                    ))
                }
            }
        }
    }
}

fn about(comparison: &Comparison) -> Markup {
    let provenance = &comparison.provenance;
    html! {
        section aria-labelledby="about-title" {
            h2 #about-title { "About this page" }
            dl {
                @for policy in &comparison.policies { dt { (policy.name) } dd { (policy.about) } }
                @if let Some(today) = comparison.today { dt { "in use today" } dd { (today) } }
                dt { "simulated" } dd { (comparison.machine.about) ", table " (comparison.arch) }
                dt { "translation caches" }
                dd { (comparison.machine.tlb_source.as_deref().unwrap_or("not known for this machine, so left out")) }
                @for note in &comparison.notes { dt { "note" } dd { (note) } }
                dt { "made by" } dd { code { (provenance.command) } }
                dt { "version" } dd { (provenance.version) }
                dt { "on" } dd { time datetime=(provenance.date) { (provenance.date) } ", " (provenance.machine) }
            }
        }
    }
}

/// The colour of a name of the style sheet on a light page.
pub(crate) fn color(name: &str) -> &'static str {
    let light = STYLE.split('}').next().unwrap_or(STYLE);
    let mut definitions = light.split(';').filter_map(|line| line.trim().strip_prefix("--")?.split_once(": "));
    definitions.find(|(defined, _)| *defined == name).map_or("black", |(_, color)| color)
}

#[cfg(test)]
mod tests {
    use execmem::Kind;

    use super::*;
    use crate::compare::names;

    #[test]
    fn kinds_and_policies_have_colours_that_none_of_the_others_has() {
        let policies = names().into_iter().map(|name| format!("policy-{name}"));
        let all: Vec<_> = Kind::ALL.map(|kind| kind.name().to_owned()).into_iter().chain(policies).collect();
        let mut colors: Vec<_> = all.iter().map(|name| color(name)).collect();
        assert!(colors.iter().all(|color| color.starts_with('#')), "{colors:?}");
        colors.sort_unstable();
        colors.dedup();
        assert_eq!(colors.len(), all.len());
    }
}
