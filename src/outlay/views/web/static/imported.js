// A session that another tool left behind: the same report as that of a run.

import { get, id } from "./api.js";
import { h, section, state, table } from "./dom.js";
import { cost, moment, plural, tokens } from "./format.js";
import { callsLink, spending } from "./spend.js";

export async function page({ params: [root], go }) {
  let report;
  try {
    report = await get(`imported/${id(root)}/report`);
  } catch (error) {
    const own = await get(`runs/${id(root)}`).catch(() => null); // a run of ours stands in the list of usage, too
    if (!own) throw error;
    await go(`/runs/${id(root)}`, { replace: true });
    return { title: own.run.name, node: [] };
  }
  const costs = await get(`imported/${id(root)}/cost`);
  const of = { root: report.run.id };
  const spent = spending(of, go);
  spent.update(report, costs);
  const rows = report.agents.map((line) => ({
    key: line.session.id,
    cells: [h("span", { class: `indent i${Math.min(line.depth, 6)}` }, line.session.name), line.session.role, line.session.model, String(line.session.turns), tokens(line.session.context_tokens), callsLink(of, { session: line.session.id }, cost(line.spend))],
  }));
  return {
    title: report.run.name,
    node: [
      h("p", { class: "crumbs" }, h("a", { href: "/usage" }, "Other tools"), " / ", h("span", { class: "mono" }, report.run.id)),
      h("h1", {}, report.run.name),
      h("p", { class: "facts" }, state("done"), callsLink(of, {}, cost(report.total)), h("span", {}, plural(report.turns, "turn")), h("span", {}, moment(report.run.started_ms))),
      report.bottom_line.map((line) => h("p", {}, line)),
      section("Agents", table("Agents", [{ name: "Name", head: true }, { name: "Role" }, { name: "Model" }, { name: "Turns", right: true }, { name: "Context", right: true }, { name: "Cost", right: true }], rows)),
      ...spent.node,
    ],
  };
}
