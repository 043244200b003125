// Two runs beside each other.

import { get, id } from "./api.js";
import { bars, chart } from "./charts.js";
import { h, section, state, table } from "./dom.js";
import { cost, duration, gross, known, moment, money, net, tokens, whole, whole_number } from "./format.js";
import { callsHref, figure, RATIOS } from "./spend.js";

export async function page({ query, go }) {
  const { runs } = await get("runs", { most: 200 });
  const chosen = { a: query.get("a") || "", b: query.get("b") || "" };
  const pick = (side, label) => {
    const known = runs.some(({ run }) => run.id === chosen[side]);
    return h("div", { class: "field" }, h("label", { for: `run-${side}` }, label), h("select", { id: `run-${side}`, name: side }, h("option", { value: "" }, "choose a run"), !known && chosen[side] ? h("option", { value: chosen[side], selected: true }, chosen[side]) : null, runs.map(({ run, spend }) => h("option", { value: run.id, selected: run.id === chosen[side] }, `${run.name}, ${moment(run.started_ms)}, ${run.outcome || run.status}, ${cost(spend)}`))));
  };
  const submit = (event) => {
    event.preventDefault();
    go(`/compare?${new URLSearchParams(new FormData(event.target))}`);
  };
  const form = h("form", { class: "bar", on: { submit } }, pick("a", "First"), pick("b", "Second"), h("button", {}, "Compare"));
  const head = [h("h1", {}, "Compare two runs"), form];
  if (!chosen.a || !chosen.b) return { title: "Compare", node: [...head, h("p", { class: "empty" }, "Choose two runs.")] };
  const [a, b] = await Promise.all([chosen.a, chosen.b].map((run) => get(`runs/${id(run)}/report`)));
  return { title: `Compare ${a.run.name} and ${b.run.name}`, node: [...head, ...sides(a, b, go)] };
}

const CLASSES = [["fresh", "fresh input"], ["cache_read", "cache reads"], ["cache_write_5m", "cache writes, 5 min"], ["cache_write_1h", "cache writes, 1 h"], ["output", "output"]];

function sides(a, b, go) {
  const titles = [title(a, b), title(b, a)];
  const columns = [{ name: "Figure", head: true }, { name: titles[0], right: true }, { name: titles[1], right: true }, { name: "Difference", right: true }];
  const link = (report, words) => h("a", { class: "figure", href: callsHref({ run: report.run.id }) }, words);
  const line = (name, of, write, linked) => {
    const [x, y] = [of(a), of(b)];
    const shown = (report, value) => (value === null || value === undefined ? "unknown" : linked ? link(report, write(value)) : write(value));
    return [name, shown(a, x), shown(b, y), difference(x, y)];
  };
  const passed = (report) => report.checks.filter((c) => c.passed).length;
  const wholeRows = [
    ["Outcome", state(a.run.outcome || a.run.status), state(b.run.outcome || b.run.status), ""],
    ["Run", h("a", { href: `/runs/${id(a.run.id)}` }, a.run.id), h("a", { href: `/runs/${id(b.run.id)}` }, b.run.id), ""],
    line("Checks passed", passed, (v) => String(v)),
    ["Cost", link(a, cost(a.total)), link(b, cost(b.total)), difference(whole(a.total), whole(b.total))],
    line("Net tokens", (r) => net(r.total.usage), tokens, true),
    line("Gross tokens", (r) => gross(r.total.usage), tokens, true),
    line("Time", (r) => r.run.wall_ms, duration),
    line("Sessions", (r) => r.agents.length, whole_number),
    line("Turns", (r) => r.turns, whole_number),
    line("Calls", (r) => r.total.calls, whole_number, true),
    ...RATIOS.map(([key, name, , write]) => [name, figure(a.tokenomics[key], write), figure(b.tokenomics[key], write), difference(a.tokenomics[key].value, b.tokenomics[key].value)]),
  ];
  const by = (name, key) => {
    const names = [...new Set([...a[key], ...b[key]].map((each) => each.name))];
    const of = (report, wanted) => report[key].find((each) => each.name === wanted);
    return section(name, table(name, columns, names.map((wanted) => {
      const [x, y] = [of(a, wanted), of(b, wanted)];
      return [wanted, cost(x?.spend), cost(y?.spend), difference(x ? whole(x.spend) : 0, y ? whole(y.spend) : 0)];
    })));
  };
  const spent = ([key]) => a.total.known[key] || b.total.known[key];
  const classes = chart({
    title: "Known cost by class",
    name: "compare-classes",
    draw: bars(() => ({ parts: CLASSES.filter(spent).map(([, name]) => name), rows: [a, b].map((report, n) => ({ name: titles[n], values: CLASSES.filter(spent).map(([key]) => report.total.known[key]), label: money(known(report.total)), href: `/runs/${id(report.run.id)}/money` })) }), { go, empty: "No known cost." }),
    data: () => ({ columns: ["class", ...titles], rows: CLASSES.map(([key, name]) => [name, a.total.known[key] / 1e12, b.total.known[key] / 1e12]) }),
  });
  const tools = [...new Set([...a.by_tool, ...b.by_tool].map((each) => each.name))];
  const used = (report, name) => report.by_tool.find((each) => each.name === name)?.calls ?? 0;
  return [
    section("The whole", table("The whole", columns, wholeRows)),
    classes.node,
    by("By model", "by_model"),
    by("By role", "by_role"),
    section("Tools used", table("Tools used", columns, tools.filter(Boolean).map((name) => [name, String(used(a, name)), String(used(b, name)), difference(used(a, name), used(b, name))]))),
  ];
}

function title(report, other) {
  return report.run.name === other.run.name ? `${report.run.name} ${report.run.id.slice(0, 6)}` : report.run.name;
}

/** The second against the first. */
function difference(x, y) {
  if (typeof x !== "number" || typeof y !== "number") return "";
  if (x === y) return "same";
  const sign = y > x ? "+" : "−";
  return x ? `${sign}${Math.round((Math.abs(y - x) / Math.abs(x)) * 100)} %` : `${sign}`;
}
