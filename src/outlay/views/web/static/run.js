// One run: its sessions, checks and limits, its money, its timeline, its rules, its events.

import { get, id, live, throttled } from "./api.js";
import { announce, h, section, show, state, table } from "./dom.js";
import { clock, cost, duration, money, moment, percent, plural, tokens, words } from "./format.js";
import { callsLink, spending } from "./spend.js";
import { steering } from "./steer.js";
import { timelineChart } from "./timeline.js";
import { rules } from "./rules.js";
import { eventList } from "./events.js";

const TABS = [["", "Overview"], ["money", "Money"], ["timeline", "Timeline"], ["rules", "Checks and rules"], ["events", "Events"]];

export async function page({ params: [run, tab = ""], go }) {
  let told = await get(`runs/${id(run)}`);
  const head = h("div", { "data-key": "head" });
  const body = h("div", {});
  const steer = steering(run);
  const part = { "": overview, money: spendPart, timeline: timePart, rules: rulesPart, events: eventPart }[tab](run, go);
  const draw = () => {
    show(head, heading(told));
    steer.update(told);
    part.update(told, body);
  };
  const nav = h("nav", { class: "tabs", "aria-label": "Run" }, TABS.map(([name, title]) => h("a", { href: `/runs/${id(run)}${name ? `/${name}` : ""}`, "aria-current": name === tab ? "page" : null }, title)));
  draw();
  let last = lastNotice(told);
  const stop = live(run, (fresh) => {
    told = fresh;
    draw();
    const now = lastNotice(told);
    if (now && now !== last) announce(now);
    last = now;
  });
  return { title: `${told.run.name}: ${TABS.find(([name]) => name === tab)[1]}`, node: [head, nav, tab ? null : steer.node, body].filter(Boolean), stop };
}

function lastNotice({ notices }) {
  const notice = notices.at(-1);
  return notice ? `${notice.session} ${notice.text}`.trim() : "";
}

export function heading({ run, agent, waiting }) {
  const facts = [
    agent ? state(agent.status) : state(run.outcome || run.status),
    h("span", {}, duration(agent ? agent.runtime_ms : run.wall_ms)),
    callsLink({ run: run.id }, {}, cost(run.total), run.played ? ` (${run.played})` : ""),
    run.rate.net_tokens_per_min ? h("span", { title: "in the last five minutes; of a run that has ended, over its whole time" }, `${tokens(Math.round(run.rate.net_tokens_per_min))} net/min, ${money(run.rate.usd_pico_per_h, 2)}/h`) : null,
    h("span", {}, plural(run.turns, "turn")),
    h("span", {}, plural(run.sessions.length, "session")),
    waiting.length ? h("a", { class: "warn", href: `/runs/${id(run.id)}` }, `! ${plural(waiting.length, "approval")} wanted`) : null,
  ];
  const reason = run.reason && run.reason !== run.outcome ? h("p", { class: "reason" }, run.reason) : null;
  return [
    h("p", { class: "crumbs" }, h("a", { href: "/" }, "Runs"), " / ", h("span", { class: "mono" }, run.id)),
    h("h1", {}, run.name),
    h("p", { class: "facts" }, facts.filter(Boolean)),
    reason,
    h("p", { class: "faint" }, [agent ? "Agent in the background" : run.goal ? `Goal ${run.goal}` : "Gateway", run.workspace && `folder ${run.workspace}`, `started ${moment(run.started_ms)}`].filter(Boolean).join(" · ")),
    run.status === "interrupted" ? h("p", { class: "notice" }, "No process works on this run. Resume it here, or with ", h("code", {}, `outlay resume ${run.id}`), ".") : null,
  ];
}

// ---- overview

function overview() {
  return {
    update({ run, notices, sizes }, body) {
      show(
        body,
        run.gauges.length ? section("Limits", h("div", { class: "gauges" }, run.gauges.map(gauge))) : null,
        section("Sessions", tree(run, sizes)),
        run.checks.length ? section("Checks", checkTable(run.checks)) : null,
        section("What happened", notices.length ? h("ol", { class: "news" }, [...notices].reverse().map((n) => h("li", { class: n.good === false ? "bad" : n.good ? "good" : "" }, h("time", {}, clock(n.at_ms)), " ", n.session && h("strong", {}, `${n.session} `), n.text))) : h("p", { class: "empty" }, "Nothing yet.")),
      );
    },
  };
}

