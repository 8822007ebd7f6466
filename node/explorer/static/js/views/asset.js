// Assets and their supplies; one asset with its powers, what its supply is made of, holders where they are indexed.

import { badge, card, facts, h, note, table } from "../dom.js";
import { chart } from "../charts.js";
import { percentOf, percentOfPpm, toPixelNumber } from "../amounts.js";
import { unix, words } from "../format.js";
import { accountLink, assetLink, assets, loadScales, money, poolLink, scaleOf } from "../ledger.js";
import { attempt, call, indexed, optional } from "../rpc.js";
import { recordCheck } from "./proof.js";

const HOLDERS = 25;
const DAYS_S = 7 * 86_400;

/** The list. */
export const list = {
  title: () => "Assets",
  view: (context) => context.live(async () => {
    const rows = await assets();
    if (!rows) return note("This node cannot list its assets. Search for one by its code.", "warn");
    return card("", table("Assets", [
      { title: "Code", cell: (row) => assetLink(row.code) },
      { title: "Supply", num: true, cell: (row) => money(row.supply, row.code) },
      { title: "At most", num: true, cell: (row) => (row.max_supply ? money(row.max_supply, row.code) : "no bound of its own") },
      { title: "Decimals", num: true, cell: (row) => row.scale },
      { title: "Issuer", cell: (row) => accountLink(row.issuer) },
      { title: "Flags", cell: (row) => flags(row.flags) },
    ], rows));
  }, 10_000),
};

const ORDINARY = new Set(["transferable", "tradable", "lockable", "escrowable", "stakeable"]);

function flags(names) {
  const special = names.filter((name) => !ORDINARY.has(name));
  const lacking = [...ORDINARY].filter((name) => !names.includes(name)).map((name) => `not ${name}`);
  return [...special, ...lacking].map((name) => badge(words(name), "info"));
}

export const title = ({ args }) => `Asset ${args[0]}`;

export async function view({ args: [code] }) {
  const [{ asset }, powers, parts, rate, dealers] = await Promise.all([
    call("asset", { code }), attempt("comp_asset", { asset: code }), attempt("cb_supply", { asset: code }), attempt("cb_rate", { asset: code }), attempt("cb_dealers", { asset: code }),
  ]);
  if (!asset) return note("There is no such asset.", "bad");
  await loadScales(code);
  const found = powers?.found;
  const amount = (units) => money(units, code);
  return h("div", {},
    card("", facts([
      ["Supply", amount(asset.supply)],
      ["At most", asset.max_supply ? [amount(asset.max_supply), ` (${percentOf(asset.supply, asset.max_supply)} issued)`] : "no bound of its own"],
      ["Decimals", asset.scale],
      ["Issuer", accountLink(asset.issuer, true)],
      ["Flags", h("span", {}, asset.flags.map((flag) => badge(words(flag), ORDINARY.has(flag) ? "" : "info")))],
      asset.metadata_hash && ["Hash of its description", h("span", { class: "mono wrap" }, asset.metadata_hash)],
      found && ["Roles", Object.entries(found.roles).filter(([, who]) => who).map(([role, who]) => h("div", {}, `${words(role)}: `, accountLink(who))).concat(Object.values(found.roles).some(Boolean) ? [] : ["the issuer has them all"])],
    ]), found?.pause?.in_force ? note(`Paused since ${unix(found.pause.since)}: ${found.pause.reason}`, "bad") : null),
    parts?.supply ? card("What the supply is made of", table("What the supply is made of", [
      { title: "Part", cell: ([name]) => name },
      { title: "Amount", num: true, cell: ([, units]) => amount(units) },
    ], [["issued to dealers", parts.supply.issued], ["redeemed", negative(parts.supply.redeemed)], ["interest paid", parts.supply.accrued], ["drawn on credit lines", parts.supply.drawn], ["at the start, minted and burned", parts.supply.other], ["supply", parts.supply.supply]])) : null,
    await supplyChart(code),
    rate?.rate && (rate.rate.rate_ppm || rate.rate.next_rate_ppm !== null) ? card("Policy rate", facts([
      ["In force", `${percentOfPpm(rate.rate.rate_ppm)} a year`],
      rate.rate.next_rate_ppm !== null && ["Announced", `${percentOfPpm(rate.rate.next_rate_ppm)} from ${unix(rate.rate.next_rate_from)}`],
      ["Owed to dealers", amount(rate.rate.owed)],
    ])) : null,
    dealers?.dealers?.length ? card("Dealers", table("Dealers", [
      { title: "Account", cell: (row) => accountLink(row.account) },
      { title: "Tier", num: true, cell: (row) => row.tier },
      { title: "Balance", num: true, cell: (row) => amount(row.balance) },
      { title: "Must keep", num: true, cell: (row) => amount(row.required) },
      { title: "Used of its window", num: true, cell: (row) => `${percentOf(row.window_used, row.window_max)}` },
    ], dealers.dealers)) : null,
    await poolsOf(code),
    await holdersOf(code, asset.supply),
    recordCheck(`/supply/${code}`, "Check the supply in the browser"));
}

const negative = (units) => (units === "0" ? units : `-${units}`);

async function poolsOf(code) {
  const found = await optional("amm_pools", { start: 0, limit: 100 });
  const rows = (found?.pools ?? []).filter((row) => row.asset_a === code || row.asset_b === code);
  return rows.length ? card("Pools", h("p", {}, rows.map((row, i) => [i ? ", " : "", poolLink(row.pool)]))) : null;
}

async function supplyChart(code) {
  const now = Math.floor(Date.now() / 1_000);
  const found = await indexed("asset_supply_history", { asset: code, since: String(now - DAYS_S), until: String(now), points: 100 });
  const points = found?.items ?? [];
  if (points.length < 2) return null;
  const unit = 10n ** BigInt(scaleOf(code));
  return card("Supply in the last week", chart(`Supply of ${code} in the last week`, {
    x: points.map((point) => Date.parse(point.time) / 1_000), series: [{ label: code, values: points.map((point) => toPixelNumber(BigInt(point.supply), unit)), kind: "steps" }],
  }));
}

async function holdersOf(code, supply) {
  const found = await indexed("asset_holders", { asset: code, limit: HOLDERS });
  if (!found) return card("Holders", note("This node keeps no list of who holds what."));
  return card("Holders", table("Holders", [
    { title: "Account", cell: (row) => accountLink(row.account) },
    { title: "Balance", num: true, cell: (row) => money(row.amount, code) },
    { title: "Share", num: true, cell: (row) => percentOf(row.amount, supply) },
  ], found.items));
}
