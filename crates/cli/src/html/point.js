"use strict";
// Pointing at what lies in the maps: by mouse, by arrow keys, by search, and by the link of the page.

// One part is pointed at: by the mouse, by arrow keys, or by the link.
function describe(policy, part, map) {
  const leaf = alive(policy.leaves, view.state).find((leaf) => leaf.at <= part.at && part.at < leaf.at + leaf.len);
  if (!leaf) return `${part.name}, ${part.kind}, ${bytes(part.len)} at ${address(policy, part.at)}`;
  const others = inside(map.parts, leaf.at, leaf.at + leaf.len).length - 1;
  const where = leaf.page > smallest
    ? `in a leaf of ${bytes(leaf.page)} with ${plural(others, "other", "others")}`
    : `in ${plural(Math.ceil((part.at + part.len) / leaf.page) - Math.floor(part.at / leaf.page), "leaf", "leaves")} of ${bytes(leaf.page)}`;
  if (policy.isRead) return `${part.name}, ${part.kind}, at ${address(policy, part.at)}, as it was read`;
  return `${part.name}, ${part.kind}, ${bytes(part.len)} at ${address(policy, part.at)}, ${where}, ${leaf.rights}`;
}

function point(index, cursor, isChosen) {
  const map = maps[index], policy = data.policies[index];
  const strip = map.figure.querySelector(".strip");
  map.cursor = map.parts.length ? Math.max(-1, Math.min(map.parts.length - 1, cursor)) : -1;
  const part = map.parts[map.cursor];
  strip.setAttribute("aria-valuemax", Math.max(0, map.parts.length - 1));
  strip.setAttribute("aria-valuenow", Math.max(0, map.cursor));
  strip.setAttribute("aria-valuetext", part ? describe(policy, part, map) : `${plural(map.parts.length, "part", "parts")}, none chosen`);
  const item = part && map.items.find((item) => item.leaf && item.start <= part.at && part.at < item.start + item.len);
  map.outline.setAttribute("visibility", item ? "visible" : "hidden");
  if (item) {
    const scale = strip.clientWidth / 2 ** view.zoom;
    const x = item.x + (part.at - item.start) * scale, height = heightOf(item.leaf.page);
    const width = Math.max(3, Math.min(item.x + item.width - x, part.len * scale));
    const box = { x: x - 1, width: width + 2, y: item.row * ROW + LABEL + TALL - height - 1, height: height + 2 };
    for (const [name, value] of Object.entries(box)) map.outline.setAttribute(name, value);
  }
  if (!isChosen || !part) return;
  maps.forEach((other, place) => { if (place !== index && other.cursor >= 0) point(place, -1, false); });
  view.policy = index; view.at = part.at;
  inspect(index, part);
  writeLink();
}

function inspect(index, part) {
  const policy = data.policies[index], map = maps[index];
  const leaf = alive(policy.leaves, view.state).find((leaf) => leaf.at <= part.at && part.at < leaf.at + leaf.len);
  const all = leaf ? inside(map.parts, leaf.at, leaf.at + leaf.len) : [part];
  const overlap = (other) => Math.min(other.at + other.len, leaf.at + leaf.len) - Math.max(other.at, leaf.at);
  const used = leaf ? all.reduce((sum, other) => sum + overlap(other), 0) : 0;
  const rows = all.slice(0, 400).map((other) => html("tr", {}, html("th", { scope: "row" }, other.name), html("td", {}, other.kind),
    html("td", {}, address(policy, other.at)), html("td", { class: "number" }, grouped.format(other.len))));
  byId("inspector").replaceChildren(
    html("h3", {}, policy.name),
    html("p", {}, describe(policy, part, map)),
    html("p", {}, leaf && leaf.page ? `${grouped.format(leaf.len / leaf.page)} × ${bytes(leaf.page)} from ${address(policy, leaf.at)}, ` +
      `${Math.round(used / leaf.len * 100)} % used by ${plural(all.length, "part", "parts")}` : ""),
    html("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "What lies in the same leaves" },
      html("table", {}, html("thead", {}, html("tr", {}, ...["name", "kind", "address", "bytes"].map((head) => html("th", { scope: "col" }, head)))),
        html("tbody", {}, ...rows))));
}

// The part under a place of the strip, or the nearest in the same leaf.
function partAt(index, event) {
  const map = maps[index];
  const box = map.figure.querySelector(".strip").getBoundingClientRect();
  const x = event.clientX - box.left, row = Math.floor((event.clientY - box.top) / ROW);
  const item = map.items.find((item) => item.leaf && item.row === row && item.x - 2 <= x && x <= item.x + item.width + 2);
  if (!item) return -1;
  const at = item.start + (x - item.x) * 2 ** view.zoom / box.width;
  const near = inside(map.parts, item.start, item.start + item.len);
  const distance = (part) => Math.max(part.at - at, at - part.at - part.len, 0);
  const best = near.reduce((best, part) => (best && distance(best) <= distance(part) ? best : part), null);
  return best ? map.parts.indexOf(best) : -1;
}

const tip = html("div", { id: "tip", hidden: "" });
document.body.append(tip);

function hover(index, event) {
  const map = maps[index], part = map.parts[partAt(index, event)];
  tip.hidden = !part;
  if (!part) return;
  tip.textContent = describe(data.policies[index], part, map);
  tip.style.left = `${Math.min(event.clientX + 12, innerWidth - Math.min(340, innerWidth * 0.9) - 8)}px`;
  tip.style.top = `${event.clientY + 16}px`;
}

