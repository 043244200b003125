// Stepping in: the buttons and forms of a run, and what waits for a person.

import { id, post } from "./api.js";
import { announce, h } from "./dom.js";
import { plural } from "./format.js";

/** A block that stays as it is while the run goes on; `update(told)` brings its choices up to date. */
export function steering(run) {
  const said = h("p", { class: "said", role: "status" });
  const choices = h("div", { class: "choices" });
  const approvals = h("div", {});
  const node = h("section", { class: "steering", "data-keep": true, "data-key": "steering", "aria-label": "Steer" }, approvals, choices, said);
  let shown = "";
  let asked = "";

  async function wish(what, words) {
    say(`${words} …`);
    try {
      const { state } = await post(`runs/${id(run)}/do`, what);
      say(what.do === "approve" || what.do === "deny" ? state : `Now: ${state.replaceAll("_", " ")}.`);
      return true;
    } catch (error) {
      say(error.message, true);
      return false;
    }
  }

  function say(words, bad = false) {
    said.textContent = words;
    said.classList.toggle("error", bad);
  }

  const button = (words, work, kind = "") => h("button", { type: "button", class: kind, on: { click: work } }, words);

  function form(label, verb, kind, { required }) {
    const box = h("textarea", { id: `steer-${kind}`, rows: "2", required });
    const submit = async (event) => {
      event.preventDefault();
      if (await wish({ do: kind, text: box.value }, verb)) box.value = "";
    };
    return h("form", { class: "message", on: { submit } }, h("label", { for: `steer-${kind}` }, label), box, h("button", { type: "submit" }, verb));
  }

  function update({ run: view, agent, waiting }) {
    const status = agent ? agent.status : view.status;
    const at_work = ["running", "waiting", "queued"].includes(status);
    const now = JSON.stringify([status, Boolean(agent), agent?.question]);
    if (now !== shown) {
      shown = now;
      const cancel = button("Cancel …", () => sure(view.name, () => wish({ do: "cancel" }, "Cancelling")), "danger");
      choices.replaceChildren(...[
        agent?.question && h("p", { class: "question" }, h("strong", {}, "It asks: "), agent.question),
        at_work && form(agent?.question ? "Answer" : "Message, read before its next turn", "Send", "send", { required: true }),
        !at_work && resumption(agent, status),
        h("div", { class: "buttons" }, at_work && !agent ? button("Pause", () => wish({ do: "pause" }, "Pausing at the next safe point")) : "", at_work || status === "paused" || status === "interrupted" ? cancel : ""),
      ].filter(Boolean));
    }
    const ids = JSON.stringify(waiting.map((each) => each.id));
    if (ids !== asked) {
      if (waiting.length && asked) announce(`${plural(waiting.length, "release")} waits for approval`);
      asked = ids;
      approvals.replaceChildren(...waiting.map(approval));
    }
  }

  function resumption(agent, status) {
    const block = form(agent ? "New instructions" : "New instructions (may be empty)", "Resume", "resume", { required: Boolean(agent) });
    const open = ["paused", "interrupted"].includes(status);
    return h("details", { class: "go-on", open }, h("summary", {}, "Go on with it"), block);
  }

  const approval = (each) =>
    h(
      "article",
      { class: "approval" },
      h("h2", {}, `Approval ${each.id}: ${each.release} to ${each.to}`),
      h("p", { class: "faint" }, `Asked by ${each.session}. An approval holds once, for exactly these bytes:`),
      h("pre", { tabindex: "0", "aria-label": "What would be released" }, each.content),
      h("div", { class: "buttons" }, button("Approve", () => wish({ do: "approve", id: each.id }, "Approving")), button("Deny", () => wish({ do: "deny", id: each.id }, "Denying"), "danger")),
    );

  return { node, update };
}

function sure(name, work) {
  const box = h(
    "dialog",
    { "aria-labelledby": "sure-title" },
    h("h2", { id: "sure-title" }, `Cancel ${name}?`),
    h("p", {}, "What it is doing is cut, its work is kept, nothing is delivered."),
    h("form", { method: "dialog", class: "buttons" }, h("button", { value: "no" }, "Go on"), h("button", { value: "yes", class: "danger" }, "Cancel it")),
  );
  box.addEventListener("close", () => {
    if (box.returnValue === "yes") work();
    box.remove();
  });
  document.body.append(box);
  box.showModal();
}
