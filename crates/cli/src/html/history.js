"use strict";
// Large pages that the direct map has lost, over the run.

const DASHES = { module_alloc: "1 3", prog_pack: "6 3", "execmem-v2": "8 3 2 3", linux: null, execmem: null };

function drawHistory() {
  const holder = byId("history");
  if (!holder) return;
  const width = Math.max(260, holder.clientWidth), height = 240, left = 36, right = width < 640 ? 12 : 110, bottom = 24, top = 10;
  const policies = data.policies.filter((policy) => !policy.isRead);
  const series = policies.map((policy) => policy.history);
  const lastEvent = Math.max(1, ...series.flatMap((points) => points.map((point) => point[0])));
  const most = Math.max(1, ...series.flatMap((points) => points.map((point) => point[1])));
  const x = (event) => left + event / lastEvent * (width - left - right);
  const y = (lost) => top + (1 - lost / most) * (height - top - bottom);
  const parts = [];
  for (const lost of [0, Math.round(most / 2), most]) {
    parts.push(svg("line", { class: "axis", x1: left, x2: width - right, y1: y(lost), y2: y(lost) }),
      svg("text", { x: left - 6, y: y(lost) + 4, "text-anchor": "end" }, String(lost)));
  }
  let labelled = -1000;
  for (const [event, mark] of data.states) {
    if (!mark) continue;
    parts.push(svg("line", { class: "axis", x1: x(event), x2: x(event), y1: top, y2: height - bottom }));
    if (x(event) - labelled > 80 && x(event) > left + 20) {
      parts.push(svg("text", { x: x(event), y: height - 8, "text-anchor": x(event) > width - 60 ? "end" : "middle" }, mark));
      labelled = x(event);
    }
  }
  const labels = series.map((points, index) => ({ index, y: points.length ? y(points[points.length - 1][1]) : top })).sort((a, b) => a.y - b.y);
  labels.forEach((label, place) => { if (place && label.y - labels[place - 1].y < 15) label.y = labels[place - 1].y + 15; });
  const spill = labels.length ? Math.max(0, labels[labels.length - 1].y - (height - bottom)) : 0;
  series.forEach((points, index) => {
    const name = policies[index].name;
    parts.push(svg("polyline", { class: "curve", points: points.map(([event, lost]) => `${x(event).toFixed(1)},${y(lost).toFixed(1)}`).join(" "),
      stroke: colour(policies[index]), "stroke-dasharray": DASHES[name] }, svg("title", {}, name)));
  });
  const name = (index) => policies[index].name;
  if (width >= 640) {
    for (const label of labels) {
      parts.push(svg("line", { x1: width - right + 6, x2: width - right + 22, y1: label.y - spill, y2: label.y - spill, class: "curve",
        stroke: colour(policies[label.index]), "stroke-dasharray": DASHES[name(label.index)] }),
        svg("text", { x: width - right + 28, y: label.y - spill + 4 }, name(label.index)));
    }
  }
  const legend = html("ul", { class: "legend" }, ...policies.map((policy) => html("li", {}, svg("svg", { width: 24, height: 8, "aria-hidden": "true" },
    svg("line", { class: "curve", x2: 24, y1: 4, y2: 4, stroke: colour(policy), "stroke-dasharray": DASHES[policy.name] })), policy.name)));
  holder.replaceChildren(html("figcaption", {}, html("p", {}, "Large pages that the direct map has lost, over loads and unloads.")),
    svg("svg", { width, height, role: "img", "aria-label": "Losses of the direct map over the run; the table has the numbers" }, ...parts),
    ...(width < 640 ? [legend] : []));
}

drawHistory();
let drawnWidth = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === drawnWidth) return;
  drawnWidth = innerWidth;
  data.policies.forEach((_, index) => draw(index));
  drawHistory();
});
document.documentElement.dataset.drawn = "yes";
