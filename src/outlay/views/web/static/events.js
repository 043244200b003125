// Events one by one, newest page first, each with its text on demand.

import { get, id } from "./api.js";
import { h, show, table } from "./dom.js";
import { clock, words } from "./format.js";

export function eventTable(events, run) {
  return table(
    "Events",
    [{ name: "Number", right: true }, { name: "Time" }, { name: "Of" }, { name: "Event", head: true }, { name: "Facts" }, { name: "Text" }],
    events.map((event) => ({
      key: String(event.seq),
      cells: [String(event.seq), clock(event.at_ms), event.stream === run ? "run" : event.stream.replace(`${run}:`, ""), event.type, h("span", { class: "facts-json" }, facts(event.head)), event.text ? text(event.seq) : ""],
    })),
    "No such events.",
  );
}

/** `name tests, passed false, round 1`. */
function facts(head) {
  const shown = (value) => (Array.isArray(value) ? value.join(" ") : value && typeof value === "object" ? JSON.stringify(value) : String(value));
  return Object.entries(head).map(([name, value]) => `${words(name)} ${shown(value)}`).join(", ");
}

function text(seq) {
  const place = h("pre", { tabindex: "0" });
  const open = async (event) => {
    if (!event.target.open || place.textContent) return;
    try {
      place.textContent = (await get(`events/${seq}`)).text;
    } catch (error) {
      place.textContent = error.message;
    }
  };
  return h("details", { "data-keep": true, "data-key": `text-${seq}`, on: { toggle: open } }, h("summary", {}, "show"), place);
}

/** All events of a run, in pages. */
export function eventList(run, { stream }) {
  let end = null;
  const ends = [];
  let events = [];
  const body = h("div", {});
  const types = h("input", { type: "search", id: "event-types", placeholder: "all, or call.failed,merge", size: "28" });
  const older = h("button", { type: "button", on: { click: () => { ends.push(end); end = events[0].seq; load(); } } }, "Older");
  const newer = h("button", { type: "button", on: { click: () => { end = ends.pop() ?? null; load(); } } }, "Newer");
  const find = (event) => {
    event.preventDefault();
    end = null;
    ends.length = 0;
    load();
  };

  async function load() {
    try {
      ({ events } = await get(`runs/${id(run)}/events`, { end, types: types.value.replaceAll(" ", ""), stream, most: 100 }));
      show(body, eventTable(events, run));
    } catch (error) {
      show(body, h("p", { class: "error" }, error.message));
    }
    older.disabled = events.length < 100;
    newer.disabled = end === null;
  }

  const bar = h("form", { class: "bar", on: { submit: find } }, h("label", { for: "event-types" }, "Types"), types, h("button", {}, "Show"), older, newer);
  return { node: h("div", { "data-keep": true, "data-key": "events" }, bar, body), load };
}
