// Building and updating the page. Text is always text: nothing is ever read as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element. props: attributes; `on`: listeners by event. Children that are null or false are left out. */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** An SVG element. */
export function s(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    node.append(child);
  }
  return node;
}

/** Make `old` like `fresh`, keeping the elements that stay: focus, selection and open folds survive an update.
 *  Elements with data-keep are left alone; data-key tells siblings apart. */
export function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (old.hasAttribute("data-keep")) return;
  for (const { name } of [...old.attributes]) {
    const ours = (name === "open" && old.nodeName === "DETAILS") || (name === "tabindex" && old.nodeName === "H1");
    if (!ours && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const keyed = new Map([...old.children].filter((c) => c.dataset?.key).map((c) => [c.dataset.key, c]));
  let at = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const key = child.dataset?.key;
    const match = key ? keyed.get(key) : at && !at.dataset?.key && at.nodeName === child.nodeName ? at : null;
    if (!match) {
      old.insertBefore(child, at);
      continue;
    }
    if (match === at) at = at.nextSibling;
    else old.insertBefore(match, at);
    morph(match, child);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

/** Show `fresh` in `place`, which keeps what stays. */
export function show(place, ...fresh) {
  const box = place.cloneNode(false);
  box.append(...fresh.flat(Infinity).filter(Boolean));
  morph(place, box);
}

/** Tell people who listen instead of looking. */
export function announce(words) {
  document.getElementById("announcer").textContent = words;
}

/** A table. columns: [{name, right, title}]; rows: arrays of cells, or {key, cells, class}. */
export function table(caption, columns, rows, empty = "Nothing.") {
  if (!rows.length) return h("p", { class: "empty" }, empty);
  const head = columns.map((c) => h("th", { scope: "col", class: c.right && "right", title: c.title }, c.name));
  const body = rows.map((row) => {
    const cells = Array.isArray(row) ? row : row.cells;
    return h(
      "tr",
      { "data-key": row.key, class: row.class },
      cells.map((cell, n) =>
        n === (columns.findIndex((c) => c.head) + 1 || 1) - 1
          ? h("th", { scope: "row", class: columns[n].right && "right" }, cell)
          : h("td", { class: columns[n].right && "right" }, cell),
      ),
    );
  });
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {}, h("caption", { class: "hidden" }, caption), h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)),
  );
}

/** A heading with what belongs to it. */
export function section(title, ...children) {
  return h("section", { "data-key": `section-${title}` }, h("h2", {}, title), children);
}

/** Words for a state, with a sign, so that colour is never alone. */
export function state(word) {
  const plain = String(word || "").replaceAll("_", " ");
  const signs = {
    running: "▶", waiting: "◆", queued: "○", paused: "⏸", done: "✓", succeeded: "✓", passed: "✓", failed: "✗", lost: "✗",
    cancelled: "⊘", stopped: "■", "timed out": "■", interrupted: "!", "not run": "·",
  };
  return h("span", { class: `state ${plain.replaceAll(" ", "-")}` }, h("span", { "aria-hidden": "true" }, signs[plain] || "·"), ` ${plain}`);
}
