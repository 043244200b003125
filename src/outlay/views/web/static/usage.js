// What other tools used: the same figures as `outlay usage`.

import { get, id } from "./api.js";
import { h, show, table } from "./dom.js";
import { money, tokens, whole_number } from "./format.js";

const BY = ["session", "day", "week", "month", "model", "agent", "role", "tool", "project", "source"];

export async function page({ query, go }) {
  const by = BY.includes(query.get("by")) ? query.get("by") : "session";
  const since = query.get("since") || "";
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const body = h("div", {});
  const said = h("p", { role: "status" });
  let told;

  async function load(read) {
    said.textContent = read ? "Reading transcripts …" : "";
    try {
      told = await get("usage", { by, since, timezone: zone, read: read ? "1" : "" });
      show(body, content(told, by));
      said.textContent = read ? "Read." : "";
    } catch (error) {
      said.textContent = error.message;
    }
  }

  await load(false);
  const submit = (event) => {
    event.preventDefault();
    go(`/usage?${new URLSearchParams(new FormData(event.target))}`);
  };
  const form = h(
    "form",
    { class: "bar", on: { submit } },
    h("div", { class: "field" }, h("label", { for: "by" }, "By"), h("select", { id: "by", name: "by" }, BY.map((each) => h("option", { selected: each === by }, each)))),
    h("div", { class: "field" }, h("label", { for: "since" }, "Since"), h("input", { id: "since", name: "since", value: since, placeholder: "7d, today, 2026-01-31", size: "20" })),
    h("button", {}, "Show"),
    h("button", { type: "button", on: { click: () => load(true) } }, "Read transcripts now"),
  );
  return { title: "Other tools", node: [h("h1", {}, "What other tools used"), h("p", {}, "Sessions of Claude Code, Codex, Gemini CLI and OpenCode, as ", h("code", {}, "outlay usage"), " knows them; runs of Outlay are among them."), form, said, body] };
}

function content(told, by) {
  if (!told.total.calls) return h("div", { class: "empty-page" }, h("p", {}, "No calls are known in this stretch."), h("p", {}, "“Read transcripts now” looks for the sessions of Claude Code, Codex, Gemini CLI and OpenCode on this machine."));
  const cost = (tally) => (tally.cost_usd === null ? (tally.priced_cost_usd ? `≥ ${money(tally.priced_cost_usd * 1e12, 2)}` : "unknown") : money(tally.cost_usd * 1e12, tally.cost_usd >= 0.01 || !tally.cost_usd ? 2 : 4));
  const cells = (name, t) => [name, whole_number(t.calls), tokens(t.fresh), tokens(t.cache_read), tokens(t.cache_write_5m + t.cache_write_1h), tokens(t.output), cost(t)];
  const name = (key) => (by === "session" ? h("a", { href: `/imported/${id(key)}` }, told.labels[key] || key) : told.labels[key] || key || "(none)");
  const timely = ["day", "week", "month"].includes(by);
  const groups = timely ? [...told.groups].reverse() : told.groups;
  return [
    table(
      `By ${by}`,
      [{ name: by, head: true }, { name: "Calls", right: true }, { name: "Fresh", right: true }, { name: "Cached", right: true }, { name: "Written", right: true }, { name: "Output", right: true }, { name: "Cost", right: true }],
      [...groups.slice(0, 500).map((group) => ({ key: group.key, cells: cells(name(group.key), group) })), { class: "total", cells: cells("Total", told.total) }],
    ),
    groups.length > 500 ? h("p", { class: "faint" }, `The first 500 of ${whole_number(groups.length)}; outlay usage has all.`) : null,
    told.coverage.unpriced.length ? h("p", { class: "notice" }, told.coverage.unpriced.map((each) => `${whole_number(each.calls)} calls without a price: ${each.why}`).join("; ")) : null,
    h("p", { class: "faint" }, `Price book ${told.price_book}.`),
  ];
}
