// Operations, events and records in words: every value with its name; addresses, assets, pools and amounts as what they are.

import { h } from "./dom.js";
import { unix, words } from "./format.js";
import { accountLink, assetLink, blockLink, farmLink, money, poolLink, proposalLink, scaleOf } from "./ledger.js";

const ADDRESS = /^qx1[02-9ac-hj-np-z]{50,60}$/;
const UNITS = /^(?:0|[1-9][0-9]*)$/;
const MOMENTS = /(?:^|_)(?:until|deadline|expires|since|from|ready|due|start|end|time|after|effective_from)(?:_s)?$/;
const OF_ASSET = /^(?:amount|allowance|minted|max_supply|budget|min_amount|limit|per_tx|fee|balance|held|available|bonded|rewards|released|reward)$/;

/** Which asset an amount called `name` among `fields` is of; "" when nothing says so. */
export function assetOf(name, fields, context = {}) {
  const side = /^(?:amount|max|min|reserve)_(a|b|in|out)$/.exec(name);
  if (side) {
    if (fields[`asset_${side[1]}`]) return fields[`asset_${side[1]}`];
    const path = Array.isArray(fields.path) ? fields.path : null;
    if (path) return side[1] === "in" ? path[0] : side[1] === "out" ? path[path.length - 1] : "";
    const pool = String(fields.pool ?? "").split("/");
    if (pool.length === 2 && "ab".includes(side[1])) return pool[side[1] === "a" ? 0 : 1];
    if (fields.a && fields.b) return side[1] === "a" ? fields.a : fields.b;
    return "";
  }
  if (name === "shares" && fields.pool) return fields.pool;
  if (name === "fee" || name === "max_fee") return context.feeAsset ?? "";
  if (!OF_ASSET.test(name)) return "";
  if (typeof fields.asset === "string") return fields.asset;
  if (typeof fields.reward_asset === "string") return fields.reward_asset;
  return fields.validator !== undefined ? context.stakeAsset ?? "" : "";
}

/** One value by its name. */
export function showValue(name, value, fields, context = {}) {
  if (value === null || value === undefined || value === "") return "–";
  if (Array.isArray(value)) return showList(name, value, fields, context);
  if (typeof value === "object") return showFields(value, { ...context });
  const text = String(value);
  if (ADDRESS.test(text)) return accountLink(text);
  if (UNITS.test(text)) {
    const asset = assetOf(name, fields, context);
    if (asset && scaleOf(asset) !== undefined) return money(text, asset);
    if (MOMENTS.test(name) && text.length === 10) return unix(text);
    if (name === "height") return blockLink(text);
    if (name === "farm") return farmLink(text);
    if (name === "proposal" && !fields.group) return proposalLink(text);
  }
  if (name === "pool" && text.includes("/")) return poolLink(text);
  if (/(?:^|_)asset(?:_|$)|^(?:path|code|stake|a|b)$/.test(name) && scaleOf(text) !== undefined) return assetLink(text);
  return h("span", { class: text.length > 24 ? "mono wrap" : null }, text);
}

function showList(name, values, fields, context) {
  if (!values.length) return "none";
  if (values.every((item) => typeof item !== "object")) {
    return h("span", {}, values.map((item, i) => [i ? (name === "path" ? " → " : ", ") : "", showValue(name, item, fields, context)]));
  }
  return h("ol", { class: "plain" }, values.map((item) => h("li", {}, showValue(name, item, fields, context))));
}

/** An object as names and values. */
export function showFields(fields, context = {}) {
  const rows = Object.entries(fields).filter(([, value]) => value !== "" && value !== null);
  return h("dl", { class: "inner" }, rows.map(([name, value]) => h("div", {}, h("dt", {}, words(name)), h("dd", {}, showValue(name, value, fields, context)))));
}

/** Operations of a transaction or of a proposal. */
export function showOperations(ops, context = {}) {
  return h("ol", { class: "operations" }, ops.map(({ op, as, ...fields }) =>
    h("li", {}, h("p", { class: "op" }, h("code", {}, op), as ? [" by ", accountLink(as)] : null), showFields(fields, context))));
}

/** Events of a receipt: attributes are a list of {key, value} or an object. */
export function showEvents(events, context = {}) {
  if (!events.length) return h("p", { class: "empty" }, "No events.");
  return h("ol", { class: "operations" }, events.map(({ type, attributes }) => {
    const fields = Array.isArray(attributes) ? Object.fromEntries(attributes.map(({ key, value }) => [key, value])) : attributes;
    return h("li", {}, h("p", { class: "op" }, h("code", {}, words(type))), showFields(fields, context));
  }));
}

/** One line about a transaction for a list. */
export function summary(decoded) {
  if (!decoded) return "not readable";
  const names = decoded.ops.map(({ op }) => op);
  return names.length <= 2 ? names.join(", ") : `${names[0]} and ${names.length - 1} more`;
}
