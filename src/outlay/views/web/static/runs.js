// All runs, newest first.

import { get, id, live, throttled } from "./api.js";
import { h, show, state, table } from "./dom.js";
import { cost, duration, moment, plural } from "./format.js";

export async function page({ go }) {
  let most = 50;
  const list = h("div", { "data-keep": true });
  const chosen = new Set();
  const compare = h("button", { type: "button", disabled: true, on: { click: () => go(`/compare?${[...chosen].map((run, n) => `${"ab"[n]}=${id(run)}`).join("&")}`) } }, "Compare two");
  const problem = h("p", { class: "error", role: "alert" });

  const choose = (event) => {
    const { value, checked } = event.target;
    checked ? chosen.add(value) : chosen.delete(value);
    compare.disabled = chosen.size !== 2;
    compare.textContent = chosen.size === 1 ? "Compare with one more" : "Compare two";
  };

  async function load() {
    try {
      const told = await get("runs", { most });
      list.removeAttribute("data-keep");
      show(list, told.total ? [rows(told.runs, chosen, choose), more(told)] : nothing());
      list.setAttribute("data-keep", "");
      problem.textContent = "";
    } catch (error) {
      problem.textContent = error.message;
    }
  }

  const more = ({ runs, total }) =>
    total > runs.length && most < 1000
      ? h("p", { "data-key": "more" }, h("button", { type: "button", on: { click: () => { most = Math.min(most + 100, 1000); load(); } } }, `Show more of ${plural(total, "run")}`))
      : null;

  await load();
  const stop = live("", throttled(load, 2000));
  const head = h("div", { class: "heading" }, h("h1", {}, "Runs"), h("div", { class: "actions" }, compare));
  return { title: "Runs", node: [head, problem, list], stop };
}

function nothing() {
  return h(
    "div",
    { class: "empty-page" },
    h("p", {}, "There are no runs in this ledger yet."),
    h("p", {}, "Start one with ", h("code", {}, "outlay run GOAL.md"), ", or an agent with ", h("code", {}, "outlay agent start"), "; it appears here by itself. What other tools used is under ", h("a", { href: "/usage" }, "Other tools"), "."),
  );
}

const COLUMNS = [
  { name: h("span", { class: "hidden" }, "Compare") }, { name: "Name", head: true }, { name: "State" }, { name: "Started" }, { name: "Time", right: true },
  { name: "Sessions", right: true }, { name: "Turns", right: true }, { name: "Cost", right: true },
];

function rows(lines, chosen, choose) {
  const body = lines.map(({ run, sessions, turns, spend }) => ({
    key: run.id,
    cells: [
      h("label", { class: "pick" }, h("input", { type: "checkbox", value: run.id, checked: chosen.has(run.id), on: { change: choose } }), h("span", { class: "hidden" }, `Compare ${run.name} ${run.id}`)),
      [h("a", { href: `/runs/${id(run.id)}` }, run.name), h("div", { class: "faint mono" }, run.id)],
      [state(run.outcome || run.status), run.reason && run.reason !== run.outcome ? h("div", { class: "faint clip" }, run.reason) : null],
      h("time", { datetime: new Date(run.started_ms).toISOString() }, moment(run.started_ms)),
      duration(run.wall_ms), String(sessions), String(turns),
      [cost(spend), run.played ? h("div", { class: "faint" }, run.played) : null],
    ],
  }));
  return table("Runs", COLUMNS.map((c) => ({ ...c, name: typeof c.name === "string" ? c.name : c.name.cloneNode(true) })), body);
}
