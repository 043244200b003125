// Which page an address means, and moving between them without loading anew.

import { announce, h } from "./dom.js";
import { post } from "./api.js";

const PAGES = [
  [/^\/$/, "./runs.js"],
  [/^\/runs\/([^/]+)(?:\/(money|timeline|rules|events))?$/, "./run.js"],
  [/^\/sessions\/([^/]+)$/, "./session.js"],
  [/^\/calls$/, "./calls.js"],
  [/^\/audit$/, "./audit.js"],
  [/^\/compare$/, "./compare.js"],
  [/^\/usage$/, "./usage.js"],
  [/^\/imported\/([^/]+)$/, "./imported.js"],
];

const main = document.getElementById("main");
let stop = null;
let turn = 0;

async function open(moved) {
  const mine = ++turn;
  stop?.();
  stop = null;
  const { pathname, searchParams } = new URL(location.href);
  mark(pathname);
  const [pattern, file] = PAGES.find(([pattern]) => pattern.test(pathname)) || [];
  try {
    if (!file) throw new Error(`there is no page ${pathname}`);
    const { page } = await import(file);
    const params = pattern.exec(pathname).slice(1).map((part) => part && decodeURIComponent(part));
    const found = await page({ params, query: searchParams, go });
    if (mine !== turn) return found.stop?.();
    stop = found.stop;
    put(found.title, found.node, moved);
    found.shown?.();
  } catch (error) {
    if (mine === turn) put("Not there", [h("h1", {}, "This cannot be shown"), h("p", { class: "error" }, error.message), h("p", {}, h("a", { href: "/" }, "To the runs"))], moved);
  }
}

function put(title, node, moved) {
  document.title = `${title} · Outlay`;
  main.replaceChildren(...[node].flat(Infinity).filter(Boolean));
  main.dataset.ready = location.pathname + location.search;
  if (location.hash.length > 1) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
  else if (moved) {
    scrollTo(0, 0);
    const heading = main.querySelector("h1");
    heading?.setAttribute("tabindex", "-1");
    heading?.focus({ preventScroll: true });
    announce(title);
  }
}

function mark(path) {
  for (const link of document.querySelectorAll("header nav a")) {
    const target = link.getAttribute("href");
    const here = target === "/" ? path === "/" || /^\/(runs|sessions)\//.test(path) : path.startsWith(target);
    if (here) link.setAttribute("aria-current", path === target ? "page" : "true");
    else link.removeAttribute("aria-current");
  }
}

/** Go to an address of this window. */
export function go(href, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", href);
  return open(!replace);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  const href = link.getAttribute("href");
  if (!href.startsWith("/") || href.startsWith("/api/") || link.hasAttribute("download")) return;
  event.preventDefault();
  go(href);
});
addEventListener("popstate", () => open(true));

// ---- light and dark

const button = document.getElementById("theme");
const dark = matchMedia("(prefers-color-scheme: dark)");

function theme(choice) {
  document.documentElement.dataset.theme = choice;
  button.textContent = choice === "dark" ? "Light" : "Dark";
  button.setAttribute("aria-label", `Switch to ${choice === "dark" ? "light" : "dark"} colours`);
}

const stored = () => {
  try {
    return localStorage.getItem("theme");
  } catch {
    return null;
  }
};
theme(stored() || (dark.matches ? "dark" : "light"));
dark.addEventListener("change", () => stored() || theme(dark.matches ? "dark" : "light"));
button.addEventListener("click", () => {
  const choice = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  try {
    localStorage.setItem("theme", choice);
  } catch {
    // the choice lasts as long as the page, then
  }
  theme(choice);
});

// ---- another browser

document.getElementById("elsewhere").addEventListener("click", async () => {
  const place = h("dialog", { "aria-labelledby": "elsewhere-title" });
  let shown;
  try {
    const { url } = await post("links");
    shown = [h("p", {}, "This link opens the window once, in another browser of this machine:"), h("p", {}, h("code", {}, url))];
  } catch (error) {
    shown = [h("p", { class: "error" }, error.message)];
  }
  place.append(h("h2", { id: "elsewhere-title" }, "Open elsewhere"), ...shown, h("form", { method: "dialog" }, h("button", {}, "Close")));
  place.addEventListener("close", () => place.remove());
  document.body.append(place);
  place.showModal();
});

open(false);
