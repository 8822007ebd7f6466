// Compliance as three people see it: a regulator (acts, restrictions), an issuer (an asset's powers), an account's owner (what counts for it).

import { badge, card, facts, field, fill, h, note, table } from "../dom.js";
import { unix, words } from "../format.js";
import { accountLink, assetLink, assets, blockLink, loadScales, money } from "../ledger.js";
import { showFields } from "../operations.js";
import { place } from "../router.js";
import { attempt, optional } from "../rpc.js";

const ACTS = 100;
const ROLES = [["", "Regulator"], ["issuer", "Issuer"], ["owner", "Account owner"]];

export const title = () => "Compliance";

export async function view(context) {
  const role = context.args[0] ?? "";
  if (!ROLES.some(([name]) => name === role)) return note("There is no such role.", "bad");
  const tabs = h("nav", { class: "tabs", "aria-label": "Roles" }, ROLES.map(([name, text]) =>
    h("a", { href: name ? place("compliance", name) : place("compliance"), "aria-current": name === role ? "page" : null }, text)));
  const explain = h("p", { class: "small" }, "Everything here is public state: a role changes what is gathered, not what may be seen.");
  const body = role === "issuer" ? await issuer() : role === "owner" ? owner() : context.live(regulator, 5_000);
  return h("div", {}, tabs, explain, body);
}

async function regulator() {
  const [params, restrictions, acts] = await Promise.all([
    attempt("record", { path: "/params/compliance" }), attempt("record", { path: "/restrictions" }), lastActs(),
  ]);
  const authorities = params?.record?.authorities ?? [];
  return [
    card("Authorities over accounts", facts([
      ["Named by governance", authorities.length ? authorities.map((who) => h("div", {}, accountLink(who, true))) : "nobody"],
      ["Release by another than who froze", params?.record?.separate_release ? "needed" : "not needed"],
      ["Restrictions in the state", restrictions?.record?.restrictions ?? 0],
    ])),
    card("Privileged acts, newest first", acts ? table("Privileged acts", [
      { title: "Act", cell: (row) => row.act },
      { title: "What", cell: (row) => h("code", {}, row.operation) },
      { title: "By", cell: (row) => accountLink(row.actor) },
      { title: "On", cell: (row) => accountLink(row.subject) },
      { title: "Asset", cell: (row) => (row.asset ? assetLink(row.asset) : "–") },
      { title: "Block", cell: (row) => blockLink(row.height) },
      { title: "Time", cell: (row) => unix(row.time) },
    ], acts, "Nobody has used a privilege yet.") : note("This node does not list privileged acts.", "warn")),
  ];
}

// The list is read from its beginning: how long it is stands in the state.
async function lastActs() {
  const count = Number((await attempt("record", { path: "/acts" }))?.record?.acts ?? 0);
  const found = await optional("comp_acts", { start: Math.max(0, count - ACTS), limit: ACTS });
  return found ? [...found.acts].reverse() : null;
}

async function issuer() {
  const rows = await assets();
  if (!rows) return note("This node cannot list its assets.", "warn");
  const powers = await Promise.all(rows.slice(0, 100).map(async (row) => (await attempt("comp_asset", { asset: row.code }))?.found));
  return card("Powers over assets", table("Powers over assets", [
    { title: "Asset", cell: (row) => assetLink(row.asset) },
    { title: "Issuer", cell: (row) => accountLink(row.issuer) },
    { title: "Paused", cell: (row) => (row.pause?.in_force ? badge("paused", "bad") : badge("no", "good")) },
    { title: "Flags", cell: (row) => row.flags.map((flag) => badge(words(flag))) },
    { title: "Roles given away", cell: (row) => (Object.values(row.roles).some(Boolean) ? Object.entries(row.roles).filter(([, who]) => who).map(([role, who]) => h("div", {}, `${words(role)}: `, accountLink(who))) : "none") },
  ], powers.filter(Boolean)));
}

function owner() {
  const input = h("input", { name: "address", placeholder: "qx1…", autocomplete: "off", spellcheck: "false" });
  const select = h("select", { name: "asset" });
  assets().then((rows) => fill(select, (rows ?? []).map((row) => h("option", { value: row.code }, row.code))));
  const answer = h("div", { "aria-live": "polite" });
  const ask = async (event) => {
    event.preventDefault();
    fill(answer, await standing(input.value.trim(), select.value).catch((error) => note(error.message, "bad")));
  };
  return card("What counts for an account", h("form", { class: "fields", on: { submit: ask } }, field("Account", input), field("Asset", select), h("button", { type: "submit" }, "Show")), answer);
}

async function standing(account, asset) {
  await loadScales(asset);
  const [whole, holding, limits, credentials] = await Promise.all([
    attempt("comp_account", { account }), attempt("comp_holding", { account, asset }), attempt("comp_limits", { account, asset }), attempt("kyc_credentials", { account }),
  ]);
  if (!whole?.found) return note("There is no such account.", "bad");
  const free = !whole.found.freeze && !whole.found.sanction && !holding?.found?.freeze;
  return [
    free ? note("Nothing restricts this account as a whole, nor what it holds of this asset.", "good") : note("This account is restricted.", "bad"),
    facts([
      ["Account", accountLink(account, true)],
      whole.found.sanction && ["Sanction", showFields(whole.found.sanction)],
      whole.found.freeze && ["Freeze", showFields(whole.found.freeze)],
      holding?.found && ["Available", money(holding.found.available, asset)],
      holding?.found && ["Held", money(holding.found.held, asset)],
      holding?.found?.freeze && ["Freeze of the holding", showFields(holding.found.freeze)],
      holding?.found?.state && ["Authorisation", badge(holding.found.state, "info")],
      credentials && ["Tier", credentials.tier],
      credentials && ["Jurisdiction", credentials.jurisdiction || "none"],
      credentials && ["Credentials", credentials.credentials.length ? credentials.credentials.map((row) => showFields(row)) : "none"],
      limits?.limits && ["Limits", limits.limits.limits.length ? limits.limits.limits.map((row) => showFields(row)) : "none"],
    ]),
  ];
}
