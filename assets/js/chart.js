// Draws the line charts of a run (see studio/ui/charts.py). All panels share the steps in view and the step pointed at.
// Runs inside Gradio's HTML component: `element`, `props` and `watch` are given. Text is only ever set as textContent.
const NS = "http://www.w3.org/2000/svg";
const PAD = {left: 52, right: 14, top: 10, bottom: 24};
let data = null, zoom = null, hidden = new Set(), panels = [], shape = "";

function node(parent, tag, attributes = {}, text = null) {
  const made = tag === "svg" || parent.namespaceURI === NS ? document.createElementNS(NS, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== null) made.textContent = text;
  parent.appendChild(made);
  return made;
}

function format(value, unit) {
  if (value === null || value === undefined) return "–";
  if (unit === "bytes") return value >= 1e9 ? +(value / 1e9).toPrecision(3) + " GB" : Math.round(value / 1e6) + " MB";
  if (unit === "share") return +(value * 100).toPrecision(3) + " %";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (unit === "rate" || size < 0.001) return size < 0.0001 ? value.toExponential(1) : String(+value.toPrecision(3));
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  return String(+value.toPrecision(unit === "loss" ? 4 : 3));
}

function ticks(low, high, count) {
  const raw = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map(m => m * power).find(s => s >= raw) || raw;
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-6; i++) found.push(+(i * step).toPrecision(12));
  return found;
}

function shown(chart) { return chart.series.filter(s => !hidden.has(s.group)); }

function extent() {
  let low = Infinity, high = -Infinity;
  for (const chart of data.charts) for (const s of chart.series) {
    if (s.x.length) { low = Math.min(low, s.x[0]); high = Math.max(high, s.x[s.x.length - 1]); }
  }
  if (low > high) return [0, 1];
  return low === high ? [low, low + 1] : [low, high];
}

function build() {
  element.textContent = "";
  const root = node(element, "div", {class: "chart-grid"});
  panels = data.charts.map(chart => {
    const box = node(root, "figure", {class: "chart-panel" + (chart.wide ? " chart-wide" : "")});
    const head = node(box, "figcaption", {class: "chart-head"});
    node(head, "span", {class: "chart-title"}, chart.title);
    head.title = data.words.zoom;
    const legend = node(head, "span", {class: "chart-legend"});
    const reset = node(head, "button", {class: "chart-reset", type: "button", hidden: ""}, data.words.reset);
    reset.onclick = () => { zoom = null; draw(); };
    const area = node(box, "div", {class: "chart-area"});
    const svg = node(area, "svg", {role: "img", class: "chart-svg"});
    const tip = node(area, "div", {class: "chart-tip", hidden: ""});
    if (chart.about) node(box, "p", {class: "chart-about"}, chart.about);
    const panel = {chart, box, head, legend, reset, area, svg, tip, scale: null};
    listen(panel);
    return panel;
  });
}

function legend(panel) {
  panel.legend.textContent = "";
  if (panel.chart.series.length < 2) return;
  for (const s of panel.chart.series) {
    const off = hidden.has(s.group);
    const item = node(panel.legend, "button", {type: "button", class: "chart-key" + (off ? " chart-off" : ""), "aria-pressed": String(!off)});
    node(item, "span", {class: `chart-swatch chart-c${s.color % 8} chart-${s.style}`});
    node(item, "span", {}, s.name);
    item.onclick = () => { off ? hidden.delete(s.group) : hidden.add(s.group); draw(); };
  }
}

function path(s, X, Y, from, to) {
  let d = "", pen = false;
  for (let i = 0; i < s.x.length; i++) {
    if (s.y[i] === null) { pen = false; continue; }
    if ((i + 1 < s.x.length && s.x[i + 1] < from) || (i > 0 && s.x[i - 1] > to)) { pen = false; continue; }
    d += (pen ? "L" : "M") + X(s.x[i]).toFixed(1) + "," + Y(s.y[i]).toFixed(1);
    pen = true;
  }
  return d;
}

