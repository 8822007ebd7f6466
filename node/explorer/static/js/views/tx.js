// One transaction: envelope, operations in words, receipt, signatures, and the proof that it is in its block with this result.

import { fromHex, toBase64 } from "../bytes.js";
import { badge, card, facts, h, note, table } from "../dom.js";
import { short, unix, utc } from "../format.js";
import { accountLink, blockLink, feeAsset, money, stakeAsset, txLink } from "../ledger.js";
import { showEvents, showFields, showOperations } from "../operations.js";
import { attempt, call } from "../rpc.js";
import { verifyTransaction } from "../verify.js";
import { checkButton } from "../checks.js";

export const title = ({ args }) => `Transaction ${short(args[0])}`;

export async function view({ args: [hash] }) {
  if (!/^[0-9a-fA-F]{64}$/.test(hash)) return note("A transaction has a hash of 64 hex digits.", "bad");
  const key = toBase64(fromHex(hash));
  const status = await call("tx_status", { hash: key });
  if (status.status !== "committed") return waiting(hash, status);
  const found = await call("tx", { hash: key });
  const [{ header }, decoded, fee, stake] = await Promise.all([
    call("header", { height: found.height }), attempt("tx_decode", { tx: found.tx }), feeAsset(), stakeAsset(),
  ]);
  const context = { feeAsset: fee, stakeAsset: stake };
  const tx = decoded?.tx;
  return h("div", {},
    card("", facts([
      ["Hash", h("span", { class: "mono wrap" }, found.hash)],
      ["Result", status.code ? [badge(`${status.code} ${status.code_name}`, "bad"), status.op_index >= 0 ? ` at operation ${status.op_index}` : ""] : badge("OK", "good")],
      ["Block", [blockLink(found.height), `, number ${found.index}`]],
      ["Time", utc(header.time)],
      ["Fee", fee ? money(status.fee, fee) : status.fee],
      tx && ["From", accountLink(tx.sender, true)],
      tx && tx.fee_payer !== tx.sender && ["Fee paid by", accountLink(tx.fee_payer, true)],
      tx?.memo && ["Memo", tx.memo],
      tx?.purpose && ["Purpose", tx.purpose],
      tx?.e2e_id && ["End-to-end id", h("span", { class: "mono wrap" }, tx.e2e_id)],
      tx?.related_tx && ["Related to", txLink(tx.related_tx)],
    ])),
    tx ? card("Operations", showOperations(tx.ops, context)) : card("Operations", note("This node cannot put the transaction into words.", "warn")),
    card("What happened", showEvents(status.events, context)),
    checkButton("Check this transaction in the browser", () => verifyTransaction(call, hash)),
    tx ? card("Envelope", facts([
      ["Sequence", `${tx.seq} in lane ${tx.lane}`],
      ["Valid", `${tx.valid_from ? unix(tx.valid_from) : "at once"} to ${unix(tx.valid_until)}`],
      ["Largest fee", fee ? money(tx.max_fee, fee) : tx.max_fee],
      ["Size", `${tx.size} bytes`],
      ["Gas", `${status.gas_used} used of ${status.gas_wanted} wanted`],
      ["Body hash", h("span", { class: "mono wrap" }, tx.body_hash)],
      tx.client_ref && ["Client reference", h("span", { class: "mono wrap" }, tx.client_ref)],
    ]),
    tx.preconditions.length ? [h("h3", {}, "Preconditions"), tx.preconditions.map((row) => showFields(row, context))] : null,
    tx.travel ? [h("h3", {}, "Travel rule"), showFields(tx.travel, context)] : null,
    h("h3", {}, "Signatures"), table("Signatures", [
      { title: "Account", cell: (row) => accountLink(row.account) },
      { title: "Key", num: true, cell: (row) => row.key_id },
      { title: "Signature", cell: (row) => h("span", { class: "mono" }, short(row.signature, 16, 16)) },
    ], tx.auth)) : null);
}

function waiting(hash, status) {
  const words = {
    pending: "It waits in this node's pool for a block.",
    rejected: `This node refused it: ${status.code} ${status.code_name}.`,
    expired: "It was not put into a block in its time.",
    unknown: "This node has never seen it.",
  };
  return card("", facts([["Hash", h("span", { class: "mono wrap" }, hash)], ["State", status.status]]), note(words[status.status] ?? status.status, status.status === "pending" ? "info" : "bad"));
}
