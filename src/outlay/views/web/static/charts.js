// Charts as SVG: drawn here, so that they work offline, follow the theme, and can be taken along as SVG, PNG and CSV.

import { h, s, table } from "./dom.js";

const COLOURS = 7;
const CHAR = 7.7;
const TABLE_ROWS = 500;

/** A chart with its title, its exports and a table that says the same.
 *  extra: what belongs below the drawing. draw(width): the SVG. data(): {columns, rows} of plain values, and `cells(row)` for the table where cells are links. */
export function chart({ title, name, note, extra, draw, data }) {
  const plot = h("div", { class: "plot" });
  const readout = h("p", { class: "readout", "aria-hidden": "true" });
  const said = h("div", {});
  const fold = h("details", { class: "as-table" }, h("summary", {}, "As a table"), said);
  const button = (kind, work) => h("button", { type: "button", class: "quiet", "aria-label": `Download ${title} as ${kind}`, on: { click: work } }, kind);
  const exports = h(
    "div",
    { class: "exports" },
    button("SVG", () => download(`${name}.svg`, svgBlob(plot.firstChild))),
    button("PNG", () => png(plot.firstChild, `${name}.png`)),
    button("CSV", () => download(`${name}.csv`, new Blob([csv(data())], { type: "text/csv" }))),
  );
  const node = h("figure", { class: "chart", "data-keep": true, "data-key": `chart-${name}` }, h("figcaption", {}, h("h2", {}, title), exports), plot, readout, extra, note && h("p", { class: "faint" }, note), fold);
  let width = 0;
  const redraw = () => {
    if (!width) return;
    const svg = draw(width, (words) => (readout.textContent = words));
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `${title}; the table below says the same`);
    plot.replaceChildren(svg);
    if (fold.open) tell();
  };
  const tell = () => {
    const { columns, rows, cells } = data();
    const shown = rows.slice(0, TABLE_ROWS);
    said.replaceChildren(
      table(title, columns.map((c, n) => ({ name: c, right: n > 0 && typeof (rows[0] || [])[n] === "number" })), shown.map((row) => (cells ? cells(row) : row.map((cell) => (typeof cell === "number" ? cell.toLocaleString("en-US") : cell ?? "")))), "No data."),
      rows.length > shown.length ? h("p", { class: "faint" }, `The first ${TABLE_ROWS} of ${rows.length} lines; CSV has all.`) : "",
    );
  };
  fold.addEventListener("toggle", () => fold.open && tell());
  new ResizeObserver(([entry]) => {
    const now = Math.floor(entry.contentRect.width);
    if (now && now !== width) {
      width = now;
      redraw();
    }
  }).observe(plot);
  return { node, redraw };
}

// ---- kinds

/** Curves on top of each other. get(): {times, curves: [{name, values}]}; write: a value in words; when: a time in words. */
export function areas(get, { write, when, empty, high = 220 }) {
  return (width, read) => {
    const { times, curves } = get();
    if (times.length < 1) return nothing(width, empty);
    const legend = keys(curves.map((c) => c.name), width);
    const box = { left: 58, right: 14, top: legend.height + 12, bottom: 26, height: high };
    const height = box.top + box.height + box.bottom;
    const stacked = [];
    let below = times.map(() => 0);
    for (const curve of curves) {
      const upper = curve.values.map((v, n) => v + below[n]);
      stacked.push({ lower: below, upper });
      below = upper;
    }
    const top = nice(Math.max(...below, 1e-12));
    const span = Math.max(times.at(-1) - times[0], 1);
    const x = (n) => box.left + ((times[n] - times[0]) / span) * (width - box.left - box.right);
    const y = (value) => box.top + box.height * (1 - value / top);
    const layers = stacked.map(({ lower, upper }, place) => {
      const forth = upper.map((v, n) => `${n ? `H${r(x(n))}V` : `M${r(x(n))} `}${r(y(v))}`).join("");
      const back = lower.map((v, n) => [v, n]).reverse().map(([v, n], at) => `${at ? `V${r(y(v))}H${r(x(n))}` : `V${r(y(v))}`}`).join("");
      return s("path", { class: `fill c${place % COLOURS}`, d: `${forth}${back}Z` });
    });
    const line = s("line", { class: "cursor", y1: box.top, y2: box.top + box.height, x1: -9, x2: -9 });
    const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, width, height }, legend.nodes, axis(top, y, write, box, width), layers, line, timeTicks(times[0], times.at(-1), box, width, height, when));
    svg.addEventListener("pointermove", (event) => {
      const place = event.clientX - svg.getBoundingClientRect().left;
      let n = times.findIndex((_, k) => x(k) > place) - 1;
      if (n < 0) n = place <= box.left ? 0 : times.length - 1;
      line.setAttribute("x1", x(n));
      line.setAttribute("x2", x(n));
      read(`${when(times[n])}: ${curves.map((c) => `${c.name} ${write(c.values[n])}`).join(", ")}${curves.length > 1 ? `; together ${write(below[n])}` : ""}`);
    });
    return svg;
  };
}

