"use strict";
// Draws the report from the data in the page. No network, no library.

const data = JSON.parse(document.getElementById("data").textContent);
const KINDS = ["text", "data", "rodata", "ro-after-init", "init-text", "init-data", "init-rodata", "kprobe", "ftrace", "bpf"];
const WIDTH = 1100;
const SVG = "http://www.w3.org/2000/svg";

function node(namespace, tag, attributes, children) {
  const made = namespace ? document.createElementNS(namespace, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...(children || []));
  return made;
}
const html = (tag, attributes, ...children) => node(null, tag, attributes, children);
const svg = (tag, attributes, ...children) => node(SVG, tag, attributes, children);

const number = new Intl.NumberFormat("en");
function bytes(count) {
  const units = ["B", "K", "M", "G", "T"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) { count /= 1024; unit += 1; }
  return `${Number(count.toFixed(count < 10 ? 2 : 1))}${units[unit]}`;
}
function leaves(counts) {
  const parts = Object.entries(counts).filter(([size]) => /^\d+$/.test(size)).sort((a, b) => b[0] - a[0]);
  return parts.map(([size, count]) => `${number.format(count)} × ${bytes(Number(size))}`).join(" + ") || "none";
}
function table(head, rows) {
  const cells = (tag, row) => row.map((cell, index) => html(index ? tag : "th", index ? {} : { scope: tag === "th" ? "col" : "row" }, String(cell)));
  return html("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" },
    html("table", {}, html("thead", {}, html("tr", {}, ...cells("th", head))),
      html("tbody", {}, ...rows.map((row) => html("tr", {}, ...cells("td", row))))));
}
const behind = (head, rows) => html("details", {}, html("summary", {}, "Table"), table(head, rows));

function summary() {
  const { load, machine, arch } = data;
  document.getElementById("about").textContent =
    `${load.modules} modules of ${load.modules_of}, ${load.programs} BPF programs, ${load.probes} probes, ` +
    `${load.trampolines} trampolines, ${load.churn} replaced; table ${arch}, ${machine.about}. TLBs: ${machine.tlb_source}.`;
  const rows = data.policies.map((policy) => [
    policy.name, leaves(policy.mappings), bytes(policy.bytes_mapped), (policy.bytes_mapped / policy.bytes_requested).toFixed(3),
    policy.direct_map.lost, policy.direct_map.lost_for_good, number.format(policy.flushes), number.format(policy.itlb_misses),
    number.format(policy.dtlb_misses),
  ]);
  document.getElementById("summary").append(table(
    ["policy", "entries", "mapped", "per byte asked", "direct map lost", "for good", "flushes", "iTLB misses", "dTLB misses"], rows));
  const about = html("ul", {}, ...data.policies.map((policy) => html("li", {}, html("b", {}, policy.name), `: ${policy.about}`)));
  document.getElementById("summary").append(html("details", {}, html("summary", {}, "What the policies are"), about));
}

// The map: blocks flow in rows of so many bytes, each as wide as it is long.

const state = { policy: 0, opened: null };
const ROW_HEIGHT = 26;

function place(blocks, rowBytes) {
  let x = 0, row = 0;
  return blocks.map((block) => {
    const width = Math.min(WIDTH, Math.max(2, block.len / rowBytes * WIDTH));
    if (x > 0 && x + width > WIDTH + 0.5) { x = 0; row += 1; }
    const placed = { x, y: row * (ROW_HEIGHT + 4), width };
    x += width;
    return placed;
  });
}

// Allocations of one kind with less than half a pixel between them are drawn as one.
function runs(block, width) {
  const scale = width / block.len;
  const found = [];
  for (const [offset, len, kind] of block.allocations) {
    const last = found[found.length - 1];
    if (last && last.kind === kind && (offset - last.end) * scale < 0.5) last.end = offset + len;
    else found.push({ start: offset, end: offset + len, kind });
  }
  return found;
}

function label(block) {
  const used = block.allocations.reduce((sum, [, len]) => sum + len, 0);
  return `${block.start}, ${bytes(block.len)} in leaves of ${bytes(block.page)}, ${block.rights}, ` +
    `${number.format(block.allocations.length)} ${block.allocations.length === 1 ? "allocation" : "allocations"}, ${Math.round(used / block.len * 100)} % used`;
}

