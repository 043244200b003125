// Calls behind a figure, in pages.

import { get, id } from "./api.js";
import { h, show, state, table } from "./dom.js";
import { clock, cost, moment, plural, whole_number, words } from "./format.js";

const FILTERS = ["run", "root", "session", "model", "role", "tool", "status"];
const PAGE = 100;

export async function page({ query }) {
  const asked = Object.fromEntries(FILTERS.map((name) => [name, query.get(name)]).filter(([, value]) => value));
  let start = 0;
  let found = await get("calls", { ...asked, start, most: PAGE });
  const body = h("div", {});
  const where = h("span", { class: "faint", role: "status" });
  const turn = (step) => async () => {
    start += step;
    try {
      found = await get("calls", { ...asked, start, most: PAGE });
      draw();
    } catch (error) {
      where.textContent = error.message;
    }
  };
  const back = h("button", { type: "button", on: { click: turn(-PAGE) } }, "Earlier");
  const forth = h("button", { type: "button", on: { click: turn(PAGE) } }, "Later");
  const draw = () => {
    back.disabled = start === 0;
    forth.disabled = start + PAGE >= found.total;
    where.textContent = found.total ? `${start + 1} to ${start + found.lines.length} of ${plural(found.total, "call")}` : "No such calls.";
    show(body, rows(found.lines));
  };
  draw();
  const head = [
    h("p", { class: "crumbs" }, h("a", { href: "/" }, "Runs"), asked.run ? [" / ", h("a", { href: `/runs/${id(asked.run)}` }, asked.run)] : asked.root ? [" / ", h("a", { href: `/imported/${id(asked.root)}` }, asked.root)] : ""),
    h("h1", {}, "Calls"),
    h("p", { class: "facts" }, Object.entries(asked).map(([name, value]) => h("span", {}, h("span", { class: "faint" }, `${name} `), name === "session" ? value.slice(value.indexOf(":") + 1) : value))),
    h("div", { class: "bar" }, back, forth, where, h("a", { href: `/api/calls.csv?${new URLSearchParams(asked)}`, download: "calls.csv" }, "All of them as CSV")),
  ];
  return { title: "Calls", node: [head, body, h("p", { class: "faint" }, `Price book ${found.book}. Output holds reasoning; a call without a known price has no cost, and is never taken for free.`)] };
}

function rows(lines) {
  return table(
    "Calls",
    [{ name: "Call", head: true }, { name: "Ended" }, { name: "Session" }, { name: "Model" }, { name: "State" }, { name: "Fresh", right: true }, { name: "Cache reads", right: true }, { name: "Writes", right: true }, { name: "Output", right: true }, { name: "Cost", right: true }, { name: "Tools asked for" }],
    lines.map(({ call, spend }) => {
      const usage = call.usage;
      return {
        key: `${call.source} ${call.key}`,
        cells: [
          h("a", { class: "mono", href: `/audit?key=${id(call.key)}`, "aria-label": `Call ${call.key}` }, short(call.key)), h("time", { title: moment(call.ended_ms) }, clock(call.ended_ms)), call.session.slice(call.session.indexOf(":") + 1), call.answered_model || call.model,
          call.status === "ok" ? words(call.quality) : state(call.status === "ok" ? "done" : call.status),
          whole_number(usage.fresh), whole_number(usage.cache_read), whole_number(usage.cache_write_5m + usage.cache_write_1h), whole_number(usage.output), cost(spend), h("span", { class: "clip" }, counted(call.tools)),
        ],
      };
    }),
    "No such calls.",
  );
}

/** `read,read,shell` as `read ×2, shell`. */
function counted(names) {
  const times = new Map();
  for (const name of names.split(",").filter(Boolean)) times.set(name, (times.get(name) || 0) + 1);
  return [...times].map(([name, n]) => (n > 1 ? `${name} ×${n}` : name)).join(", ");
}

const short = (key) => (key.includes("#") ? `#${key.split("#").at(-1)}` : key.length > 18 ? `${key.slice(0, 17)}…` : key);
