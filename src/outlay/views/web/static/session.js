// One session: how it stands, its timeline, its context, its dialog in pages.

import { get, id, live, throttled } from "./api.js";
import { areas, chart } from "./charts.js";
import { announce, h, show, state } from "./dom.js";
import { clock, cost, plural, tick, tokens } from "./format.js";
import { meter } from "./run.js";
import { callsLink } from "./spend.js";
import { steering } from "./steer.js";
import { timelineChart } from "./timeline.js";

const PAGE = 60;
const KEPT = 300;

export async function page({ params: [session], query, go }) {
  const start = query.get("start");
  const [row, first] = await Promise.all([
    get(`sessions/${id(session)}`),
    get(`sessions/${id(session)}/dialog`, { start, most: PAGE }),
  ]);
  const run = row.run;
  const head = h("div", {});
  const steer = h("div", {});
  let told = null;
  const dialog = dialogOf(session, first, query.get("at"));
  const contextChart = contextOf(session);
  const timeline = timelineChart(run, session, go);
  const charts = h("div", { class: "columns" }, timeline.node, contextChart.node);
  const drawCharts = throttled(() => {
    timeline.load();
    return contextChart.load();
  }, 5000);
  let block = null;

  const draw = () => show(head, heading(row, told));
  draw();
  let size = -1;
  const stop = live(run, (fresh) => {
    told = fresh;
    const mine = told.run.sessions.find((each) => each.id === session);
    if (mine) Object.assign(row, mine);
    draw();
    const offers = told.waiting.length || (told.agent && told.run.sessions[0]?.id === session);
    if (offers && !block) {
      block = steering(run);
      steer.replaceChildren(block.node);
    }
    block?.update(told);
    const now = told.sizes[session] ?? 0;
    if (now !== size) {
      size = now;
      dialog.grew(now);
      drawCharts();
    }
  });
  return { title: `${row.name}: session`, node: [head, steer, charts, dialog.node], shown: dialog.shown, stop };
}

function heading(row, told) {
  const spend = told?.run.spends[row.id];
  return [
    h("p", { class: "crumbs" }, h("a", { href: "/" }, "Runs"), " / ", h("a", { href: `/runs/${id(row.run)}` }, told?.run.name || row.run), " / ", parents(row, told)),
    h("h1", {}, row.name),
    h("p", { class: "facts" }, state(row.status), h("span", {}, row.role), h("span", {}, row.model), h("span", {}, plural(row.turns, "turn")), told ? callsLink({ run: row.run }, { session: row.id }, cost(spend)) : null, row.resumed ? h("span", {}, `resumed ${plural(row.resumed, "time")}`) : null),
    row.window_tokens ? h("div", { class: "gauges" }, meter("context", row.context_tokens / row.window_tokens, `${tokens(row.context_tokens)} of ${tokens(row.window_tokens)} tokens`)) : null,
    row.status === "running" && row.last_action ? h("p", { class: "faint" }, row.last_action) : null,
    children(row, told),
  ];
}

function parents(row, told) {
  const byId = new Map((told?.run.sessions || []).map((each) => [each.id, each]));
  const links = [];
  for (let up = byId.get(row.parent); up; up = byId.get(up.parent)) links.unshift(h("a", { href: `/sessions/${id(up.id)}` }, up.name), " / ");
  return [...links, h("span", {}, row.name)];
}

function children(row, told) {
  const below = (told?.run.sessions || []).filter((each) => each.parent === row.id);
  if (!below.length) return null;
  return h("p", { class: "children" }, "Started: ", below.map((each, n) => [n ? ", " : "", h("a", { href: `/sessions/${id(each.id)}` }, each.name)]));
}

function contextOf(session) {
  let found = { at_ms: [], tokens: [] };
  const drawn = chart({
    title: "Context in tokens",
    name: "context",
    draw: areas(() => ({ times: found.at_ms, curves: found.tokens.length ? [{ name: "context", values: found.tokens }] : [] }), { write: (v) => tokens(Math.round(v)), when: (ms) => tick(ms, found.at_ms.at(-1) - found.at_ms[0]), empty: "No call has been answered yet.", high: 110 }),
    data: () => ({ columns: ["time", "tokens"], rows: found.at_ms.map((at, n) => [new Date(at).toISOString(), found.tokens[n]]) }),
  });
  return {
    node: h("div", { "data-keep": true }, drawn.node),
    async load() {
      found = await get(`sessions/${id(session)}/context`);
      drawn.redraw();
    },
  };
}

// ---- dialog

