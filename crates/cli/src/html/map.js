"use strict";
// The address space of every policy at one scale: tall tiles are large leaves, low combs small ones in a row.

const TALL = 34, MIDDLE = 24, LOW = 14, TEETH = 5, LABEL = 15, ROW = TALL + LABEL + 6;
const GAP_BYTES = 1 << 20, GAP_WIDTH = 50;
const maps = data.policies.map(() => ({ items: [], parts: [], cursor: -1 }));

// Leaves and gaps in rows of a width. A gap of a mebibyte or more is a mark of one width.
function place(leaves, width) {
  const scale = width / 2 ** view.zoom;
  const items = [];
  let row = 0, x = 0, end = null;
  const put = (item, itemWidth) => {
    if (x > 0 && x + itemWidth > width + 0.5) { x = 0; row += 1; }
    items.push({ ...item, row, x, width: itemWidth });
    x += itemWidth;
  };
  for (const leaf of leaves) {
    const gap = end === null ? 0 : leaf.at - end;
    if (gap >= GAP_BYTES) put({ gap }, GAP_WIDTH);
    else if (gap > 0) x += gap * scale;
    // What is longer than a row goes on in the next.
    let done = 0;
    while (done < leaf.len) {
      const room = width - x < 8 ? width : width - x;
      const longest = leaf.page > smallest ? 2 ** view.zoom : Math.ceil(room / scale);
      const part = Math.min(leaf.len - done, longest);
      put({ leaf, start: leaf.at + done, len: part }, Math.max(0.5, Math.min(width, part * scale)));
      done += part;
    }
    end = leaf.at + leaf.len;
  }
  return items;
}

// Colours of a stretch, pixel by pixel: what has most of a pixel has all of it, and what was found goes before the rest.
// Pixels that agree are one rectangle.
function colours(stretch, parts, scale) {
  const first = Math.floor(stretch.x), count = Math.max(1, Math.ceil(stretch.x + stretch.width) - first);
  const pixels = Array.from({ length: count }, () => new Map());
  for (const item of stretch.items) {
    for (const part of inside(parts, item.start, item.start + item.len)) {
      const start = item.x + (Math.max(part.at, item.start) - item.start) * scale - first;
      const end = item.x + (Math.min(part.at + part.len, item.start + item.len) - item.start) * scale - first;
      const isHit = matches(part.name);
      for (let pixel = Math.floor(start); pixel < end && pixel < count; pixel += 1) {
        const share = (Math.min(end, pixel + 1) - Math.max(start, pixel)) * (isHit ? 1e6 : 1);
        const key = `${part.kind}${isHit ? " hit" : ""}`;
        pixels[pixel].set(key, (pixels[pixel].get(key) || 0) + share);
      }
    }
  }
  const runs = [];
  pixels.forEach((shares, pixel) => {
    const best = [...shares].reduce((best, share) => (best && best[1] >= share[1] ? best : share), null);
    if (!best) return;
    const [kind, hit] = best[0].split(" ");
    const last = runs[runs.length - 1];
    if (last && last.kind === kind && last.isHit === Boolean(hit) && last.x + last.width === first + pixel) last.width += 1;
    else runs.push({ kind, isHit: Boolean(hit), x: first + pixel, width: 1 });
  });
  return runs;
}

// Items that are drawn together: a large leaf alone, small leaves with less than a pixel between them.
function stretches(items) {
  const found = [];
  for (const item of items) {
    if (item.gap) continue;
    const last = found[found.length - 1];
    const page = item.leaf.page, isSmall = page === smallest || page === 0;
    if (last && isSmall && last.page === page && last.row === item.row && item.x - last.x - last.width < 1) {
      last.width = item.x + item.width - last.x;
      last.items.push(item);
    } else found.push({ page, row: item.row, x: item.x, width: item.width, items: [item] });
  }
  return found;
}

// The parts that overlap a stretch; `parts` is in order of address.
function inside(parts, start, end) {
  let low = 0, high = parts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (parts[middle].at + parts[middle].len <= start) low = middle + 1; else high = middle;
  }
  const found = [];
  for (let index = low; index < parts.length && parts[index].at < end; index += 1) found.push(parts[index]);
  return found;
}

const matches = (name) => view.find !== "" && name.toLowerCase().includes(view.find.toLowerCase());

