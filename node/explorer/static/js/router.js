// Places inside the page: `#/pool/EUR%2FQNX?from=1` is {name: "pool", args: ["EUR/QNX"], query: {from: "1"}}.

const NAME = /^[a-z-]{0,24}$/;
const ARGS_MAX = 4;
const LENGTH_MAX = 2_000;

/** What a hash names; null for what is no place of ours. */
export function parseHash(hash) {
  if (hash === "" || hash === "#") return { name: "", args: [], query: {} };
  if (!hash.startsWith("#/") || hash.length > LENGTH_MAX) return null;
  const [path, search = ""] = hash.slice(2).split("?", 2);
  let parts;
  try {
    parts = path.split("/").map(decodeURIComponent);
  } catch {
    return null;
  }
  const [name, ...args] = parts;
  if (!NAME.test(name) || args.length > ARGS_MAX || args.includes("")) return null;
  return { name, args, query: Object.fromEntries(new URLSearchParams(search)) };
}

/** The hash of a place: the inverse of `parseHash`. */
export function place(name, ...args) {
  return "#/" + [name, ...args].map((part) => encodeURIComponent(String(part))).join("/");
}

/** A place with a query. */
export const placeWith = (query, name, ...args) => `${place(name, ...args)}?${new URLSearchParams(query)}`;

const HEIGHT = /^[0-9]{1,18}$/;
const HASH = /^(?:0x)?([0-9a-fA-F]{64})$/;
const NODE = /^(?:0x)?([0-9a-fA-F]{40})$/;
const CODE = /^[A-Z][A-Z0-9.]{1,15}$/;
const POOL = /^[A-Z][A-Z0-9.]{1,15}[/ ,-][A-Z][A-Z0-9.]{1,15}$/;
const NUMBERED = /^(proposal|farm|block)\s*#?\s*([0-9]{1,18})$/i;

/** What a text that somebody typed may name, the likeliest first: [[kind, argument], ...]. Nothing is asked of the node. */
export function guess(text) {
  const query = text.trim();
  const numbered = NUMBERED.exec(query);
  if (numbered) return [[numbered[1].toLowerCase(), numbered[2]]];
  if (HEIGHT.test(query.replaceAll(",", ""))) return [["block", query.replaceAll(",", "")]];
  const hash = HASH.exec(query);
  if (hash) return [["tx", hash[1].toUpperCase()], ["block-hash", hash[1].toUpperCase()]];
  const node = NODE.exec(query);
  if (node) return [["validator", node[1].toLowerCase()], ["promise", node[1].toLowerCase()]];
  if (/^qx1/i.test(query)) return [["account", query.toLowerCase()]];
  const upper = query.toUpperCase();
  if (POOL.test(upper)) return [["pool", upper.split(/[/ ,-]/).sort().join("/")]];
  if (CODE.test(upper)) return [["asset", upper], ["moniker", query]];
  return query ? [["moniker", query]] : [];
}