function dialogOf(session, page, at) {
  const path = `sessions/${id(session)}`;
  const list = h("ol", { class: "dialog", id: "dialog", tabindex: "-1", "aria-label": "Dialog" });
  const where = h("span", { class: "faint", role: "status" });
  const results = h("div", {});
  const unfold = h("input", { type: "checkbox", id: "unfold", on: { change: () => list.querySelectorAll("details.tool").forEach((d) => (d.open = unfold.checked)) } });
  let { first, last, before, after, size } = page;
  let behind = false;
  let busy = false;

  const button = (words, work) => h("button", { type: "button", on: { click: work } }, words);
  const begin = button("First", () => fetchPage({ start: 0 }));
  const back = button("Earlier", () => fetchPage({ end: first }));
  const forth = button("Later", () => fetchPage({ start: last + 1 }));
  const end = button("Latest", () => fetchPage({}));

  const words = h("input", { type: "search", id: "find", "aria-describedby": "find-help" });
  const find = async (event) => {
    event.preventDefault();
    if (!words.value.trim()) return results.replaceChildren();
    try {
      const { matches } = await get(`${path}/search`, { words: words.value });
      results.replaceChildren(h("p", { role: "status" }, `${plural(matches.length, "place")}${matches.length === 200 ? " at least" : ""}`), h("ol", { class: "matches" }, matches.map((m) => h("li", {}, h("button", { type: "button", class: "link", on: { click: () => fetchPage({ start: Math.max(m.n - 2, 0) }, m.n) } }, `${clock(m.at_ms)} ${m.kind.replaceAll("_", " ")} ${m.tool}`), " ", m.snippet))));
    } catch (error) {
      results.replaceChildren(h("p", { class: "error" }, error.message));
    }
  };

  async function fetchPage(query, mark = null) {
    try {
      put(await get(`${path}/dialog`, { ...query, most: PAGE }), mark);
    } catch (error) {
      where.textContent = error.message;
      return;
    }
    list.focus({ preventScroll: true });
    if (!mark) list.scrollIntoView({ block: "start" });
  }

  function put(found, mark) {
    ({ first, last, before, after, size } = found);
    behind = after;
    list.replaceChildren(...found.items.map((item) => entry(item, path, unfold.checked)));
    place();
    for (const each of mark === null ? [] : list.querySelectorAll(`[data-n="${CSS.escape(mark)}"]`)) each.classList.add("marked");
    toMark();
  }

  const toMark = () => list.querySelector(".marked")?.scrollIntoView({ block: "center" });

  function place() {
    begin.disabled = back.disabled = !before;
    forth.disabled = end.disabled = !after;
    where.textContent = first === null ? "Nothing was said yet." : `Events ${first + 1} to ${last + 1} of ${size}${after ? "" : "; the latest"}`;
  }

  /** New events: append them when the latest are shown, else say that there are some. */
  async function grew(now) {
    size = now;
    if (behind || busy) return place();
    busy = true;
    try {
      let fresh;
      do {
        fresh = await get(`${path}/dialog`, { start: (last ?? -1) + 1, most: PAGE });
        if (fresh.last === null) break;
        list.append(...fresh.items.map((item) => entry(item, path, unfold.checked)));
        if (first === null) first = fresh.first;
        last = fresh.last;
        while (list.children.length > KEPT) {
          list.firstChild.remove();
          first = Number(list.firstChild.dataset.n);
          before = true;
        }
        announce(`${plural(fresh.items.length, "new line")} in the dialog`);
      } while (fresh.after && !(behind = list.children.length >= KEPT && fresh.after));
      after = behind;
      place();
    } catch {
      // the next event tries again
    } finally {
      busy = false;
    }
  }

  put(page, at);
  const bar = () => h("div", { class: "bar" }, begin, back, forth, end, where);
  const node = h(
    "section",
    { class: "dialog-part", "aria-labelledby": "dialog-title" },
    h("h2", { id: "dialog-title" }, "Dialog"),
    h("form", { class: "bar", role: "search", on: { submit: find } }, h("label", { for: "find" }, "Find in this dialog"), words, h("button", {}, "Find"), h("span", { id: "find-help", class: "hidden" }, "Words, case aside"), h("label", { class: "check" }, unfold, " Unfold tools")),
    results,
    bar(),
    list,
  );
  return { node, grew, shown: toMark };
}

const NAMES = { model: "model", tool_call: "tool call", tool_result: "result", fault: "fault", ended: "ended" };

function entry(item, path, unfolded) {
  const props = { class: `said-${NAMES[item.kind] ? item.kind.replaceAll("_", "-") : "told"}${item.is_error ? " bad" : ""}`, "data-n": String(item.n) };
  const when = h("time", { datetime: new Date(item.at_ms).toISOString() }, clock(item.at_ms));
  const body = () => [h("pre", { class: "text" }, item.text), item.chars > item.text.length ? rest(item, path) : null, item.key && item.part === 0 ? h("a", { class: "call-link", href: `/audit?key=${id(item.key)}` }, "this call") : null];
  if (item.kind !== "tool_call" && item.kind !== "tool_result") {
    return h("li", props, h("div", { class: "who" }, h("strong", {}, item.is_error ? "✗ " : "", NAMES[item.kind] || item.kind.replaceAll("_", " ")), when), body());
  }
  const call = item.kind === "tool_call";
  const line = firstLine(item.text);
  const size = call ? "" : ` ${plural(item.chars, "character")}`;
  return h("li", props, h("details", { class: "tool", open: unfolded }, h("summary", {}, h("span", { "aria-hidden": "true" }, call ? "→ " : item.is_error ? "✗ " : "← "), h("strong", {}, item.tool), h("span", { class: "hidden" }, call ? " called" : item.is_error ? " failed" : " answered"), " ", h("span", { class: "mono" }, line), h("span", { class: "faint" }, size), when), body()));
}

function rest(item, path) {
  const button = h("button", { type: "button", class: "link", on: { click: async () => {
    try {
      const { text } = await get(`${path}/text`, { n: item.n, part: item.part });
      button.previousSibling.textContent = text;
      button.remove();
    } catch (error) {
      button.textContent = error.message;
    }
  } } }, `Show all ${plural(item.chars, "character")}`);
  return button;
}

function firstLine(text) {
  const line = text.split("\n").map((each) => each.trim()).find(Boolean) || "";
  return line.length > 110 ? `${line.slice(0, 109)}…` : line;
}