/** Bars of parts. get(): {parts: [names], rows: [{name, href, values, label}]}. */
export function bars(get, { go, empty }) {
  return (width) => {
    const { parts, rows } = get();
    if (!rows.length) return nothing(width, empty);
    const legend = parts.length > 1 ? keys(parts, width) : { nodes: [], height: 0 };
    const labels = Math.max(...rows.map((row) => row.label.length)) * CHAR + 12;
    const names = Math.min(Math.max(...rows.map((row) => row.name.length)) * CHAR + 14, width * 0.36);
    const room = Math.max(width - names - labels, 20);
    const most = Math.max(...rows.map((row) => sum(row.values)), 1e-12);
    const high = 28;
    const lines = rows.map((row, n) => {
      const top = legend.height + 8 + n * high;
      let at = names;
      const rects = row.values.map((value, place) => {
        const wide = (value / most) * room;
        const rect = s("rect", { class: `fill c${place % COLOURS}`, x: r(at), y: top + 4, width: r(Math.max(wide, value > 0 ? 1 : 0)), height: high - 10, rx: 2 });
        at += wide;
        return rect;
      });
      return s("g", { class: row.href ? "link" : null, "data-href": row.href }, s("title", {}, `${row.name}: ${row.label}`), s("rect", { class: "ghost", x: 0, y: top, width, height: high }), s("text", { x: 0, y: top + 18, class: "name" }, cut(row.name, names)), rects, s("text", { x: r(at + 6), y: top + 18 }, row.label));
    });
    const height = legend.height + 14 + rows.length * high;
    const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, width, height }, legend.nodes, lines);
    followLinks(svg, go);
    return svg;
  };
}

/** What happened when. get(): {from_ms, to_ms, lanes, spans}; where(lane, span): an address; tell(span): words. */
export function lanes(get, { go, where, tell, when, empty }) {
  return (width, read) => {
    const { from_ms, to_ms, lanes: rows, spans } = get();
    if (!spans.length) return nothing(width, empty);
    const legend = keys(["model calls", "tools", "marks: breakers, limits, denials, ends"], width, ["c0", "c2", "c4"]);
    const names = rows.length > 1 ? Math.min(Math.max(...rows.map((lane) => lane.name.length)) * CHAR + 14, width * 0.3) : 8;
    const high = 34;
    const box = { left: names, right: 12, top: legend.height + 10, bottom: 26, height: rows.length * high };
    const height = box.top + box.height + box.bottom;
    const span = Math.max(to_ms - from_ms, 1);
    const x = (ms) => box.left + ((Math.min(Math.max(ms, from_ms), to_ms) - from_ms) / span) * (width - box.left - box.right);
    const grid = rows.map((lane, n) => s("g", { class: "link", "data-href": where(lane) }, s("rect", { class: n % 2 ? "stripe" : "ghost", x: 0, y: box.top + n * high, width, height: high }), rows.length > 1 && s("text", { class: "name", x: 0, y: box.top + n * high + 21 }, cut(lane.name, names))));
    const shapes = spans.map((one, place) => {
      const top = box.top + one.lane * high;
      const left = x(one.from_ms);
      if (one.kind === "mark") return s("path", { class: "fill c4 span", "data-span": place, d: `M${r(left)} ${top + 3}l5 5l-5 5l-5 -5z` });
      const y = one.kind === "call" ? top + 5 : top + 18;
      const wide = Math.max(x(one.to_ms) - left, 2);
      return [
        s("rect", { class: `fill ${one.kind === "call" ? "c0" : "c2"} span`, "data-span": place, x: r(left), y, width: r(wide), height: 11, rx: 1.5 }),
        one.bad ? s("path", { class: "cross", "data-span": place, d: `M${r(left + wide / 2 - 4)} ${y + 1.5}l8 8m-8 0l8 -8` }) : null,
      ];
    });
    const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, width, height }, legend.nodes, grid, shapes, timeTicks(from_ms, to_ms, box, width, height, when));
    svg.addEventListener("pointermove", (event) => {
      const found = spans[event.target.dataset?.span];
      if (found) read(tell(found));
    });
    svg.addEventListener("click", (event) => {
      const found = spans[event.target.dataset?.span];
      if (found) go(where(rows[found.lane], found));
      else follow(event, go);
    });
    return svg;
  };
}

