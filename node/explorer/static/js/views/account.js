// One account: keys, holdings, positions, stake, what waits, restrictions, history; and its record proved in this browser.

import { badge, card, facts, h, note, table } from "../dom.js";
import { short, unix, utc, words } from "../format.js";
import { accountLink, assetLink, blockLink, farmLink, loadScales, money, poolLink, searchRecent, stakeAsset, txLink, validatorLink } from "../ledger.js";
import { percentOfPpm } from "../amounts.js";
import { place } from "../router.js";
import { attempt, call, indexed, optional } from "../rpc.js";
import { showFields, showValue } from "../operations.js";
import { recordCheck } from "./proof.js";

const HISTORY = 25;
// without an index of accounts: what the events of transactions say about one
const SEARCHED = ["transfer.sender", "transfer.recipient", "mint.recipient", "swap.account", "account_created.account", "delegated.delegator"];

export const title = ({ args }) => `Account ${short(args[0], 9, 6)}`;

export async function view(context) {
  const address = context.args[0];
  const [{ account }, restrictions] = await Promise.all([call("account", { address }), attempt("comp_account", { account: address })]);
  if (account === null) {
    return h("div", {}, note("There is no such account. That can be proved.", "warn"), recordCheck(`/account/${address}`, "Prove that there is none"));
  }
  await loadScales(...Object.keys(account.holdings));
  return h("div", {},
    card("", facts([
      ["Address", h("span", { class: "mono wrap" }, account.address)],
      ["Kind", words(account.kind)],
      account.parent && ["Parent", accountLink(account.parent)],
      account.marks.length && ["Marks", account.marks.map((mark) => badge(words(mark), "warn"))],
      ["Next sequence", Object.entries(account.next_sequence).map(([lane, seq]) => `${seq} in lane ${lane}`).join(", ") || "0"],
      ["Thresholds", Object.entries(account.thresholds).map(([level, weight]) => `${level} ${weight}`).join(", ")],
    ]), restricted(restrictions?.found)),
    card("Holdings", holdings(account)),
    recordCheck(`/account/${address}`, "Check this account in the browser"),
    await positions(address),
    await pendingOf(address),
    card("Keys", table("Keys", [
      { title: "Number", cell: (row) => row.key_id },
      { title: "Kind", cell: (row) => row.kind },
      { title: "Weight", num: true, cell: (row) => row.weight },
      { title: "Public key", cell: (row) => h("span", { class: "mono", title: row.public_key }, short(row.public_key, 16, 16)) },
    ], account.keys, "No keys: nobody can sign for this account.")),
    await history(address, context.query.start ?? ""));
}

function restricted(found) {
  if (!found) return null;
  return [
    found.sanction ? note(`Sanctioned (list ${found.sanction.list}) since ${unix(found.sanction.since)}: ${found.sanction.reason}`, "bad") : null,
    found.freeze ? note(`Frozen (${found.freeze.level}) since ${unix(found.freeze.since)}${found.freeze.in_force ? "" : ", no longer in force"}: ${found.freeze.reason}, ${found.freeze.legal_ref}`, "bad") : null,
  ];
}

function holdings(account) {
  return table("Holdings", [
    { title: "Asset", cell: ([code]) => assetLink(code) },
    { title: "Balance", num: true, cell: ([code, units]) => money(units, code) },
    { title: "Proof", cell: ([code]) => h("a", { href: place("proof", "holding", account.address, code) }, "prove") },
  ], Object.entries(account.holdings), "This account holds nothing.");
}

