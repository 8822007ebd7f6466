// Words for times, hashes and heights. Amounts are `amounts.js`.

/** A hash or an address, shortened in the middle. */
export const short = (text, head = 8, tail = 6) => (text.length <= head + tail + 1 ? text : `${text.slice(0, head)}…${text.slice(-tail)}`);

export const count = (number) => String(number).replace(/\B(?=(?:\d{3})+$)/g, ",");

const TOGETHER = "\u00a0"; // a number and its unit stay on one line

/** "12 s", "3 min", "5 h", "2 d". */
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 120) return `${s}${TOGETHER}s`;
  if (s < 7_200) return `${Math.round(s / 60)}${TOGETHER}min`;
  if (s < 172_800) return `${Math.round(s / 3_600)}${TOGETHER}h`;
  return `${Math.round(s / 86_400)}${TOGETHER}d`;
}

/** Milliseconds of an RFC 3339 time; its nanoseconds are cut off. */
export const millis = (time) => Date.parse(time.replace(/(\.\d{3})\d+Z$/, "$1Z"));

/** How long ago. */
export function ago(time, now = Date.now()) {
  const seconds = (now - millis(time)) / 1_000;
  return seconds < 0 ? "now" : `${duration(seconds)}${TOGETHER}ago`;
}

/** A time in UTC, to the second. */
export const utc = (time) => new Date(millis(time)).toISOString().replace("T", " ").slice(0, 19) + " UTC";

/** Unix seconds in UTC; "–" for 0. */
export const unix = (seconds) => (Number(seconds) ? utc(new Date(Number(seconds) * 1_000).toISOString()) : "–");

/** account_created is "account created". */
export const words = (name) => String(name).replaceAll("_", " ");