const STEPS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 25, PageDown: -25, Home: -Infinity, End: Infinity };
function key(index, event) {
  if (!(event.key in STEPS)) return;
  event.preventDefault();
  const map = maps[index], last = map.parts.length - 1;
  point(index, Math.max(0, Math.min(last, map.cursor + STEPS[event.key])), true);
}

function makeMaps() {
  const holder = byId("maps");
  data.policies.forEach((policy, index) => {
    const strip = html("div", { class: "strip", tabindex: "0", role: "slider", "aria-label": `What lies in the memory of ${policy.name}`,
      "aria-valuemin": "0", "aria-valuemax": "0", "aria-valuenow": "0", "aria-orientation": "horizontal" });
    const figure = html("figure", { class: "map", style: `--policy: ${colour(policy)}` }, html("figcaption", {}), strip);
    maps[index].figure = figure;
    strip.addEventListener("keydown", (event) => key(index, event));
    strip.addEventListener("click", (event) => point(index, partAt(index, event), true));
    strip.addEventListener("pointermove", (event) => hover(index, event));
    strip.addEventListener("pointerleave", () => { tip.hidden = true; });
    holder.append(figure);
  });
}

function showState() {
  const [event, mark, seconds] = data.states[view.state];
  byId("state").value = view.state;
  byId("moment").textContent = [mark || "", seconds === null ? `event ${grouped.format(event)}` : `${seconds} s`].filter(Boolean).join(", ");
  byId("state").setAttribute("aria-valuetext", byId("moment").textContent);
  document.querySelectorAll("#marks button").forEach((button) => button.setAttribute("aria-pressed", String(Number(button.dataset.state) === view.state)));
  byId("zoom").value = view.zoom;
  byId("row").textContent = bytes(2 ** view.zoom);
  byId("zoom").setAttribute("aria-valuetext", byId("row").textContent);
  byId("find").value = view.find;
  data.policies.forEach((_, index) => draw(index));
  showFound();
}

function showFound() {
  if (!view.find) { byId("found").textContent = ""; return; }
  const lines = data.policies.filter((policy) => !policy.isRead).map((policy) => {
    const map = maps[data.policies.indexOf(policy)];
    const hits = map.parts.filter((part) => matches(part.name));
    const touched = new Set();
    for (const leaf of alive(policy.leaves, view.state)) {
      for (const part of hits) {
        const start = Math.max(part.at, leaf.at), end = Math.min(part.at + part.len, leaf.at + leaf.len);
        for (let page = Math.floor((start - leaf.at) / leaf.page); page * leaf.page < end - leaf.at && end > start; page += 1) touched.add(leaf.at + page * leaf.page);
      }
    }
    return `${policy.name}: ${plural(hits.length, "part", "parts")} in ${plural(touched.size, "leaf", "leaves")}`;
  });
  byId("found").textContent = lines.join("; ");
}

function legend() {
  const kinds = new Set(data.policies.flatMap((policy) => policy.parts.map((part) => part.kind)));
  const swatch = (kind) => svg("svg", { width: 12, height: 12, "aria-hidden": "true" }, svg("rect", { width: 12, height: 12, rx: 2, fill: `var(--${kind})` }));
  const large = svg("svg", { width: 26, height: 18, "aria-hidden": "true" }, svg("rect", { class: "ground", width: 26, height: 18 }), svg("rect", { class: "tile", x: 0.75, y: 0.75, width: 24.5, height: 16.5, rx: 3 }));
  const small = svg("svg", { width: 26, height: 18, "aria-hidden": "true" }, svg("rect", { class: "ground", y: 10, width: 26, height: 8 }), svg("path", { class: "teeth", d: "M1 10v-5M5 10v-5M9 10v-5M13 10v-5M17 10v-5M21 10v-5M25 10v-5" }));
  const pages = [...new Set(data.policies.flatMap((policy) => policy.leaves.map((leaf) => leaf.page)))].filter((page) => page > smallest).sort((a, b) => b - a);
  const items = [];
  if (pages.length) items.push(html("li", {}, large, `leaf of ${pages.map(bytes).join(", ")}`));
  items.push(html("li", {}, small, `leaves of ${bytes(smallest)}`), html("li", {}, swatch("free"), "mapped, unused"));
  for (const kind of data.kinds) if (kinds.has(kind)) items.push(html("li", {}, swatch(kind), kind));
  byId("legend").replaceChildren(...items);
}

function controls() {
  byId("state").max = data.states.length - 1;
  const change = (id, name, read) => byId(id).addEventListener("input", (event) => { view[name] = read(event.target.value); showState(); writeLink(); });
  change("state", "state", Number);
  change("zoom", "zoom", Number);
  change("find", "find", String);
  const marks = data.states.map(([, mark], state) => ({ mark, state })).filter(({ mark }) => mark);
  byId("marks").replaceChildren(...marks.map(({ mark, state }) => {
    const button = html("button", { type: "button", "data-state": state, "aria-pressed": "false" }, mark);
    button.addEventListener("click", () => { view.state = state; showState(); writeLink(); });
    return button;
  }));
  byId("names").replaceChildren(...[...new Set(data.names)].slice(0, 3000).map((name) => html("option", { value: name })));
  byId("link").addEventListener("click", async () => {
    writeLink();
    try { await navigator.clipboard.writeText(location.href); byId("link").textContent = "Copied"; } catch { byId("link").textContent = "The address bar has it"; }
  });
}

function follow() {
  readLink();
  showState();
  if (view.at !== null) point(view.policy, maps[view.policy].parts.findIndex((part) => part.at === view.at), true);
}

makeMaps();
legend();
controls();
follow();
addEventListener("hashchange", follow);
