"use strict";
// What all drawings share: the data of the page, elements, numbers, the state of the page and its link.

const data = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";

function element(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}
const html = (tag, attributes, ...children) => element(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => element(document.createElementNS(SVG, tag), attributes, children);
const byId = (id) => document.getElementById(id);

const colour = (policy) => `var(--policy-${policy.isRead ? "read" : policy.name})`;

const grouped = new Intl.NumberFormat("en");
function bytes(count) {
  const units = ["B", "K", "M", "G", "T", "P"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) { count /= 1024; unit += 1; }
  return `${Number(count.toFixed(count < 10 ? 1 : 0))}${units[unit]}`;
}
const address = (policy, offset) => `0x${(BigInt(policy.base) + BigInt(offset)).toString(16)}`;
const plural = (count, one, several) => `${grouped.format(count)} ${count === 1 ? one : several}`;

// Rows of numbers become objects, in order of address.
const byAddress = (a, b) => a.at - b.at || a.len - b.len;
for (const policy of data.policies) {
  policy.leaves = policy.leaves.map(([at, len, page, rights, from, to]) =>
    ({ at, len, page, rights: data.rights[rights], from, to })).sort(byAddress);
  policy.parts = policy.parts.map(([at, len, kind, load, from, to]) =>
    ({ at, len, kind: data.kinds[kind], name: data.names[load] || "?", from, to })).sort(byAddress);
}
const alive = (list, state) => list.filter((item) => item.from <= state && state < item.to);
// Leaves whose size could not be read have the size 0.
const smallest = Math.min(...data.policies.flatMap((policy) => policy.leaves.map((leaf) => leaf.page || Infinity)));

// The state of the page: it is what the link says, and the link says it.
const view = { state: data.start, zoom: 23, find: "", policy: null, at: null };

function readLink() {
  const link = new URLSearchParams(location.hash.slice(1));
  const number = (name, from, to, other) => {
    const value = link.has(name) ? Number(link.get(name)) : NaN;
    return Number.isInteger(value) && value >= from && value <= to ? value : other;
  };
  view.state = number("state", 0, data.states.length - 1, data.start);
  view.zoom = number("row", 20, 28, fittingZoom());
  view.find = link.get("find") || "";
  view.policy = data.policies.findIndex((policy) => policy.name === link.get("policy"));
  view.at = view.policy < 0 ? null : number("at", 0, Number.MAX_SAFE_INTEGER, null);
}

function writeLink() {
  const link = new URLSearchParams({ state: view.state, row: view.zoom });
  if (view.find) link.set("find", view.find);
  if (view.at !== null) { link.set("policy", data.policies[view.policy].name); link.set("at", view.at); }
  history.replaceState(null, "", `#${link}`);
}

// So much in a row that the longest map has about three rows.
function fittingZoom() {
  const mapped = data.policies.filter((policy) => !policy.isRead).map((policy) => alive(policy.leaves, data.start).reduce((sum, leaf) => sum + leaf.len, 0));
  const most = Math.max(...mapped, 1 << 20);
  return Math.min(28, Math.max(20, Math.ceil(Math.log2(most / 3))));
}