function drawPanel(panel) {
  const {chart, svg, area} = panel;
  const width = area.clientWidth, height = area.clientHeight;
  if (!width || !height) return;
  const [from, to] = zoom || extent();
  let low = Infinity, high = -Infinity;
  for (const s of shown(chart)) for (let i = 0; i < s.x.length; i++) {
    if (s.x[i] < from || s.x[i] > to || s.y[i] === null) continue;
    if (s.y[i] < low) low = s.y[i];
    if (s.y[i] > high) high = s.y[i];
  }
  if (low > high) { low = 0; high = 1; }
  if (chart.zero) low = Math.min(0, low);
  const room = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
  high += room;
  if (!chart.zero) low -= room;
  const X = v => PAD.left + (v - from) / (to - from) * (width - PAD.left - PAD.right);
  const Y = v => height - PAD.bottom - (v - low) / (high - low) * (height - PAD.top - PAD.bottom);
  panel.scale = {from, to, X, Y, width, height, back: x => from + (x - PAD.left) / (width - PAD.left - PAD.right) * (to - from)};

  svg.textContent = "";
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("aria-label", chart.title + ": " + shown(chart).filter(s => s.style !== "faint").map(s => {
    const y = s.y.filter(v => v !== null);
    return `${s.name} ${format(y[0], chart.unit)} → ${format(y[y.length - 1], chart.unit)}`;
  }).concat(chart.marks.map(m => `${m.number}: ${m.label}, ${data.words.step} ${m.step}`)).join(", "));
  for (const tick of ticks(low, high, chart.wide ? 5 : 3)) {
    const y = Y(tick);
    if (y > height - PAD.bottom + 1 || y < PAD.top - 4) continue;
    node(svg, "line", {class: "chart-line", x1: PAD.left, x2: width - PAD.right, y1: y, y2: y});
    node(svg, "text", {class: "chart-tick", x: PAD.left - 8, y: y + 4, "text-anchor": "end"}, format(tick, chart.unit));
  }
  for (const tick of ticks(from, to, Math.max(2, Math.floor(width / 110)))) {
    if (!Number.isInteger(tick)) continue;
    node(svg, "text", {class: "chart-tick", x: X(tick), y: height - 6, "text-anchor": "middle"}, tick.toLocaleString("en"));
  }
  const clip = "clip-" + chart.key + "-" + (element.id || "chart");
  const inside = node(node(svg, "clipPath", {id: clip}), "rect", {x: PAD.left - 4, y: 0, width: width - PAD.left - PAD.right + 8, height: height - PAD.bottom + 4});
  const lines = node(svg, "g", {"clip-path": `url(#${clip})`});
  for (const s of shown(chart)) {
    node(lines, "path", {class: `chart-stroke chart-c${s.color % 8} chart-${s.style}`, d: path(s, X, Y, from, to)});
    if (s.style === "dots" || s.x.length === 1) for (let i = 0; i < s.x.length; i++) {
      if (s.y[i] !== null && s.x.length <= 200) node(lines, "circle", {class: `chart-dot chart-c${s.color % 8}`, cx: X(s.x[i]), cy: Y(s.y[i]), r: 3.5});
    }
  }
  marks(panel, X, from, to, height);
  panel.cursor = node(svg, "line", {class: "chart-cursor", y1: PAD.top, y2: height - PAD.bottom, visibility: "hidden"});
  panel.brush = node(svg, "rect", {class: "chart-brush", y: PAD.top, height: height - PAD.top - PAD.bottom, visibility: "hidden"});
  panel.reset.hidden = !zoom || !chart.wide;
}

// The steps that notes are about: a line, and the note's number at its top; where two are close, one below the other.
function marks(panel, X, from, to, height) {
  let last = -Infinity, row = 0;
  for (const mark of [...panel.chart.marks].sort((a, b) => a.step - b.step)) {
    if (mark.step < from || mark.step > to) continue;
    const x = X(mark.step);
    row = x - last < 22 ? row + 1 : 0;
    last = x;
    const y = PAD.top + row * 22;
    const group = node(panel.svg, "g", {class: `chart-mark chart-mark-${mark.severity}`});
    node(group, "title", {}, mark.label);
    node(group, "line", {x1: x, x2: x, y1: y, y2: height - PAD.bottom});
    node(group, "circle", {cx: x, cy: y, r: 9});
    node(group, "text", {x, y: y + 4, "text-anchor": "middle"}, String(mark.number));
  }
}

function draw() {
  if (!data) return;
  for (const panel of panels) { legend(panel); drawPanel(panel); }
}