function drawMap() {
  const blocks = data.policies[state.policy].map;
  const zoom = Number(document.getElementById("zoom").value);
  document.getElementById("row-bytes").textContent = bytes(2 ** zoom);
  const places = place(blocks, 2 ** zoom);
  const height = places.length ? places[places.length - 1].y + ROW_HEIGHT : ROW_HEIGHT;
  const groups = blocks.map((block, index) => {
    const { x, y, width } = places[index];
    const scale = width / block.len;
    const inner = runs(block, width).map((run) => svg("rect", {
      class: "allocation", x: x + run.start * scale, y: y + 1, width: Math.max(0.5, (run.end - run.start) * scale),
      height: ROW_HEIGHT - 2, fill: `var(--${run.kind})`,
    }));
    return svg("g", {
      class: "block", role: "button", tabindex: index === 0 ? "0" : "-1", "data-index": index, "aria-label": label(block),
      "aria-pressed": "false",
    }, svg("title", {}, label(block)), svg("rect", { class: "frame", x, y, width, height: ROW_HEIGHT, rx: 2 }), ...inner);
  });
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${height}` }, ...groups);
  document.getElementById("map").replaceChildren(picture);
  drawWindow();
  if (blocks.length) openBlock(0);
}

// The window at its true scale: where blocks are, and how much is not used.
function drawWindow() {
  const start = BigInt(data.window.start), scale = WIDTH / data.window.len;
  const parts = data.policies[state.policy].map.map((block) => {
    const kind = (block.allocations[0] || [0, 0, "free"])[2];
    const x = Number(BigInt(block.start) - start) * scale;
    return svg("rect", { x, y: 0, width: Math.max(0.3, block.len * scale), height: 10, fill: `var(--${kind})` });
  });
  document.getElementById("window").replaceChildren(
    svg("svg", { viewBox: `0 0 ${WIDTH} 10`, role: "img", "aria-label": `The window of ${bytes(data.window.len)} at ${data.window.start}` },
      svg("rect", { width: WIDTH, height: 10, fill: "var(--free)" }), ...parts));
}

function focusBlock(index) {
  const groups = document.querySelectorAll(".block");
  const target = groups[Math.max(0, Math.min(groups.length - 1, index))];
  if (!target) return;
  groups.forEach((group) => group.setAttribute("tabindex", "-1"));
  target.setAttribute("tabindex", "0");
  target.focus();
}

function openBlock(index) {
  const block = data.policies[state.policy].map[index];
  document.querySelectorAll(".block").forEach((group) => group.setAttribute("aria-pressed", String(Number(group.dataset.index) === index)));
  const scale = WIDTH / block.len;
  const parts = block.allocations.map(([offset, len, kind, name]) => svg("rect", {
    class: "allocation open", x: offset * scale, y: 0, width: Math.max(0.6, len * scale), height: 44, fill: `var(--${kind})`,
    stroke: "var(--panel)", "stroke-width": len * scale > 3 ? 1 : 0,
  }, svg("title", {}, `${name}, ${kind}, ${bytes(len)} at +${bytes(offset)}`)));
  const rows = block.allocations.map(([offset, len, kind, name]) => [name, kind, `+0x${offset.toString(16)}`, number.format(len)]);
  document.getElementById("block").replaceChildren(
    html("h3", {}, label(block)),
    svg("svg", { viewBox: `0 0 ${WIDTH} 44`, role: "img", "aria-label": "Allocations of the block" },
      svg("rect", { width: WIDTH, height: 44, fill: "var(--free)", rx: 2 }), ...parts),
    table(["allocation", "kind", "offset", "bytes"], rows));
}

function controls() {
  const holder = document.getElementById("policies");
  state.policy = data.policies.length - 1;
  data.policies.forEach((policy, index) => {
    const input = html("input", { type: "radio", name: "policy", value: index, checked: index === state.policy ? "" : null });
    input.addEventListener("change", () => { state.policy = index; drawMap(); });
    holder.append(html("label", {}, input, ` ${policy.name}`));
  });
  document.getElementById("zoom").addEventListener("input", drawMap);
  document.getElementById("kinds").append(...KINDS.map((kind) => html("li", { style: `--swatch: var(--${kind})` }, kind)),
    html("li", { style: "--swatch: var(--free)" }, "free"));
  const map = document.getElementById("map");
  map.addEventListener("click", (event) => {
    const group = event.target.closest(".block");
    if (group) { focusBlock(Number(group.dataset.index)); openBlock(Number(group.dataset.index)); }
  });
  map.addEventListener("keydown", (event) => {
    const group = event.target.closest(".block");
    if (!group) return;
    const index = Number(group.dataset.index);
    const moves = { ArrowRight: index + 1, ArrowDown: index + 10, ArrowLeft: index - 1, ArrowUp: index - 10, Home: 0, End: Infinity };
    if (event.key in moves) focusBlock(moves[event.key]);
    else if (event.key === "Enter" || event.key === " ") openBlock(index);
    else return;
    event.preventDefault();
  });
}

function history() {
  const height = 260, left = 44, bottom = 34;
  const series = data.policies.map((policy) => policy.history);
  const lastEvent = Math.max(1, ...series.flat().map((sample) => sample.event));
  const most = Math.max(1, ...series.flat().map((sample) => sample.lost));
  const x = (event) => left + event / lastEvent * (WIDTH - left - 110);
  const y = (lost) => 12 + (1 - lost / most) * (height - 12 - bottom);
  const parts = [];
  for (let tick = 0; tick <= 4; tick += 1) {
    const lost = Math.round(most * tick / 4);
    parts.push(svg("line", { class: "axis", x1: left, x2: WIDTH - 110, y1: y(lost), y2: y(lost) }),
      svg("text", { class: "soft", x: left - 8, y: y(lost) + 4, "text-anchor": "end" }, String(lost)));
  }
  const ends = new Map();
  for (const sample of series[0] || []) ends.set(sample.mark, sample.event);
  let begin = 0, labelled = -100;
  for (const [mark, end] of ends) {
    const middle = x((begin + end) / 2);
    if (end > begin && middle - labelled > 70) {
      parts.push(svg("text", { class: "soft", x: middle, y: height - 12, "text-anchor": "middle" }, mark));
      labelled = middle;
    }
    parts.push(svg("line", { class: "axis", x1: x(end), x2: x(end), y1: 12, y2: height - bottom + 6 }));
    begin = end;
  }
  const labels = series.map((samples, index) => ({ index, y: samples.length ? y(samples[samples.length - 1].lost) : 0 })).sort((a, b) => a.y - b.y);
  labels.forEach((entry, index) => { if (index && entry.y - labels[index - 1].y < 14) entry.y = labels[index - 1].y + 14; });
  series.forEach((samples, index) => {
    const points = samples.map((sample) => `${x(sample.event).toFixed(1)},${y(sample.lost).toFixed(1)}`).join(" ");
    parts.push(svg("polyline", { class: "line", points, stroke: `var(--p${index % 5})` }, svg("title", {}, data.policies[index].name)));
  });
  for (const { index, y: at } of labels) parts.push(svg("text", { x: WIDTH - 100, y: at + 4 }, data.policies[index].name),
    svg("rect", { x: WIDTH - 108, y: at - 5, width: 4, height: 10, fill: `var(--p${index % 5})` }));
  document.getElementById("history").append(
    svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": "Losses of the direct map over the run" }, ...parts),
    behind(["policy", ...data.policies[0].marks.map((mark) => mark.mark)],
      data.policies.map((policy) => [policy.name, ...policy.marks.map((mark) => mark.direct_map_lost)])));
}

// Bars start at zero and share one scale in a chart.

const sum = (counts) => Object.values(counts).reduce((total, count) => total + count, 0);
const CHARTS = [
  ["Page-table entries for modules", (policy) => sum(policy.mappings)],
  ["Bytes mapped for one that was asked for", (policy) => policy.bytes_mapped / policy.bytes_requested],
  ["Flushes of all processors, whole run", (policy) => policy.flushes],
  ["Large leaves of the direct map lost for good", (policy) => policy.direct_map.lost_for_good],
  ["Splits, whole run", (policy) => policy.splits],
  ["iTLB misses, idle", (policy) => policy.tlb.idle.itlb_misses],
  ["iTLB misses, competing program", (policy) => policy.tlb.competing.itlb_misses],
  ["dTLB misses, idle", (policy) => policy.tlb.idle.dtlb_misses],
  ["dTLB misses, competing program", (policy) => policy.tlb.competing.dtlb_misses],
];

function bars() {
  const row = 26, left = 96, width = 360;
  for (const [title, of] of CHARTS) {
    const values = data.policies.map(of);
    const most = Math.max(...values, 1e-9);
    const show = (value) => number.format(Number.isInteger(value) ? value : Number(value.toFixed(3)));
    const parts = values.flatMap((value, index) => {
      const length = value / most * (width - left - 74);
      const y = index * row;
      return [
        svg("text", { x: left - 8, y: y + 15, "text-anchor": "end" }, data.policies[index].name),
        svg("rect", { class: "bar", x: left, y: y + 4, width: Math.max(length, value ? 1 : 0), height: row - 10, rx: 2, fill: `var(--p${index % 5})` },
          svg("title", {}, `${data.policies[index].name}: ${show(value)}`)),
        svg("text", { class: "soft", x: left + length + 6, y: y + 15 }, show(value)),
      ];
    });
    parts.push(svg("line", { class: "axis", x1: left, x2: left, y1: 0, y2: values.length * row }));
    document.getElementById("bars").append(html("figure", {}, html("h3", {}, title),
      svg("svg", { viewBox: `0 0 ${width} ${values.length * row}`, role: "img", "aria-label": title }, ...parts),
      behind(["policy", title], data.policies.map((policy, index) => [policy.name, show(values[index])]))));
  }
}

summary();
controls();
drawMap();
history();
bars();
document.documentElement.dataset.drawn = "yes";
