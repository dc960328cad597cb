//! The map of an address space as a picture: blocks in order of address, in rows of 16 MiB, coloured by kind.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use execmem::Kind;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

use crate::compare::outcome::Block;
use crate::html::color;

const WIDTH: f64 = 1100.0;
const MARGIN: f64 = 20.0;
/// Room for the address of the first block in a row.
const LABEL_WIDTH: f64 = 150.0;
const MAP_WIDTH: f64 = WIDTH - LABEL_WIDTH - 2.0 * MARGIN;
const MAP_TOP: f64 = 84.0;
const ROW_BYTES: f64 = 16777216.0;
const ROW_HEIGHT: f64 = 24.0;
const ROW_STEP: f64 = 28.0;
/// The least that can be seen, in pixels.
const LEAST: f64 = 0.5;
/// Pixels of the picture for one unit of the drawing.
const SCALE: f32 = 2.0;

/// The map as SVG.
pub(crate) fn svg(title: &str, blocks: &[Block]) -> String {
    let mut map = String::new();
    let (mut x, mut row) = (0.0, 0.0);
    for block in blocks {
        let width = (block.len as f64 / ROW_BYTES * MAP_WIDTH).clamp(2.0, MAP_WIDTH);
        if x > 0.0 && x + width > MAP_WIDTH + LEAST {
            (x, row) = (0.0, row + 1.0);
        }
        let top = MAP_TOP + row * ROW_STEP;
        if x == 0.0 {
            text(&mut map, MARGIN, top + 16.0, 11, "soft", &block.start);
        }
        draw(&mut map, block, MARGIN + LABEL_WIDTH + x, top, width);
        x += width;
    }
    let height = MAP_TOP + (row + 1.0) * ROW_STEP + MARGIN;
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"DejaVu Sans, Liberation Sans, sans-serif\">\n"
    );
    rect(&mut picture, "", [0.0, 0.0, WIDTH, height], color("panel"));
    text(&mut picture, MARGIN, 30.0, 16, "ink", title);
    legend(&mut picture);
    picture + &map + "</svg>\n"
}

/// A block: its frame, and its allocations, where those of one kind that touch are one.
fn draw(map: &mut String, block: &Block, left: f64, top: f64, width: f64) {
    let scale = width / block.len as f64;
    rect(map, "block", [left, top, width - LEAST, ROW_HEIGHT], color("free"));
    let mut runs: Vec<(u64, u64, &str)> = Vec::new();
    for (offset, len, kind, _) in &block.allocations {
        match runs.last_mut().filter(|run| run.2 == *kind && (offset - run.1) as f64 * scale < LEAST) {
            Some(run) => run.1 = offset + len,
            None => runs.push((*offset, offset + len, kind)),
        }
    }
    for (start, end, kind) in runs {
        let run_width = ((end - start) as f64 * scale).max(LEAST);
        rect(map, "", [left + start as f64 * scale, top + 1.0, run_width, ROW_HEIGHT - 2.0], color(kind));
    }
}

fn legend(picture: &mut String) {
    let kinds = Kind::ALL.map(Kind::name);
    let mut x = MARGIN;
    for name in kinds.into_iter().chain(["free"]) {
        rect(picture, "", [x, 48.0, 12.0, 12.0], color(name));
        text(picture, x + 17.0, 58.5, 12, "ink", name);
        x += 34.0 + 7.0 * name.len() as f64;
    }
}

/// A rectangle: left, top, width, height.
fn rect(into: &mut String, class: &str, [x, y, width, height]: [f64; 4], fill: &str) {
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    let _ = writeln!(
        into,
        "<rect{class} x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\" fill=\"{fill}\"/>"
    );
}

fn text(into: &mut String, x: f64, y: f64, size: u32, ink: &str, content: &str) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;");
    let _ =
        writeln!(into, "<text x=\"{x:.2}\" y=\"{y:.2}\" font-size=\"{size}\" fill=\"{}\">{content}</text>", color(ink));
}

/// A drawing as PNG. Letters are drawn with the fonts of the system, if it has any.
pub(crate) fn png(svg: &str) -> Result<Vec<u8>> {
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
    use super::*;

    fn block(index: u64, len: u64, allocations: Vec<(u64, u64, &'static str, String)>) -> Block {
        let start = format!("{:#x}", 0xffff_ffff_c000_0000 + index * 0x20_0000);
        Block { start, len, page: len, rights: "r-x".to_owned(), allocations }
    }

    #[test]
    fn every_block_is_drawn_and_touching_allocations_are_one() {
        let text = |offset, len| (offset, len, "text", "a".to_owned());
        let blocks: Vec<_> = (0..20)
            .map(|index| block(index, 2 << 20, vec![text(0, 4096), text(4096, 4096), text(1 << 20, 1 << 19)]))
            .collect();
        let svg = svg("a < b", &blocks);
        assert_eq!(svg.matches("class=\"block\"").count(), 20);
        assert_eq!(svg.matches(&format!("fill=\"{}\"", color("text"))).count(), 1 + 20 * 2);
        assert_eq!(svg.matches("0xffffffff").count(), 3, "eight blocks in a row");
        assert!(svg.contains("a &lt; b"));
    }

    #[test]
    fn the_picture_has_the_colours_of_the_drawing() {
        let svg = svg("", &[block(0, 16 << 20, vec![(0, 16 << 20, "bpf", "p".to_owned())])]);
        let bytes = png(&svg).expect("a picture");
        let picture = Pixmap::decode_png(&bytes).expect("readable");
        let pixel = picture.pixel(1400, 190).expect("inside");
        let found = format!("#{:02x}{:02x}{:02x}", pixel.red(), pixel.green(), pixel.blue());
        assert_eq!((picture.width(), found.as_str()), (2200, color("bpf")));
    }
}
