// How numbers, times and money are written: as everywhere in Outlay.

export const DASH = "–";
const PICO = 1e12;

export function tokens(count) {
  if (count === null || count === undefined) return DASH;
  if (count < 1000) return String(count);
  if (count < 999500) return `${(count / 1000).toFixed(count < 99950 ? 1 : 0)}k`;
  return `${(count / 1e6).toFixed(2)}M`;
}

export function percent(share) {
  return share === null || share === undefined ? DASH : `${Math.round(share * 100)} %`;
}

export function duration(ms) {
  if (ms === null || ms === undefined) return DASH;
  if (ms < 1000) return `${Math.round(ms)}ms`;
  if (ms < 59950) return `${(ms / 1000).toFixed(1)}s`;
  const seconds = Math.round(ms / 1000);
  const two = (n) => String(n).padStart(2, "0");
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${two(seconds % 60)}s`;
  return `${Math.floor(seconds / 3600)}h${two(Math.floor((seconds % 3600) / 60))}m`;
}

export function money(pico, digits) {
  if (pico === null || pico === undefined) return "unknown";
  const usd = pico / PICO;
  const places = digits ?? (Math.abs(usd) >= 1 || pico === 0 ? 2 : 4);
  const text = Math.abs(usd).toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });
  return `${usd < 0 ? "-" : ""}$${text}`;
}

/** What is known of a spend's cost, in picodollars. */
export function known(spend) {
  const k = spend.known;
  return k.fresh + k.cache_read + k.cache_write_5m + k.cache_write_1h + k.output + k.other;
}

/** The cost when it is known to the end, else null. */
export function whole(spend) {
  return spend.unpriced || spend.unmeasured ? null : known(spend);
}

export function cost(spend) {
  if (!spend) return DASH;
  const sum = known(spend);
  if (!spend.unpriced && !spend.unmeasured) return money(sum);
  return spend.calls > spend.unpriced + spend.unmeasured || sum ? `≥ ${money(sum)}` : "unknown";
}

export function net(usage) {
  return usage.fresh + usage.cache_write_5m + usage.cache_write_1h + usage.output;
}

export function gross(usage) {
  return net(usage) + usage.cache_read;
}

export function plural(count, word) {
  return `${count.toLocaleString("en-US")} ${word}${count === 1 ? "" : "s"}`;
}

export function whole_number(count) {
  return count === null || count === undefined ? DASH : count.toLocaleString("en-US");
}

export function clock(ms) {
  return ms ? new Date(ms).toLocaleTimeString("en-GB") : DASH;
}

export function moment(ms) {
  if (!ms) return DASH;
  const d = new Date(ms);
  const two = (n) => String(n).padStart(2, "0");
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}`;
}

/** A moment on an axis that spans so many milliseconds. */
export function tick(ms, span) {
  if (span > 86400e3) return moment(ms);
  return span < 10000 ? `${clock(ms)}.${String(Math.floor(ms % 1000)).padStart(3, "0")}` : clock(ms);
}

export function words(text) {
  return String(text ?? "").replaceAll("_", " ");
}
