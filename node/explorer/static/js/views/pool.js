// Pools; one pool with price, depth, volume, time-weighted price, last swaps and a simulator that asks the node for its own numbers.

import { badge, card, facts, figure, h, note, table } from "../dom.js";
import { chart } from "../charts.js";
import { divide, formatUnits, parseUnits, percentOfPpm, priceText, toPixelNumber } from "../amounts.js";
import { fromBase64 } from "../bytes.js";
import { unix } from "../format.js";
import { accountLink, assetLink, blockLink, loadScales, money, poolLink, searchRecent, txLink } from "../ledger.js";
import { amountOf, decode, naturalOf } from "../msgpack.js";
import { attempt, call, indexed, optional } from "../rpc.js";
import { simulator } from "../simulator.js";
import { recordCheck } from "./proof.js";

const PAGE = 100;
const SWAPS = 100;
const LISTED = 12;
const TWAP_BLOCKS = 500;
const Q640 = 1n << 640n;
const DEPTH_POINTS = 60;
const SHOWN_DIGITS = 8;

/** The list. */
export const list = {
  title: () => "Pools",
  view: (context) => context.live(async () => {
    const found = await optional("amm_pools", { start: 0, limit: PAGE });
    if (!found) return note("This node does not list pools.", "warn");
    return card("", table("Pools", [
      { title: "Pool", cell: (row) => poolLink(row.pool) },
      { title: "Price", num: true, cell: price },
      { title: "Reserves", num: true, cell: (row) => [h("div", {}, money(row.reserve_a, row.asset_a)), h("div", {}, money(row.reserve_b, row.asset_b))] },
      { title: "Fee", num: true, cell: (row) => percentOfPpm(row.fee_ppm) },
      { title: "For", cell: (row) => (row.domain ? `members of ${row.domain}` : row.members ? `${row.members.length} members` : "everybody") },
    ], found.pools));
  }, 3_000),
};

const price = (row) => {
  const text = priceText(row.reserve_a, row.scale_a, row.reserve_b, row.scale_b);
  return text ? `${text} ${row.asset_b} for 1 ${row.asset_a}` : "empty";
};

export const title = ({ args }) => `Pool ${args[0]}`;

export async function view(context) {
  const name = context.args[0];
  const { pool } = await call("amm_pool", { pool: name });
  if (!pool) return note("There is no such pool.", "bad");
  await loadScales(pool.asset_a, pool.asset_b);
  return h("div", {},
    context.live(() => figures(name), 2_000),
    simulator(pool),
    h("div", { class: "two" }, context.live(() => history(name), 10_000), card("Depth", depth(pool))),
    context.live(() => swaps(pool), 4_000),
    recordCheck(`/pool/${pool.pool}`, "Check this pool's reserves in the browser"));
}

async function figures(name) {
  const { pool } = await call("amm_pool", { pool: name });
  const average = await timeWeighted(pool);
  const now = Math.floor(Date.now() / 1_000);
  const off = [["trades", pool.trade_until], ["deposits", pool.deposit_until], ["withdrawals", pool.withdraw_until]].filter(([, until]) => until > now);
  return h("div", {},
    h("div", { class: "figures" },
      figure("Price", priceText(pool.reserve_a, pool.scale_a, pool.reserve_b, pool.scale_b, SHOWN_DIGITS) || "–", `${pool.asset_b} for 1 ${pool.asset_a}`),
      figure("The other way", priceText(pool.reserve_b, pool.scale_b, pool.reserve_a, pool.scale_a, SHOWN_DIGITS) || "–", `${pool.asset_a} for 1 ${pool.asset_b}`),
      figure("Time-weighted price", average.text, average.detail),
      figure("Fee", percentOfPpm(pool.fee_ppm), pool.protocol_fee ? "a part of it is the protocol's" : "all for those who provide")),
    card("", facts([
      ["Reserves", [money(pool.reserve_a, pool.asset_a), " and ", money(pool.reserve_b, pool.asset_b)]],
      ["Shares", formatUnits(pool.shares, 0)],
      ["Assets", [assetLink(pool.asset_a), ", ", assetLink(pool.asset_b)]],
      ["Who may use it", pool.domain ? `members of the domain ${pool.domain}` : pool.members ? h("span", {}, pool.members.map((who) => [accountLink(who), " "])) : "everybody"],
      ["Opened by", accountLink(pool.creator)],
      ["Since", blockLink(pool.start_height)],
    ]), off.map(([what, until]) => note(`${what} are switched off until ${unix(until)}`, "warn"))));
}

