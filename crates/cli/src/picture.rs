//! The map of an address space as a picture: leaves in order of address, in rows of 16 MiB, coloured by kind.
//!
//! A large leaf is a tall tile, small leaves in a row are a low comb, and addresses that nothing uses are a mark with their
//! size. It is the picture of the report's map (`html/map.js`) for everything loaded.

mod place;

use std::collections::BTreeMap;

use anyhow::Result;
use execmem::Kind;
use maud::{Markup, html};

use crate::compare::layout::{Leaves, Part};
use crate::compare::outcome::{Comparison, Outcome};
use crate::compare::{leaf_size, leaves};
use crate::html::color;
use place::{Item, Placed, place};

const WIDTH: f64 = 1100.0;
const MARGIN: f64 = 20.0;
const MAP_WIDTH: f64 = WIDTH - 2.0 * MARGIN;
const MAP_TOP: f64 = 116.0;
/// A row and the address above it.
const ROW_STEP: f64 = 56.0;
const LABEL: f64 = 14.0;
/// Heights of a large leaf, and of small ones in a row with the teeth of their comb.
const TALL: f64 = 34.0;
const LOW: f64 = 15.0;
const TEETH: f64 = 5.0;
const TOOTH_STEP: f64 = 4.0;
/// The least that can be seen, in pixels.
const LEAST: f64 = 0.5;

/// The map of a policy as SVG.
pub(crate) fn svg(comparison: &Comparison, outcome: &Outcome) -> String {
    let state = outcome.fullest().and_then(|mark| outcome.layout.state_of(mark.mark)).unwrap_or(0);
    let (all, parts) = (outcome.layout.leaves_at(state), outcome.layout.parts_at(state));
    let placed = place(&all, MAP_WIDTH);
    let rows = placed.last().map_or(1.0, |last| last.row + 1.0);
    let height = MAP_TOP + rows * ROW_STEP + MARGIN;
    let title = format!("{} on {}", outcome.name, comparison.load.modules_of);
    let counts = outcome.fullest().map_or(BTreeMap::new(), |mark| mark.mappings.clone());
    let provenance = &comparison.provenance;
    let made =
        format!("{}; execmem {}, {}, {}", provenance.command, provenance.version, provenance.date, provenance.machine);
    let page = smallest(&all);
    let picture = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (WIDTH) " " (height) } width=(WIDTH) height=(height)
            font-family="DejaVu Sans, Liberation Sans, sans-serif" role="img" {
            title { (title) }
            desc { (made) }
            rect width=(WIDTH) height=(height) fill=(color("panel")) {}
            (text(MARGIN, 32.0, 16, "ink", &title))
            (text(MARGIN, 52.0, 12, "soft", &format!("{}: {}", comparison.loaded(), leaves(&counts))))
            (legend(&counts, page))
            @for placed in &placed { (item(placed, &all, &parts, page, &comparison.names)) }
        }
    };
    picture.into_string()
}

fn smallest(all: &[Leaves]) -> u64 {
    all.iter().map(|leaf| leaf.page).min().unwrap_or(0)
}

fn item(placed: &Placed, all: &[Leaves], parts: &[Part], page: u64, names: &[String]) -> Markup {
    let (x, top) = (MARGIN + placed.x, MAP_TOP + placed.row * ROW_STEP);
    match placed.item {
        Item::Gap(bytes) => gap(x, top, placed.width, bytes),
        Item::Leaf(index) => {
            let leaf = all[index];
            let inside: Vec<_> = inside(leaf, parts).collect();
            html! {
                @if placed.x == 0.0 { (text(x, top + LABEL - 4.0, 11, "soft", &format!("{:#x}", leaf.start))) }
                g class="leaf" {
                    title { (describe(leaf, &inside, names)) }
                    (drawn(leaf, &inside, page, (x, top + LABEL, placed.width)))
                }
            }
        }
    }
}

/// The parts that lie in leaves, at least partly.
fn inside(leaf: Leaves, parts: &[Part]) -> impl Iterator<Item = Part> {
    let end = leaf.start.saturating_add(leaf.len);
    let first = parts.partition_point(|part| part.start.saturating_add(part.len) <= leaf.start);
    parts[first..].iter().copied().take_while(move |part| part.start < end)
}