function gauge({ name, used, bound }) {
  const share = bound ? used / bound : 1;
  const write = { money: (v) => money(v, 2), time: (v) => duration(v * 1000), "net tokens": tokens }[name] || ((v) => v.toLocaleString("en-US"));
  return meter(name, share, `${write(used)} of ${write(bound)}`);
}

/** A bar with its words; the bar is drawn in steps of a hundredth. */
export function meter(name, share, text) {
  const filled = Math.min(Math.round((share || 0) * 100), 100);
  const bar = h("progress", { max: "100", value: String(filled), "aria-label": name, class: share >= 0.9 ? "full" : share >= 0.7 ? "high" : "" });
  return h("div", { class: "gauge", "data-key": name }, h("span", { class: "gauge-name" }, name), bar, h("span", { class: "gauge-text" }, `${percent(share)}, ${text}`));
}

const TREE = [
  { name: "Name", head: true }, { name: "State" }, { name: "Role" }, { name: "Model" }, { name: "Turns", right: true }, { name: "Context", right: true, title: "how full its context window is" }, { name: "Cost", right: true }, { name: "Doing" },
];

function tree(run, sizes) {
  const depth = new Map();
  const rows = run.sessions.map((session) => {
    const level = depth.has(session.parent) ? depth.get(session.parent) + 1 : 0;
    depth.set(session.id, level);
    const name = level ? session.name.split("/").at(-1) : session.name;
    const full = session.window_tokens ? session.context_tokens / session.window_tokens : null;
    return {
      key: session.id,
      cells: [
        h("span", { class: `indent i${Math.min(level, 6)}` }, level ? h("span", { class: "faint", "aria-hidden": "true" }, "└ ") : null, h("a", { href: `/sessions/${id(session.id)}`, "aria-label": level ? `${session.name}, level ${level + 1}` : null }, name)),
        state(session.status), session.role, session.model, String(session.turns), percent(full),
        callsLink({ run: run.id }, { session: session.id }, cost(run.spends[session.id])),
        h("span", { class: "clip" }, session.status === "done" ? "" : session.last_action),
      ],
    };
  });
  return table("Sessions", TREE, rows, "No session has started yet.");
}

export function checkTable(checks) {
  return table(
    "Checks",
    [{ name: "Check", head: true }, { name: "Result" }, { name: "Runs", right: true }, { name: "Failed", right: true }, { name: "Exit", right: true }, { name: "Number", right: true }, { name: "Wanted" }],
    checks.map((c) => [c.name, state(c.passed === null ? "not run" : c.passed ? "passed" : "failed"), String(c.rounds), String(c.failed_rounds), !["", "exited"].includes(c.ended) ? words(c.ended) : String(c.exit_code ?? "–"), c.value === null ? "–" : String(c.value), c.wanted]),
  );
}

// ---- money, timeline, rules, events

/** A part that asks the server for what it shows, again when the run has moved on. */
function asking(load, every = 3000) {
  let seen = null;
  const again = throttled(load, every);
  return {
    update({ run, sizes }, body) {
      const now = JSON.stringify([run.outcome || run.status, sizes, run.checks]);
      if (now === seen) return;
      seen = now;
      this.body = body;
      again();
    },
  };
}

function spendPart(run, go) {
  const shown = spending({ run }, go);
  const part = asking(async () => {
    const [report, costs] = await Promise.all([get(`runs/${id(run)}/report`), get(`runs/${id(run)}/cost`)]);
    if (!part.body.firstChild) part.body.append(...shown.node);
    shown.update(report, costs);
  });
  return part;
}

function timePart(run, go) {
  const chart = timelineChart(run, "", go);
  const part = asking(async () => {
    if (!part.body.firstChild) part.body.append(chart.node);
    await chart.load();
  });
  return part;
}

function rulesPart(run) {
  const part = asking(async () => show(part.body, await rules(run)));
  return part;
}

function eventPart(run) {
  const list = eventList(run, {});
  const part = asking(async () => {
    if (!part.body.firstChild) part.body.append(list.node);
    await list.load();
  });
  return part;
}