// The difference of the accumulated prices at two heights, divided by the seconds between them. Both are brought forward to the blocks'
// times, because the state is only written when a reserve changes.
async function timeWeighted(pool) {
  const none = (detail) => ({ text: "–", detail });
  const status = await call("status");
  const tip = Number(status.sync_info.latest_block_height);
  const from = Math.max(Number(status.sync_info.earliest_block_height), pool.start_height, tip - TWAP_BLOCKS);
  const [old, now] = await Promise.all([recordAt(pool.pool, from), recordAt(pool.pool, tip)]);
  if (!old || !now || now.at <= old.at) return none("needs two blocks");
  const sum = (record) => record.sum + ((record.b * Q640) / record.a) * (record.at - record.since);
  if (!old.a || !now.a) return none("the pool was empty");
  const perSecond = sum(now) - sum(old);
  const seconds = now.at - old.at;
  const shifted = perSecond * 10n ** BigInt(pool.scale_a);
  const scale = seconds * Q640 * 10n ** BigInt(pool.scale_b);
  const magnitude = shifted.toString().length - scale.toString().length;
  return { text: divide(shifted, scale, Math.max(0, SHOWN_DIGITS - magnitude)), detail: `over the last ${seconds} s (${tip - from} blocks)` };
}

async function recordAt(name, height) {
  const [answer, found] = await Promise.all([attempt("abci_query", { path: `/pool/${name}`, height: String(height) }), attempt("header", { height: String(height) })]);
  if (!answer?.response.value || !found) return null;
  const record = decode(fromBase64(answer.response.value));
  const at = BigInt(Math.floor(Date.parse(found.header.time.replace(/\.\d+Z$/, "Z")) / 1_000));
  return { a: amountOf(record[0]), b: amountOf(record[1]), sum: naturalOf(record[4]), since: record[6], at };
}

async function swapsOf(pool, count) {
  const found = await searchRecent(`swap.pool='${pool.pool}'`, count);
  const rows = [];
  for (const tx of found?.txs ?? []) {
    for (const event of tx.tx_result.events) {
      const fields = Object.fromEntries(event.attributes.map(({ key, value }) => [key, value]));
      if (event.type === "swap" && fields.pool === pool.pool) rows.push({ ...fields, hash: tx.hash, height: Number(tx.height) });
    }
  }
  return { rows, total: found?.total_count ?? "0", isAll: found?.isAll };
}

async function swaps(pool) {
  const { rows, total, isAll } = await swapsOf(pool, SWAPS);
  const volume = (code) => rows.reduce((sum, row) => sum + (row.asset_in === code ? BigInt(row.amount_in) : row.asset_out === code ? BigInt(row.amount_out) : 0n), 0n).toString();
  return card("Swaps", h("p", {}, `${formatUnits(total, 0)} transactions have swapped here${isAll ? "" : " of late"}. Volume of the last ${rows.length} swaps: `, money(volume(pool.asset_a), pool.asset_a), " against ", money(volume(pool.asset_b), pool.asset_b), "."),
    table("Swaps", [
      { title: "Block", cell: (row) => blockLink(row.height) },
      { title: "Transaction", cell: (row) => txLink(row.hash) },
      { title: "Account", cell: (row) => accountLink(row.account) },
      { title: "Paid", num: true, cell: (row) => money(row.amount_in, row.asset_in) },
      { title: "Got", num: true, cell: (row) => money(row.amount_out, row.asset_out) },
    ], rows.slice(0, LISTED), "Nobody has swapped here yet."));
}

