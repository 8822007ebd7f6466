// What several pages need of the ledger: scales of assets, names of validators, amounts and links as elements. Kept for a few seconds.

import { formatUnits } from "./amounts.js";
import { h } from "./dom.js";
import { short } from "./format.js";
import { tipHeight } from "./live.js";
import { place } from "./router.js";
import { attempt, indexed, optional } from "./rpc.js";

const ASSETS_PAGE = 100;
const ASSETS_MAX = 1_000;
const KEEP_MS = 10_000;

/** A function whose result is kept for a while; calls at the same time share one. */
export function kept(load, keepMs = KEEP_MS) {
  let [value, until] = [null, 0];
  return () => {
    if (Date.now() > until) {
      until = Date.now() + keepMs;
      value = load().catch((error) => {
        until = 0;
        throw error;
      });
    }
    return value;
  };
}

const scales = new Map();

/** Every asset with its supply, in order of creation, the first thousand; undefined when the node cannot list them. */
export const assets = kept(async () => {
  const all = [];
  while (all.length < ASSETS_MAX) {
    const page = await optional("asset_list", { start: all.length, limit: ASSETS_PAGE });
    if (!page) return undefined;
    all.push(...page.assets);
    for (const asset of page.assets) scales.set(asset.code, asset.scale);
    if (page.assets.length < ASSETS_PAGE) break;
  }
  return all;
});

/** Get the scales that `money` needs. */
export async function loadScales(...codes) {
  await assets();
  const unknown = codes.filter((code) => code && !code.includes("/") && !scales.has(code));
  for (const code of unknown) {
    const found = await attempt("asset", { code });
    if (found?.asset) scales.set(code, found.asset.scale);
  }
}

/** Decimals of an asset; pool shares (A/B) have none. Undefined while unknown. */
export const scaleOf = (code) => (code.includes("/") ? 0 : scales.get(code));

/** An amount as text: in units of the asset when its scale is known, else in base units and said so. */
export function moneyText(units, code) {
  const scale = scaleOf(code);
  if (scale === undefined) return `${formatUnits(String(units), 0)} base units of ${code}`;
  return `${formatUnits(String(units), scale)} ${code.includes("/") ? `shares of ${code}` : code}`;
}

/** An amount as an element; its base units in the title. */
export const money = (units, code) => h("span", { class: "money", title: `${units} base units` }, moneyText(units, code));

export const stakeAsset = kept(async () => (await attempt("record", { path: "/params/stake" }))?.record?.asset ?? "");
export const feeAsset = kept(async () => (await attempt("record", { path: "/params/fees" }))?.record?.asset ?? "");
export const stakeParams = kept(async () => (await attempt("record", { path: "/params/stake" }))?.record ?? {});

/** Registered validators; and by the address that votes: {moniker, validator}. */
export const stakeValidators = kept(async () => (await optional("stake_validators"))?.validators ?? [], 3_000);

export async function validatorNames() {
  return new Map((await stakeValidators()).map((row) => [row.address.toLowerCase(), row]));
}

const link = (name, args, text, title) => h("a", { href: place(name, ...args), class: "id", title: title ?? null }, text);

export const blockLink = (height) => link("block", [height], String(height).replace(/\B(?=(?:\d{3})+$)/g, ","));
export const txLink = (hash, long = false) => link("tx", [hash.toUpperCase()], long ? hash.toUpperCase() : short(hash.toUpperCase()), hash.toUpperCase());
export const assetLink = (code) => (code.includes("/") ? poolLink(code) : link("asset", [code], code));
export const poolLink = (pool) => link("pool", [pool], pool);
export const farmLink = (number) => link("farm", [number], `farm ${number}`);
export const proposalLink = (number) => link("proposal", [number], `#${number}`);
export const accountLink = (address, long = false) => (address ? link("account", [address], long ? address : short(address, 9, 6), address) : "–");
export const validatorLink = (row) => link("validator", [row.validator ?? row.address.toLowerCase()], row.moniker || short(row.address), row.address);

/** The proposer or signer of an address, by name when it is registered. */
export function signerLink(names, address) {
  const row = names.get(address.toLowerCase());
  return link("validator", [row?.validator ?? address.toLowerCase()], row?.moniker ?? short(address), address);
}

const WINDOWS = [0, 1_000, 30, 2]; // blocks: the widest search that the node allows answers

/** The newest transactions that match a query; narrowed to the last blocks when the node finds it too wide. */
export async function searchRecent(query, count) {
  for (const window of WINDOWS) {
    const since = window ? `tx.height > ${Math.max(0, tipHeight() - window)}` : "";
    if (!query && !since) continue;
    const text = [query, since].filter(Boolean).join(" AND ");
    const found = await attempt("tx_search", { query: text, page: "1", per_page: String(count), order_by: "desc" });
    if (found) return { ...found, isAll: !window };
  }
  return null;
}

/** Recent transactions, newest first: [{hash, height, index, code}], with raw bytes where they came along. */
export async function recentTransactions(limit) {
  const listed = await indexed("recent_txs", { limit });
  if (listed?.items) return listed.items.map((item) => ({ hash: item.hash, height: Number(item.height), index: item.index, code: item.code }));
  const found = await searchRecent("", limit);
  return (found?.txs ?? []).map((tx) => ({ hash: tx.hash, height: Number(tx.height), index: tx.index, code: tx.tx_result.code, tx: tx.tx, result: tx.tx_result }));
}

/** Decoded forms of raw transactions (base64), in order; null for one that the node cannot read. */
export async function decodeAll(raws) {
  return Promise.all(raws.map(async (tx) => (await attempt("tx_decode", { tx }))?.tx ?? null));
}

