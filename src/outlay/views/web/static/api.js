// Questions to the server, and what it tells by itself.

/** An answer, or an Error with words for people. */
export async function get(path, query = {}) {
  const asked = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(asked).toString();
  return answer(await fetch(`/api/${path}${text ? `?${text}` : ""}`, { headers: { Accept: "application/json" } }));
}

export async function post(path, body) {
  const headers = { "Content-Type": "application/json", "X-Outlay": "1" };
  return answer(await fetch(`/api/${path}`, { method: "POST", headers, body: JSON.stringify(body || {}) }));
}

async function answer(response) {
  const told = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(told.error || `the server answered ${response.status}`);
  return told;
}

export const id = encodeURIComponent;

const AGAIN_MS = 2000;

const sign = () => document.getElementById("link-state");

/** Listen for what changes, of one run or of all; the returned function ends it. A hidden page does not listen. */
export function live(run, hear) {
  let source = null;
  const open = () => {
    source = new EventSource(`/api/live${run ? `?run=${id(run)}` : ""}`);
    for (const name of ["run", "runs"]) {
      source.addEventListener(name, (event) => {
        say("live", "live");
        hear(JSON.parse(event.data));
      });
    }
    source.addEventListener("error", () => {
      say("lost", "no connection; trying again");
      if (source?.readyState === EventSource.CLOSED) setTimeout(again, AGAIN_MS);
    });
  };
  const close = () => {
    source?.close();
    source = null;
  };
  /** The browser has given up: because the window is locked, or for another reason. */
  const again = async () => {
    if (source?.readyState !== EventSource.CLOSED) return;
    const response = await fetch("/api/runs?most=1").catch(() => null);
    if (response?.status === 401) return say("lost", "locked; open a new link of outlay serve");
    close();
    seen();
  };
  const seen = () => (document.hidden ? close() : source || open());
  document.addEventListener("visibilitychange", seen);
  seen();
  return () => {
    document.removeEventListener("visibilitychange", seen);
    close();
    say("", "");
  };
}

function say(kind, words) {
  const place = sign();
  if (place.dataset.kind === kind && place.textContent === words) return;
  place.dataset.kind = kind;
  place.textContent = words;
}

/** Call `work` soon, at most once in `ms`; the last wish counts. What goes wrong is said at the top. */
export function throttled(work, ms) {
  let timer = 0;
  let last = 0;
  return () => {
    if (timer) return;
    timer = setTimeout(() => {
      timer = 0;
      last = Date.now();
      Promise.resolve()
        .then(work)
        .catch((error) => say("lost", error.message));
    }, Math.max(last + ms - Date.now(), 0));
  };
}