function nearest(xs, x) {
  let low = 0, high = xs.length - 1;
  while (low < high) { const mid = (low + high) >> 1; xs[mid] < x ? low = mid + 1 : high = mid; }
  return low > 0 && x - xs[low - 1] < xs[low] - x ? low - 1 : low;
}

function point(step, over) {
  for (const panel of panels) {
    const {scale, chart, cursor, tip} = panel;
    if (!scale || !cursor) continue;
    const visible = step !== null && step >= scale.from && step <= scale.to;
    cursor.setAttribute("visibility", visible ? "visible" : "hidden");
    tip.hidden = !(visible && panel === over);
    if (!visible) continue;
    const x = scale.X(step);
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    if (panel !== over) continue;
    tip.textContent = "";
    node(tip, "div", {class: "chart-tip-step"}, `${data.words.step} ${step.toLocaleString("en")}`);
    for (const s of shown(chart)) {
      if (!s.x.length) continue;
      const i = nearest(s.x, step);
      const row = node(tip, "div", {class: "chart-tip-row"});
      node(row, "span", {class: `chart-swatch chart-c${s.color % 8} chart-${s.style}`});
      const own = s.x[i] === step ? "" : ` (${data.words.step} ${s.x[i].toLocaleString("en")})`;
      node(row, "span", {class: "chart-tip-name"}, s.name + own);
      node(row, "b", {}, format(s.y[i], chart.unit));
    }
    const left = x + 14 + tip.offsetWidth > scale.width ? x - 14 - tip.offsetWidth : x + 14;
    tip.style.left = Math.max(0, left) + "px";
    tip.style.top = PAD.top + "px";
  }
}

function listen(panel) {
  let start = null;
  const at = event => event.clientX - panel.area.getBoundingClientRect().left;
  const step = event => {
    const xs = (panel.chart.series.find(s => s.x.length) || {x: []}).x;
    return xs.length ? xs[nearest(xs, panel.scale.back(at(event)))] : null;
  };
  panel.area.addEventListener("pointerdown", event => {
    if (event.button || !panel.scale || event.pointerType === "touch") return;
    start = at(event);
    panel.area.setPointerCapture(event.pointerId);
  });
  panel.area.addEventListener("pointermove", event => {
    if (!panel.scale) return;
    if (start === null) { point(step(event), panel); return; }
    const [a, b] = [start, at(event)].sort((p, q) => p - q);
    panel.brush.setAttribute("x", Math.max(PAD.left, a));
    panel.brush.setAttribute("width", Math.max(0, Math.min(b, panel.scale.width - PAD.right) - Math.max(PAD.left, a)));
    panel.brush.setAttribute("visibility", "visible");
  });
  panel.area.addEventListener("pointerup", event => {
    if (start === null) return;
    const [a, b] = [start, at(event)].sort((p, q) => p - q);
    start = null;
    panel.brush.setAttribute("visibility", "hidden");
    if (b - a < 8) return;
    const all = extent();
    const from = Math.max(all[0], panel.scale.back(a)), to = Math.min(all[1], panel.scale.back(b));
    if (to - from >= 1) { zoom = [from, to]; draw(); }
  });
  panel.area.addEventListener("pointerleave", () => { if (start === null) point(null, null); });
  panel.area.addEventListener("dblclick", () => { zoom = null; draw(); });
}

function update() {
  const next = props.value ? JSON.parse(props.value) : null;
  if (!next || !next.charts.length) { data = null; shape = ""; element.textContent = ""; return; }
  if (!data || data.view !== next.view) { zoom = null; hidden = new Set(); }
  const began = performance.now();
  data = next;
  const nextShape = JSON.stringify(next.charts.map(c => [c.key, c.title, c.wide, c.about]));
  if (nextShape !== shape || !element.firstChild) { shape = nextShape; build(); }
  data.charts.forEach((chart, i) => { panels[i].chart = chart; });
  draw();
  element.dataset.points = data.charts.reduce((n, c) => n + c.series.reduce((m, s) => m + s.x.length, 0), 0);
  element.dataset.milliseconds = (performance.now() - began).toFixed(1);
}

new ResizeObserver(() => draw()).observe(element);
watch("value", update);
update();
