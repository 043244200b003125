// Where tokens and money went: the same for runs and for sessions of other tools.

import { areas, bars, chart } from "./charts.js";
import { h, section, table } from "./dom.js";
import { cost, gross, known, money, net, percent, tick, tokens, whole_number } from "./format.js";

const CLASSES = [
  ["fresh", "fresh input"], ["cache_read", "cache reads"], ["cache_write_5m", "cache writes, 5 min"], ["cache_write_1h", "cache writes, 1 h"], ["output", "output"],
];

/** A link to the calls behind a figure. of: {run} or {root}; more: further filters. */
export function callsLink(of, more, ...words) {
  return h("a", { class: "figure", href: callsHref(of, more) }, words);
}

export function callsHref(of, more) {
  return `/calls?${new URLSearchParams({ ...of, ...more })}`;
}

/** The charts and tables of a report. of: {run} or {root}. */
export function spending(of, go) {
  let report = null;
  let costs = { at_ms: [], curves: [], unknown: 0 };
  const when = (ms) => {
    const { at_ms } = costs;
    return tick(ms, at_ms.length ? at_ms.at(-1) - at_ms[0] : 0);
  };
  const over = chart({
    title: "Known cost over time",
    name: "cost-over-time",
    draw: areas(() => ({ times: costs.at_ms, curves: costs.curves.map((c) => ({ name: c.name, values: c.pico })) }), { write: money, when, empty: "No call has ended yet." }),
    data: () => ({ columns: ["time", ...costs.curves.map((c) => `${c.name} (USD)`)], rows: costs.at_ms.map((at, n) => [new Date(at).toISOString(), ...costs.curves.map((c) => c.pico[n] / 1e12)]) }),
  });
  const byClass = chart({
    title: "Tokens and cost by class",
    name: "by-class",
    draw: bars(() => ({ parts: ["tokens"], rows: !report ? [] : CLASSES.filter(used).map(([key, name]) => ({ name, values: [report.total.usage[key]], label: `${tokens(report.total.usage[key])}, ${money(report.total.known[key])}`, href: callsHref(of) })) }), { go, empty: "No tokens yet." }),
    data: () => ({ columns: ["class", "tokens", "cost (USD)"], rows: CLASSES.map(([key, name]) => [name, report.total.usage[key], report.total.known[key] / 1e12]) }),
  });
  const byAgent = chart({
    title: "Tokens by agent and class",
    name: "by-agent",
    draw: bars(() => ({ parts: !report ? [] : CLASSES.filter(used).map(([, name]) => name), rows: agents().slice(0, 25).map((line) => ({ name: line.session.name, values: CLASSES.filter(used).map(([key]) => line.spend.usage[key]), label: `${tokens(gross(line.spend.usage))}, ${cost(line.spend)}`, href: callsHref(of, { session: line.session.id }) })) }), { go, empty: "No tokens yet." }),
    data: () => ({
      columns: ["agent", ...CLASSES.map(([, name]) => name), "known cost (USD)"],
      rows: agents().map((line) => [line.session.name, ...CLASSES.map(([key]) => line.spend.usage[key]), known(line.spend) / 1e12, line.session.id]).map((row) => row.slice(0, -1)),
    }),
  });
  const used = ([key]) => report.total.usage[key] > 0;
  const agents = () => (report ? [...report.agents].filter((line) => line.spend.calls).sort((a, b) => known(b.spend) - known(a.spend)) : []);
  const byTool = chart({
    title: "Tokens that tools brought into contexts",
    name: "by-tool",
    note: "Estimated from the growth of contexts. The line without a tool is what was told: tasks, instructions, failed checks.",
    draw: bars(() => ({ parts: ["tokens"], rows: !report ? [] : report.by_tool.filter((line) => line.brought_tokens).slice(0, 25).map((line) => ({ name: line.name || "(told)", values: [line.brought_tokens], label: `${tokens(line.brought_tokens)}, ${percent(line.share_brought)}`, href: line.name ? callsHref(of, { tool: line.name }) : null })) }), { go, empty: "No tool's result has entered a context." }),
    data: () => ({ columns: ["tool", "calls", "errors", "tokens"], rows: report.by_tool.map((line) => [line.name || "(told)", line.calls, line.errors, line.brought_tokens]) }),
  });
  const tables = h("div", {});
  const node = [over.node, h("div", { class: "columns" }, byClass.node, byTool.node), byAgent.node, tables];
  return {
    node,
    update(nextReport, nextCosts) {
      report = nextReport;
      costs = nextCosts;
      for (const each of [over, byClass, byAgent, byTool]) each.redraw();
      tables.replaceChildren(...moneyTables(of, report, costs));
    },
  };
}

function moneyTables(of, report, costs) {
  const lines = (title, rows, filter) =>
    section(
      title,
      table(
        title,
        [{ name: title.replace("By ", ""), head: true }, { name: "Calls", right: true }, { name: "Net", right: true, title: "fresh + cache writes + output" }, { name: "Cache reads", right: true }, { name: "Output", right: true }, { name: "Cost", right: true }, { name: "Share", right: true }],
        rows.map((line) => [line.name, callsLink(of, { [filter]: line.name }, whole_number(line.spend.calls)), tokens(net(line.spend.usage)), tokens(line.spend.usage.cache_read), tokens(line.spend.usage.output), callsLink(of, { [filter]: line.name }, cost(line.spend)), percent(line.share_cost)]),
      ),
    );
  return [
    costs.unknown ? h("p", { class: "notice" }, `${whole_number(costs.unknown)} of the calls have no known cost, or not the whole of it: the chart has what is known. ${report.total.why_unknown.join("; ")}`) : "",
    lines("By model", report.by_model, "model"),
    lines("By role", report.by_role, "role"),
    section("Ratios", ratios(report)),
    h("p", { class: "faint" }, `Prices of ${report.price_date} (${report.price_source}), book ${report.price_book}. `, h("a", { href: `/api/calls.csv?${new URLSearchParams(of)}`, download: "calls.csv" }, "All calls as CSV")),
  ].filter(Boolean);
}

export const RATIOS = [
  ["leverage", "Leverage", "subagents' net tokens / main agent's", (v) => v.toFixed(2)],
  ["cache_bloat", "Cache bloat", "cache reads / net tokens", (v) => v.toFixed(2)],
  ["usd_per_net_mtok", "Cost per million net tokens", "", (v) => `$${v.toFixed(2)}`],
  ["subagents_share_cost", "Subagents' share of the cost", "", percent],
  ["usd_per_passed_check", "Cost per passed check", "", (v) => `$${v.toFixed(v >= 1 ? 2 : 4)}`],
];

export function figure(found, write) {
  return found.value === null ? `unknown (${found.why_unknown})` : write(found.value);
}

function ratios(report) {
  return table(
    "Ratios",
    [{ name: "Ratio", head: true }, { name: "Value", right: true }, { name: "Is" }],
    RATIOS.map(([key, name, is, write]) => [name, figure(report.tokenomics[key], write), is]),
  );
}

