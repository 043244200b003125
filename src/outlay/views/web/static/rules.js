// What the machine enforced: checks, breakers, refusals of limits and rules, denials of the policy, calls that went wrong.

import { get, id } from "./api.js";
import { h, section, table } from "./dom.js";
import { money, words } from "./format.js";
import { checkTable } from "./run.js";
import { eventTable } from "./events.js";

const TYPES = "check.finished,breaker.tripped,policy.denied,limit.reached,limit.refused,rule.refused,approval.asked,data.released,gate.passed,review.finished,agent.denied";

export async function rules(run) {
  const [report, { events }] = await Promise.all([get(`runs/${id(run)}/report`), get(`runs/${id(run)}/events`, { types: TYPES, most: 200 })]);
  const names = new Map(report.agents.map((line) => [line.session.id, line.session.name]));
  const link = (session, n) => h("a", { href: `/sessions/${id(session)}${n ? `?start=${Math.max(n - 2, 0)}&at=${n}` : ""}` }, names.get(session) || session);
  return [
    section("Checks", checkTable(report.checks)),
    section(
      "Breakers that tripped",
      table(
        "Breakers that tripped",
        [{ name: "Session", head: true }, { name: "Turn", right: true }, { name: "Breaker" }, { name: "Symptom" }, { name: "Done" }, { name: "Saved or cost" }],
        report.breakers.map((b) => [link(b.trip.session, b.trip.n), String(b.trip.turn), words(b.trip.breaker), b.symptom, words(b.trip.action) + (b.trip.wanted && b.trip.wanted !== b.trip.action ? ` (wanted: ${words(b.trip.wanted)})` : ""), effect(b.effect)]),
        "No breaker tripped.",
      ),
    ),
    section(
      "Denied by the policy",
      table(
        "Denied by the policy",
        [{ name: "Session", head: true }, { name: "At" }, { name: "Data" }, { name: "To" }, { name: "Times", right: true }],
        report.denials.map((d) => [d.session, d.point, d.data.join(", "), d.to, String(d.times)]),
        "The policy denied nothing, or there is none.",
      ),
    ),
    section(
      "Refused by limits and rules",
      table("Refused", [{ name: "Limit or rule", head: true }, { name: "Times", right: true }], Object.entries(report.refused).map(([name, times]) => [words(name), String(times)]), "Nothing was refused."),
    ),
    section(
      "Calls that went wrong",
      table(
        "Calls that went wrong",
        [{ name: "Session", head: true }, { name: "What" }, { name: "Kind" }, { name: "Model" }, { name: "May have cost", right: true }, { name: "Call" }],
        report.faults.slice(0, 200).map((f) => [link(f.session), f.status, `${words(f.kind)} ${f.http_status ?? ""}`, f.model, f.possible_cost_pico ? money(f.possible_cost_pico) : "–", h("a", { class: "mono", href: `/audit?key=${id(f.key)}` }, "look")]),
        "Every call was answered well.",
      ),
    ),
    section("In order", eventTable(events, run)),
  ];
}

function effect(found) {
  return Object.entries(found)
    .filter(([, value]) => value !== null && value !== "" && value !== 0)
    .map(([name, value]) => (name.endsWith("_pico") ? `${words(name.slice(0, -5))} ${money(value)}` : `${words(name)} ${value}`))
    .join(", ") || "–";
}