function draw(index) {
  const policy = data.policies[index], map = maps[index];
  const strip = map.figure.querySelector(".strip");
  const width = Math.max(200, strip.clientWidth);
  const leaves = alive(policy.leaves, view.state);
  map.parts = alive(policy.parts, view.state);
  map.items = place(leaves, width);
  const scale = width / 2 ** view.zoom;
  const rows = map.items.length ? map.items[map.items.length - 1].row + 1 : 1;
  const picture = svg("svg", { width, height: rows * ROW, "aria-hidden": "true", class: view.find ? "dimmed" : null });
  for (const item of map.items) {
    const top = item.row * ROW + LABEL, middle = top + TALL / 2;
    if (item.gap) {
      picture.append(svg("line", { class: "gap", x1: item.x + 3, x2: item.x + item.width - 3, y1: middle, y2: middle }),
        svg("text", { x: item.x + item.width / 2, y: middle - 4, "text-anchor": "middle" }, bytes(item.gap)));
    } else if (item.x === 0) {
      const page = item.leaf.page || 4096;
      picture.append(svg("text", { x: 0, y: top - 4 }, address(policy, item.leaf.at + Math.floor((item.start - item.leaf.at) / page) * page)));
    }
  }
  for (const stretch of stretches(map.items)) drawStretch(picture, stretch, map.parts, scale);
  if (!leaves.length) picture.append(svg("text", { x: 0, y: LABEL + 12 }, "nothing is mapped"));
  map.outline = svg("rect", { class: "cursor", visibility: "hidden", rx: 2 });
  picture.append(map.outline);
  strip.replaceChildren(picture);
  caption(index, leaves);
  point(index, map.cursor, false);
}

// Height tells the size of leaves: tall for large ones, low for small ones, between for those that could not be read.
const heightOf = (page) => (page === 0 ? MIDDLE : page > smallest ? TALL : LOW);

function drawStretch(picture, stretch, parts, scale) {
  const height = heightOf(stretch.page), y = stretch.row * ROW + LABEL + TALL - height;
  const { x, width } = stretch;
  picture.append(svg("rect", { class: "ground", x, y, width: Math.max(1, width), height }));
  for (const run of colours(stretch, parts, scale)) {
    const start = Math.max(run.x, x), end = Math.min(run.x + run.width, x + Math.max(1, width));
    picture.append(svg("rect", { class: run.isHit ? "part hit" : "part", x: start, y, width: Math.max(0.5, end - start), height, fill: `var(--${run.kind})` }));
  }
  if (height === LOW) {
    const teeth = [];
    for (let tooth = Math.ceil(x / 4) * 4 + 0.5; tooth < x + width; tooth += 4) teeth.push(`M${tooth} ${y}v${-TEETH}`);
    picture.append(svg("path", { class: "teeth", d: teeth.join("") }));
  } else {
    picture.append(svg("rect", { class: height === TALL ? "tile" : "tile unknown", x: x + 0.75, y: y + 0.75, width: Math.max(0.5, width - 1.5), height: height - 1.5, rx: 3 }));
  }
}

function sizes(leaves) {
  const counts = new Map();
  for (const leaf of leaves) counts.set(leaf.page, (counts.get(leaf.page) || 0) + leaf.len / leaf.page);
  return [...counts].sort((a, b) => b[0] - a[0]);
}

function caption(index, leaves) {
  const policy = data.policies[index];
  const counts = sizes(leaves);
  const entries = counts.reduce((sum, [, count]) => sum + count, 0);
  const mapped = leaves.reduce((sum, leaf) => sum + leaf.len, 0);
  const caption = maps[index].figure.querySelector("figcaption");
  const listed = counts.map(([page, count]) => `${grouped.format(count)} × ${bytes(page)}`).join(" + ") || "none";
  const said = policy.isRead
    ? ["as it was read", "the sizes of its leaves cannot be read from outside the kernel"]
    : [plural(entries, "entry", "entries"), listed, `${bytes(mapped)} mapped`];
  if (policy.name === data.today) said.push("in use today");
  if (!policy.comparable) said.push("not comparable: loads were refused");
  caption.replaceChildren(html("span", { class: "policy" }, policy.name), ...said.map((text) => html("span", {}, text)));
}
