// When sessions waited for models and tools, with a lens.

import { get, id } from "./api.js";
import { chart, lanes } from "./charts.js";
import { h } from "./dom.js";
import { clock, duration, plural, tick, words } from "./format.js";

/** session: one only; empty: all of the run. */
export function timelineChart(run, session, go) {
  let found = { from_ms: 0, to_ms: 0, lanes: [], spans: [], hidden: 0 };
  let window = null;
  const where = (lane, span) => `/sessions/${id(lane.session)}${span && span.n !== null ? `?start=${Math.max(span.n - 2, 0)}&at=${span.n}` : ""}`;
  const tell = (span) => {
    const took = span.kind === "mark" ? "" : `, ${duration(span.to_ms - span.from_ms)}`;
    const many = span.count > 1 ? `, ${span.count} of them` : "";
    const bad = span.bad ? `, ${span.bad} failed` : "";
    return `${clock(span.from_ms)} ${found.lanes[span.lane]?.name}: ${span.kind === "call" ? "call of " : ""}${words(span.name)}${many}${took}${bad}`;
  };
  const move = (zoom, shift) => () => {
    const wide = Math.max(found.to_ms - found.from_ms, 10);
    const middle = (found.from_ms + found.to_ms) / 2 + shift * wide;
    const half = (wide * zoom) / 2;
    window = { from_ms: Math.round(middle - half), to_ms: Math.round(middle + half) };
    load();
  };
  const whole = () => {
    window = null;
    load();
  };
  const button = (name, sign, work) => h("button", { type: "button", class: "quiet", "aria-label": name, title: name, on: { click: work } }, sign);
  const lens = h("div", { class: "lens", role: "group", "aria-label": "Stretch of time" }, button("Closer", "+", move(0.5, 0)), button("Wider", "−", move(2, 0)), button("Earlier stretch", "←", move(1, -0.4)), button("Later stretch", "→", move(1, 0.4)), button("All of the time", "All", whole));
  const drawn = chart({
    title: session ? "Calls and tools" : "Calls and tools by session",
    name: "timeline",
    extra: lens,
    draw: lanes(() => found, { go, where, tell, when: (ms) => tick(ms, found.to_ms - found.from_ms), empty: "Nothing in this stretch." }),
    data: () => ({
      columns: ["session", "kind", "name", "from", "to", "count", "failed"],
      rows: found.spans.map((span) => [found.lanes[span.lane].name, span.kind, words(span.name), new Date(span.from_ms).toISOString(), new Date(span.to_ms).toISOString(), span.count, span.bad, span]).map((row) => Object.assign(row.slice(0, 7), { span: row[7] })),
      cells: (row) => [h("a", { href: where(found.lanes[row.span.lane], row.span) }, row[0]), row[1], row[2], clock(row.span.from_ms), clock(row.span.to_ms), String(row[5]), String(row[6])],
    }),
  });
  const hidden = h("p", { class: "faint" });

  async function load() {
    try {
      found = await get(`runs/${id(run)}/timeline`, { session, ...(window || {}) });
    } catch (error) {
      hidden.textContent = error.message;
      return;
    }
    hidden.textContent = found.hidden ? `${plural(found.hidden, "session")} more than fit here; the tree of sessions leads to each one's own timeline.` : "";
    drawn.redraw();
  }

  return { node: h("div", { class: "timeline", "data-keep": true, "data-key": "timeline" }, drawn.node, hidden), load };
}