async function positions(address) {
  const [pools, farms, stakes, stake] = await Promise.all([
    optional("amm_positions", { account: address }), optional("farm_positions", { account: address }),
    optional("stake_delegations", { delegator: address }), stakeAsset(),
  ]);
  return [
    pools?.positions.length ? card("Liquidity", table("Liquidity", [
      { title: "Pool", cell: (row) => poolLink(row.pool) },
      { title: "Share", num: true, cell: (row) => percentOfPpm(row.share_ppm) },
      { title: "Worth", num: true, cell: (row) => [money(row.amount_a, row.pool.split("/")[0]), " + ", money(row.amount_b, row.pool.split("/")[1])] },
    ], pools.positions)) : null,
    farms?.positions.length ? card("In farms", table("In farms", [
      { title: "Farm", cell: (row) => farmLink(row.farm) },
      { title: "Stake", num: true, cell: (row) => money(row.amount, row.stake_asset) },
      { title: "Rewards to claim", num: true, cell: (row) => row.rewards.map((reward) => h("div", {}, money(reward.pending, reward.reward_asset))) },
      { title: "Locked until", cell: (row) => (row.is_locked ? unix(row.locked_until) : "open") },
    ], farms.positions)) : null,
    stakes?.delegations.length ? card("Stake", table("Stake", [
      { title: "Validator", cell: (row) => validatorLink(row) },
      { title: "Bonded", num: true, cell: (row) => money(row.tokens, stake) },
      { title: "Rewards", num: true, cell: (row) => money(row.rewards, stake) },
      { title: "Unbonding", num: true, cell: (row) => row.unbonding.length },
    ], stakes.delegations)) : null,
  ];
}

async function pendingOf(address) {
  const found = await optional("pending", { account: address, start: "", limit: 20 });
  if (!found?.pending.length) return null;
  return card("Open promises", found.pending.map((row) => showFields(row)));
}

async function history(address, start) {
  const found = await indexed("account_history", { account: address, limit: HISTORY, order: "desc", ...(start ? { start } : {}) });
  if (found?.items) return listed(address, found);
  return searched(address);
}

function listed(address, found) {
  return card("History", table("History", [
    { title: "Time", cell: (row) => (typeof row.time === "string" && row.time.includes("T") ? utc(row.time) : unix(row.time)) },
    { title: "Transaction", cell: (row) => txLink(row.hash) },
    { title: "What", cell: (row) => words(row.kind) },
    { title: "Amount", num: true, cell: (row) => (row.asset ? [{ in: "+", out: "−" }[row.direction] ?? "", money(row.amount, row.asset)] : "–") },
    { title: "Other side", cell: (row) => accountLink(row.counterparty) },
    { title: "Result", cell: (row) => (row.code ? badge(String(row.code), "bad") : badge("OK", "good")) },
  ], found.items), found.next ? h("p", { class: "pages" }, h("a", { href: `${place("account", address)}?start=${encodeURIComponent(found.next)}` }, "Older")) : null);
}

async function searched(address) {
  const found = await Promise.all(SEARCHED.map((name) =>
    searchRecent(`${name}='${address}'`, HISTORY)));
  const byHash = new Map(found.flatMap((answer) => answer?.txs ?? []).map((tx) => [tx.hash, tx]));
  const rows = [...byHash.values()].sort((a, b) => b.height - a.height || b.index - a.index).slice(0, HISTORY);
  return card("Last transactions", note("This node has no index of accounts: payments, issues, swaps and delegations are found by their events, the newest first."), table("Last transactions", [
    { title: "Block", cell: (row) => blockLink(row.height) },
    { title: "Transaction", cell: (row) => txLink(row.hash) },
    { title: "Events", cell: (row) => row.tx_result.events.map((event) => h("div", {}, eventLine(event))) },
  ], rows));
}

function eventLine(event) {
  const fields = Object.fromEntries(event.attributes.map(({ key, value }) => [key, value]));
  const shown = Object.entries(fields).filter(([name]) => /^amount|^recipient$|^sender$/.test(name));
  return [h("code", {}, words(event.type)), shown.map(([name, value]) => [" ", h("span", { class: "small" }, words(name).replace(/^amount( [ab])?$/, "")), " ", showValue(name, value, fields)])];
}