fn describe(leaf: Leaves, inside: &[Part], names: &[String]) -> String {
    let count = leaf.len / leaf.page.max(1);
    let listed = inside.iter().take(8).filter_map(|part| names.get(part.load)).cloned().collect::<Vec<_>>();
    let more = if inside.len() > listed.len() { ", …" } else { "" };
    format!("{:#x}: {count} × {}, {}: {}{more}", leaf.start, leaf_size(leaf.page), leaf.rights, listed.join(", "))
}

/// The leaves, and in them runs of parts of one kind with less than half a pixel between them.
fn drawn(leaf: Leaves, inside: &[Part], page: u64, (x, top, width): (f64, f64, f64)) -> Markup {
    let is_large = leaf.page > page;
    let (y, height) = if is_large { (top, TALL) } else { (top + TALL - LOW, LOW) };
    let scale = width / leaf.len as f64;
    let mut runs: Vec<(f64, f64, &str)> = Vec::new();
    for part in inside {
        let start = part.start.saturating_sub(leaf.start) as f64 * scale;
        let end = (part.start.saturating_add(part.len) - leaf.start) as f64 * scale;
        let end = end.min(width);
        match runs.last_mut().filter(|run| run.2 == Kind::name(part.kind) && start - run.1 < LEAST) {
            Some(run) => run.1 = end,
            None => runs.push((start, end, Kind::name(part.kind))),
        }
    }
    // The teeth of neighbours are one comb.
    let first = (x / TOOTH_STEP).ceil() * TOOTH_STEP;
    let teeth =
        std::iter::successors(Some(first), |tooth| Some(tooth + TOOTH_STEP)).take_while(|tooth| *tooth < x + width);
    html! {
        (rect([x, y, width, height], "free"))
        @for (start, end, kind) in runs { (rect([x + start, y, (end - start).max(LEAST), height], kind)) }
        @if is_large {
            rect x=(number(x + 0.75)) y=(number(y + 0.75)) width=(number((width - 1.5).max(LEAST))) height=(number(height - 1.5))
                rx="3" fill="none" stroke=(color("ink")) stroke-width="1.5" {}
        } @else {
            @for tooth in teeth { (rect([tooth, y - TEETH, 1.0, TEETH], "ink")) }
        }
    }
}

fn gap(x: f64, top: f64, width: f64, bytes: u64) -> Markup {
    let (middle, label) = (x + width / 2.0, place::size(bytes));
    let y = top + LABEL + TALL / 2.0;
    html! {
        g class="gap" {
            title { (label) " that nothing uses" }
            line x1=(number(x + 3.0)) x2=(number(x + width - 3.0)) y1=(number(y)) y2=(number(y)) stroke=(color("soft"))
                stroke-dasharray="2 3" {}
            text x=(number(middle)) y=(number(y - 4.0)) font-size="11" text-anchor="middle" fill=(color("soft")) { (label) }
        }
    }
}

fn legend(counts: &BTreeMap<u64, u64>, page: u64) -> Markup {
    let mut x = MARGIN;
    let places: Vec<_> = Kind::ALL
        .map(Kind::name)
        .into_iter()
        .chain(["free"])
        .map(|name| {
            let here = x;
            x += 34.0 + 7.0 * name.len() as f64;
            (here, name)
        })
        .collect();
    let large = counts.keys().rev().find(|size| **size > page);
    let large = large.map_or(String::new(), |size| format!("tall tile: a leaf of {} or more; ", leaf_size(*size)));
    html! {
        @for (x, name) in places {
            (rect([x, 66.0, 12.0, 12.0], name))
            (text(x + 17.0, 76.5, 12, "ink", name))
        }
        (text(MARGIN, 98.0, 12, "soft", &format!("{large}low comb: leaves of {} in a row; dotted: nothing", leaf_size(page))))
    }
}

/// A rectangle: left, top, width, height.
fn rect([x, y, width, height]: [f64; 4], fill: &str) -> Markup {
    html! {
        rect x=(number(x)) y=(number(y)) width=(number(width)) height=(number(height)) fill=(color(fill)) {}
    }
}

fn text(x: f64, y: f64, size: u32, ink: &str, content: &str) -> Markup {
    html! { text x=(number(x)) y=(number(y)) font-size=(size) fill=(color(ink)) { (content) } }
}