// ---- parts of charts

function axis(top, y, write, box, width) {
  return [0, 0.25, 0.5, 0.75, 1].map((share) => [
    s("line", { class: "grid", x1: box.left, x2: width - box.right, y1: r(y(top * share)), y2: r(y(top * share)) }),
    s("text", { x: box.left - 6, y: r(y(top * share) + 4), "text-anchor": "end" }, write(top * share)),
  ]);
}

function timeTicks(from, to, box, width, height, when) {
  const many = Math.max(2, Math.min(6, Math.floor((width - box.left) / 110)));
  return Array.from({ length: many }, (_, n) => {
    const share = n / (many - 1);
    const anchor = n === 0 ? "start" : n === many - 1 ? "end" : "middle";
    return s("text", { x: r(box.left + share * (width - box.left - box.right)), y: height - 8, "text-anchor": anchor }, when(from + share * (to - from)));
  });
}

function keys(names, width, classes) {
  let x = 0;
  let y = 14;
  const nodes = names.map((name, n) => {
    const shown = cut(name, Math.min(width - 20, 340));
    const wide = shown.length * CHAR + 34;
    if (x && x + wide > width) {
      x = 0;
      y += 20;
    }
    const node = s("g", {}, s("rect", { class: `fill ${classes ? classes[n] : `c${n % COLOURS}`}`, x, y: y - 9, width: 10, height: 10, rx: 2 }), s("text", { x: x + 15, y }, shown));
    x += wide;
    return node;
  });
  return { nodes, height: names.length ? y + 6 : 0 };
}

function nothing(width, words = "Nothing to draw yet.") {
  return s("svg", { viewBox: `0 0 ${width} 60`, width, height: 60 }, s("text", { x: 0, y: 34 }, words));
}

function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 8, 10].map((m) => m * power).find((m) => m >= value * 0.999);
}

const r = (value) => Math.round(value * 10) / 10;
const sum = (values) => values.reduce((a, b) => a + b, 0);

function cut(text, pixels) {
  const most = Math.max(Math.floor((pixels - 10) / CHAR), 3);
  return text.length > most ? `…${text.slice(text.length - most + 1)}` : text;
}

function followLinks(svg, go) {
  svg.addEventListener("click", (event) => follow(event, go));
}

function follow(event, go) {
  const href = event.target.closest?.("[data-href]")?.dataset.href;
  if (href) go(href);
}

// ---- taking along

const STYLES = ["fill", "stroke", "stroke-width", "font-family", "font-size", "font-weight", "opacity"];

/** The SVG as a file of its own: with the colours of the present theme, and a background. */
function svgText(svg) {
  const copy = svg.cloneNode(true);
  const from = [svg, ...svg.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((node, n) => {
    const style = getComputedStyle(from[n]);
    for (const name of STYLES) node.setAttribute(name, style.getPropertyValue(name));
    node.removeAttribute("class");
    node.removeAttribute("data-href");
  });
  const { width, height } = svg.viewBox.baseVal;
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.prepend(s("rect", { x: 0, y: 0, width, height, fill: getComputedStyle(document.body).backgroundColor }));
  return new XMLSerializer().serializeToString(copy);
}

const svgBlob = (svg) => new Blob([svgText(svg)], { type: "image/svg+xml" });

async function png(svg, name) {
  const { width, height } = svg.viewBox.baseVal;
  const url = URL.createObjectURL(svgBlob(svg));
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = h("canvas", { width: width * 2, height: height * 2 });
  canvas.getContext("2d").drawImage(image, 0, 0, width * 2, height * 2);
  URL.revokeObjectURL(url);
  download(name, await new Promise((done) => canvas.toBlob(done, "image/png")));
}

function csv({ columns, rows }) {
  const cell = (value) => {
    let text = String(value ?? "");
    if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
}

function download(name, blob) {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
