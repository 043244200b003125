// One call: counters, price row, cost. The same as `outlay audit`.

import { get, id } from "./api.js";
import { h, section, table } from "./dom.js";
import { duration, moment, money, whole_number, words } from "./format.js";

export async function page({ query }) {
  const found = await get("audit", { key: query.get("key") });
  const { call, priced } = found;
  const place = /#(\d+)$/.exec(call.key);
  const facts = [
    ["Call", h("span", { class: "mono" }, call.key)],
    ["Source", `${call.source}${call.machine ? ` on ${call.machine}` : ""}, ${words(call.quality)}, ${call.status}, attempt ${call.attempt}`],
    ["Read at", found.line ? `${found.file}:${found.line}` : found.file],
    ["Ended", moment(call.ended_ms) + (call.started_ms ? `, took ${duration(call.ended_ms - call.started_ms)}` : "")],
    ["Session", call.source === "outlay" ? h("a", { href: `/sessions/${id(call.session)}${place ? `?start=${Math.max(place[1] - 2, 0)}&at=${Number(place[1]) + 1}` : ""}` }, call.session) : call.session],
    ["Agent", [call.agent, call.role].filter(Boolean).join(", ")],
    ["Model", `${call.model}${call.answered_model ? `, answered by ${call.answered_model}` : ""} ${[call.provider, call.tier, call.speed].filter(Boolean).join(", ")}`],
    ["Tools", call.tools.replaceAll(",", ", ") || "none"],
  ];
  const rows = found.shares.map((share) => [share.name === "output" ? "output without reasoning" : words(share.name), whole_number(share.count), share.rate_pico === null ? "no rate" : (share.rate_pico / 1e6).toLocaleString("en-US", { maximumFractionDigits: 6 }), share.rate_pico === null ? "unknown" : money(share.count * share.rate_pico, 8)]);
  if (found.request_pico) rows.push(["request", "1", "", money(found.request_pico, 8)]);
  rows.push({ class: "total", cells: ["Together", "", "", priced.cost_pico === null ? "unknown" : money(priced.cost_pico, 8)] });
  return {
    title: "Call",
    node: [
      h("p", { class: "crumbs" }, h("a", { href: "/" }, "Runs"), call.run ? [" / ", h("a", { href: `/runs/${id(call.run)}` }, call.run), " / ", h("a", { href: `/calls?${new URLSearchParams({ run: call.run, session: call.session })}` }, "calls")] : ""),
      h("h1", {}, "Call"),
      h("dl", { class: "facts-list" }, facts.filter(([, value]) => value).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
      section("Counters times rates", table("Counters times rates", [{ name: "Class", head: true }, { name: "Count", right: true }, { name: "USD per million", right: true }, { name: "Cost", right: true }], rows)),
      h("p", {}, priced.cost_pico === null ? `The cost is unknown: ${priced.why_unknown}.` : `Price row ${priced.row}, book ${priced.book}.`),
      call.possible_cost_pico ? h("p", {}, `It may have cost up to ${money(call.possible_cost_pico)}.`) : null,
      found.text ? h("pre", { tabindex: "0", "aria-label": "The line itself" }, found.text) : null,
      h("p", { class: "faint" }, "The same in a terminal: ", h("code", {}, `outlay audit '${call.key}'`)),
    ].filter(Boolean),
  };
}