fn number(value: f64) -> String {
    format!("{value:.2}")
}

/// Refuses pictures of pixels where the command cannot make them.
pub(crate) fn check_pixels() -> Result<()> {
    #[cfg(not(any(test, feature = "png")))]
    anyhow::bail!("--png needs the feature `png` (cargo build --features png); --svg needs nothing");
    #[cfg(any(test, feature = "png"))]
    Ok(())
}

/// A drawing as PNG. Letters are drawn with the fonts of the system, if it has any.
#[cfg(not(any(test, feature = "png")))]
pub(crate) fn png(_svg: &str) -> Result<Vec<u8>> {
    check_pixels().map(|()| Vec::new())
}

/// A drawing as PNG. Letters are drawn with the fonts of the system, if it has any.
#[cfg(any(test, feature = "png"))]
pub(crate) fn png(svg: &str) -> Result<Vec<u8>> {
    use anyhow::Context as _;
    use resvg::tiny_skia::{Pixmap, Transform};
    use resvg::usvg::{Options, Tree};

    /// Pixels of the picture for one unit of the drawing.
    const SCALE: f32 = 2.0;
    let mut options = Options::default();
    options.fontdb_mut().load_system_fonts();
    let tree = Tree::from_str(svg, &options).context("the drawing")?;
    let size = tree.size().to_int_size().scale_by(SCALE).context("a size")?;
    let mut picture = Pixmap::new(size.width(), size.height()).context("memory for the picture")?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut picture.as_mut());
    picture.encode_png().context("the picture")
}

#[cfg(test)]
mod tests {
    use resvg::tiny_skia::Pixmap;

    use super::*;

    const BASE: u64 = 0xffff_ffff_c000_0000;

    fn leaf(offset: u64, len: u64, page: u64) -> Leaves {
        Leaves { start: BASE + offset, len, page, rights: "r-x" }
    }

    fn part(offset: u64, len: u64, kind: Kind) -> Part {
        Part { start: BASE + offset, len, kind, load: 0 }
    }

    #[test]
    fn parts_of_one_kind_that_touch_are_one_and_the_name_is_escaped() {
        let parts = [part(0, 4096, Kind::Text), part(4096, 4096, Kind::Text), part(1 << 20, 1 << 19, Kind::Bpf)];
        let tile = leaf(0, 2 << 20, 2 << 20);
        let inside: Vec<_> = inside(tile, &parts).collect();
        let markup = drawn(tile, &inside, 4096, (0.0, 0.0, 200.0)).into_string();
        assert_eq!(markup.matches(color("text")).count(), 1);
        assert_eq!(markup.matches(color("bpf")).count(), 1);
        let title = html! { (describe(tile, &inside, &["<a>&".to_owned()])) }.into_string();
        assert!(title.contains("1 × 2M, r-x: &lt;a&gt;&amp;"), "{title}");
    }

    #[test]
    fn large_leaves_are_tall_tiles_and_small_ones_a_low_comb() {
        let large = drawn(leaf(0, 2 << 20, 2 << 20), &[], 4096, (0.0, 0.0, 100.0)).into_string();
        let small = drawn(leaf(0, 64 << 10, 4096), &[], 4096, (0.0, 0.0, 100.0)).into_string();
        assert!(
            large.contains("height=\"34.00\"") && large.contains("stroke-width") && !small.contains("stroke-width")
        );
        assert_eq!(small.matches("width=\"1.00\"").count(), 25, "a tooth every four pixels");
    }

    #[test]
    fn the_picture_has_the_colours_of_the_drawing() {
        let drawing = html! {
            svg xmlns="http://www.w3.org/2000/svg" width="100" height="50" {
                (drawn(leaf(0, 2 << 20, 2 << 20), &[part(0, 2 << 20, Kind::Bpf)], 4096, (0.0, 0.0, 100.0)))
            }
        };
        check_pixels().expect("tests can");
        let bytes = png(&drawing.into_string()).expect("a picture");
        let picture = Pixmap::decode_png(&bytes).expect("readable");
        let pixel = picture.pixel(100, 30).expect("inside");
        let found = format!("#{:02x}{:02x}{:02x}", pixel.red(), pixel.green(), pixel.blue());
        assert_eq!((picture.width(), found.as_str()), (200, color("bpf")));
    }
}