async function history(name) {
  const { pool } = await call("amm_pool", { pool: name });
  const now = Math.floor(Date.now() / 1_000);
  const candles = await indexed("pool_candles", { pool: name, interval_s: 900, since: String(now - 86_400), until: String(now) });
  const items = candles?.items ?? [];
  const closes = items.map((item) => closeOf(item.close, pool));
  if (closes.length > 1) {
    return card("Price in the last day", chart(`Price of ${pool.asset_a} in ${pool.asset_b} in the last day`, {
      x: items.map((item) => Date.parse(item.time) / 1_000), series: [{ label: pool.asset_b, values: closes, kind: "steps" }],
    }));
  }
  const { rows } = await swapsOf(pool, SWAPS);
  if (rows.length < 2) return card("Price", note("A chart needs at least two swaps."));
  const [unitA, unitB] = [10n ** BigInt(pool.scale_a), 10n ** BigInt(pool.scale_b)];
  const priceOf = (row) => {
    const [a, b] = row.asset_in === pool.asset_a ? [row.amount_in, row.amount_out] : [row.amount_out, row.amount_in];
    return toPixelNumber(BigInt(b) * unitA, BigInt(a) * unitB);
  };
  const byHeight = new Map([...rows].reverse().map((row) => [row.height, row]));
  const shown = [...byHeight.values()];
  return card(`Price paid in the last ${shown.length} blocks with swaps`, chart(`Price of ${pool.asset_a} in ${pool.asset_b} that swaps paid, by height`, {
    x: shown.map((row) => row.height), series: [{ label: pool.asset_b, values: shown.map(priceOf), kind: "line" }], isTime: false, yLabel: `${pool.asset_b} for 1 ${pool.asset_a}`, xLabel: "height",
  }));
}

// The index gives prices as fractions, base units of b for one of a: "b/a", or "b". Pixels only.
function closeOf(price, pool) {
  const [b, a = "1"] = price.split("/");
  return toPixelNumber(BigInt(b) * 10n ** BigInt(pool.scale_a), BigInt(a) * 10n ** BigInt(pool.scale_b));
}

// How much of b can be bought, and of a, before the price has moved by so much: constant product, before the fee. Pixels only.
function depth(pool) {
  const [a, b] = [parseUnits(pool.reserve_a), parseUnits(pool.reserve_b)];
  if (!a || !b) return badge("empty");
  const reserveA = toPixelNumber(a, 10n ** BigInt(pool.scale_a));
  const reserveB = toPixelNumber(b, 10n ** BigInt(pool.scale_b));
  const moves = Array.from({ length: DEPTH_POINTS + 1 }, (_, i) => (20 * (i - DEPTH_POINTS / 2)) / DEPTH_POINTS);
  const buy = moves.map((move) => (move >= 0 ? reserveA * (1 - 1 / Math.sqrt(1 + move / 100)) : null));
  const sell = moves.map((move) => (move <= 0 ? reserveA * (1 / Math.sqrt(1 + move / 100) - 1) : null));
  return [chart(`How much ${pool.asset_a} can be bought or sold before its price has moved by so many percent`, {
    x: moves, isTime: false, xLabel: "price moves by, %", yLabel: pool.asset_a,
    series: [{ label: `buy ${pool.asset_a}`, values: buy, kind: "area" }, { label: `sell ${pool.asset_a}`, values: sell, kind: "area" }],
  }), h("p", { class: "small" }, `Reserves are about ${+reserveA.toPrecision(6)} ${pool.asset_a} and ${+reserveB.toPrecision(6)} ${pool.asset_b}; the fee comes on top.`)];
}
