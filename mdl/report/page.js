"use strict";
// A cursor on every chart: it follows the pointer, a finger or the arrow keys, and shows the values
// of one epoch beside it. The other charts mark the same epoch. All texts come ready made.
const SVG = "http://www.w3.org/2000/svg";
const charts = [...document.querySelectorAll("figure[data-chart]")].map((figure) => ({
  figure,
  svg: figure.querySelector("svg[role]"),
  cursor: figure.querySelector(".cursor"),
  tip: figure.querySelector(".tip"),
  data: JSON.parse(figure.dataset.chart),
  place: -1,
}));

function add(parent, name, attributes) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  parent.append(node);
}

function write(parent, tag, text, style) {
  const node = document.createElement(tag);
  if (style) {
    const dot = document.createElement("i");
    dot.className = style;
    node.append(dot);
  }
  node.append(text);
  parent.append(node);
}

function mark(chart, place) {
  const { data, cursor } = chart;
  chart.place = place;
  cursor.replaceChildren();
  if (place < 0) return;
  const x = data.x[place];
  add(cursor, "line", { x1: x, x2: x, y1: data.top, y2: data.bottom });
  for (const line of data.lines) {
    if (line.y[place] !== null) add(cursor, "circle", { cx: x, cy: line.y[place], r: 4.5, class: line.style });
  }
}

function fill(chart) {
  const { data, place, tip, svg, figure } = chart;
  tip.replaceChildren();
  write(tip, "b", "epoch " + data.epoch[place].toLocaleString("en"));
  for (const line of data.lines) {
    if (line.text[place] === null) continue;
    const row = document.createElement("div");
    write(row, "span", line.label, line.style);
    write(row, "span", line.text[place]);
    tip.append(row);
  }
  tip.hidden = false;
  const box = svg.getBoundingClientRect(), frame = figure.getBoundingClientRect();
  const x = box.left - frame.left + (data.x[place] / svg.viewBox.baseVal.width) * box.width;
  const isLeft = x + 14 + tip.offsetWidth > frame.width;
  tip.style.left = Math.max(0, isLeft ? x - 14 - tip.offsetWidth : x + 14) + "px";
  tip.style.top = box.top - frame.top + 10 + "px";
}

function show(chart, place) {
  if (place === chart.place && !chart.tip.hidden) return;
  const epoch = chart.data.epoch[place];
  for (const other of charts) {
    other.tip.hidden = true;
    mark(other, other.data.epoch.indexOf(epoch));
  }
  fill(chart);
}

function clear() {
  for (const chart of charts) {
    chart.tip.hidden = true;
    mark(chart, -1);
  }
}

function nearest(chart, event) {
  const box = chart.svg.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * chart.svg.viewBox.baseVal.width;
  let best = 0;
  chart.data.x.forEach((value, place) => {
    if (Math.abs(value - x) < Math.abs(chart.data.x[best] - x)) best = place;
  });
  return best;
}

for (const chart of charts) {
  const last = chart.data.epoch.length - 1;
  const follow = (event) => show(chart, nearest(chart, event));
  chart.svg.addEventListener("pointermove", follow);
  chart.svg.addEventListener("pointerdown", follow);
  chart.svg.addEventListener("pointerleave", clear);
  chart.svg.addEventListener("blur", clear);
  chart.svg.addEventListener("keydown", (event) => {
    const from = chart.place < 0 ? last : chart.place;
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last }[event.key];
    if (event.key === "Escape") clear();
    if (to === undefined) return;
    event.preventDefault();
    show(chart, Math.min(last, Math.max(0, to)));
  });
}
