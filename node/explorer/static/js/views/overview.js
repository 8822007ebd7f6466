// The first page: how the chain is doing, the round of now, the last blocks with who signed them, the last transactions.

import { card, figure, h, table } from "../dom.js";
import { ago, count, duration, millis } from "../format.js";
import { blockLink, decodeAll, recentTransactions, signerLink, txLink, validatorNames } from "../ledger.js";
import { summary } from "../operations.js";
import { attempt, call } from "../rpc.js";
import { blockRows, signersCell } from "../blocks.js";

const BLOCKS = 10;
const TXS = 8;
const STEPS = { 1: "new height", 2: "new round", 3: "propose", 4: "prevote", 5: "prevote wait", 6: "precommit", 7: "precommit wait", 8: "commit" };

export const title = () => "Overview";

export function view(context) {
  const now = h("p", { class: "round", "aria-live": "off" }, "…");
  const showRound = async () => {
    const [{ round_state: state }, names] = await Promise.all([call("consensus_state"), validatorNames()]);
    const [height, round, step] = state["height/round/step"].split("/");
    const proposer = state.proposer?.address ? [" · proposer ", signerLink(names, state.proposer.address)] : null;
    if (now.contains(document.activeElement)) return;
    now.replaceChildren(h("span", {}, `Height ${count(height)} · round ${round} · `, h("strong", {}, STEPS[step] ?? `step ${step}`), proposer));
  };
  context.every(1_000, () => showRound().catch(() => {}));
  return h("div", {},
    context.live(figures),
    card("Consensus now", now),
    context.live(lastBlocks),
    context.live(lastTransactions, 3_000));
}

async function figures() {
  const [status, rows, pool, net, validators] = await Promise.all([
    call("status"), blockRows(BLOCKS * 2), call("num_unconfirmed_txs"), call("net_info"), call("validators"),
  ]);
  const sync = status.sync_info;
  const first = rows[rows.length - 1];
  const seconds = rows.length > 1 ? (millis(rows[0].time) - millis(first.time)) / 1_000 : 0;
  const txs = rows.slice(0, -1).reduce((sum, row) => sum + row.txs, 0);
  return h("div", { class: "figures" },
    figure("Height", count(sync.latest_block_height), ago(sync.latest_block_time)),
    figure("Seconds per block", rows.length > 1 ? (seconds / (rows.length - 1)).toFixed(2) : "–", `over the last ${rows.length} blocks`),
    figure("Transactions per second", seconds ? (txs / seconds).toFixed(2) : "–", `${count(txs)} in ${duration(seconds)}`),
    figure("Validators", validators.total, "in the voting set"),
    figure("Peers", net.n_peers, sync.catching_up ? "catching up" : "at the tip"),
    figure("Waiting", count(pool.total), "transactions in the pool"));
}

async function lastBlocks() {
  const [rows, names] = await Promise.all([blockRows(BLOCKS), validatorNames()]);
  return card("Last blocks", table("Last blocks", [
    { title: "Height", cell: (row) => blockLink(row.height) },
    { title: "Age", cell: (row) => ago(row.time) },
    { title: "Signed by", cell: (row) => signersCell(row, names) },
    { title: "Transactions", num: true, cell: (row) => count(row.txs) },
    { title: "Round", num: true, cell: (row) => row.round },
    { title: "Proposer", cell: (row) => signerLink(names, row.proposer) },
  ], rows));
}

async function lastTransactions() {
  const txs = await recentTransactions(TXS);
  const raws = await Promise.all(txs.map(async (tx) => tx.tx ?? (await attempt("tx", { hash: txBase64(tx.hash) }))?.tx));
  const decoded = await decodeAll(raws.map((raw) => raw ?? ""));
  return card("Last transactions", table("Last transactions", [
    { title: "Hash", cell: (row) => txLink(row.hash) },
    { title: "Block", cell: (row) => blockLink(row.height) },
    { title: "Operations", cell: (row) => h("code", {}, summary(decoded[txs.indexOf(row)])) },
    { title: "Result", cell: (row) => (row.code ? h("span", { class: "badge bad" }, `code ${row.code}`) : h("span", { class: "badge good" }, "OK")) },
  ], txs, "No transactions in the last blocks."));
}

const txBase64 = (hash) => btoa(String.fromCharCode(...hash.match(/../g).map((pair) => parseInt(pair, 16))));
