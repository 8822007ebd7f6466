// One block: header, transactions, who signed, evidence, and the check of its header and commit in this browser.

import { fromBase64, toHex } from "../bytes.js";
import { badge, card, facts, h, note, table } from "../dom.js";
import { ago, count, utc } from "../format.js";
import { decodeAll, signerLink, txLink, validatorNames } from "../ledger.js";
import { summary } from "../operations.js";
import { place } from "../router.js";
import { attempt, call } from "../rpc.js";
import { isAvailable, sha256 } from "../sha256.js";
import { verifyBlock } from "../verify.js";
import { checkButton } from "../checks.js";

const SHOWN_MAX = 200;
const FLAGS = { 1: ["absent", "bad"], 2: ["signed", "good"], 3: ["nil", "warn"] };

export const title = ({ args }) => `Block ${count(args[0])}`;

export async function view({ args: [height] }) {
  if (!/^[1-9][0-9]{0,17}$/.test(height)) return note("A block has a height.", "bad");
  const [{ block, block_id: id }, results, { signed_header: signed }, names, { last_height: tip }, pq] = await Promise.all([
    call("block", { height }), call("block_results", { height }), call("commit", { height }), validatorNames(),
    call("blockchain", { minHeight: height, maxHeight: height }), attempt("pq_commit", { height }),
  ]);
  const header = block.header;
  const hashRow = (name, value) => [name, h("span", { class: "mono wrap" }, value || "–")];
  return h("div", {},
    h("p", { class: "pages" },
      Number(height) > 1 ? h("a", { href: place("block", Number(height) - 1) }, "← Block before") : null,
      Number(height) < Number(tip) ? h("a", { href: place("block", Number(height) + 1) }, "Next block →") : null),
    card("Header", facts([
      hashRow("Hash", id.hash),
      ["Time", `${utc(header.time)} (${ago(header.time)})`],
      ["Chain", header.chain_id],
      ["Proposer", signerLink(names, header.proposer_address)],
      ["Round", signed.commit.round],
      ["Parts", `${id.parts.total} of 64 KiB`],
      hashRow("App hash (state after the block before)", header.app_hash),
      hashRow("Data hash", header.data_hash),
      hashRow("Validators", header.validators_hash),
      hashRow("Next validators", header.next_validators_hash),
      hashRow("Last commit", header.last_commit_hash),
      hashRow("Last results", header.last_results_hash),
      hashRow("Consensus parameters", header.consensus_hash),
      hashRow("Evidence", header.evidence_hash),
      hashRow("Last block", header.last_block_id.hash),
    ])),
    checkButton("Check this block in the browser", () => verifyBlock(call, height)),
    card(`Transactions (${count(block.data.txs.length)})`, await transactions(block.data.txs, results.txs_results)),
    card("Signatures", signatures(signed.commit, names, pq)),
    block.evidence.evidence.length ? card("Evidence", table("Evidence", [
      { title: "Offence", cell: (item) => item.type.split("/").pop() },
      { title: "Power", num: true, cell: (item) => item.value.ValidatorPower ?? "–" },
      { title: "Time", cell: (item) => utc(item.value.Timestamp) },
    ], block.evidence.evidence)) : null);
}

async function transactions(raws, results) {
  const shown = raws.slice(0, SHOWN_MAX);
  const decoded = await decodeAll(shown);
  const hashes = await Promise.all(shown.map(async (raw, i) => decoded[i]?.hash ?? (isAvailable() ? toHex(await sha256(fromBase64(raw))) : "")));
  const rows = shown.map((_, i) => ({ index: i, hash: hashes[i], decoded: decoded[i], result: results[i] }));
  const rest = raws.length - shown.length;
  return [table("Transactions", [
    { title: "Number", cell: (row) => row.index },
    { title: "Hash", cell: (row) => (row.hash ? txLink(row.hash) : "–") },
    { title: "Operations", cell: (row) => h("code", {}, summary(row.decoded)) },
    { title: "Result", cell: (row) => (row.result.code ? badge(`${row.result.code} ${row.result.log}`, "bad") : badge("OK", "good")) },
  ], rows, "This block has no transactions."), rest > 0 ? note(`and ${count(rest)} more; tx_search finds them.`) : null];
}

function signatures(commit, names, pq) {
  const rows = commit.signatures.map((part, i) => ({ ...part, hasPq: Boolean(pq?.pq_signatures[i]) }));
  return table("Signatures", [
    { title: "Validator", cell: (row) => (row.validator_address ? signerLink(names, row.validator_address) : "–") },
    { title: "Ed25519", cell: (row) => badge(...FLAGS[row.block_id_flag]) },
    { title: "ML-DSA", cell: (row) => (pq ? (row.hasPq ? badge("here", "good") : badge("none", "warn")) : "not kept") },
  ], rows, `Block ${commit.height} has no commit.`);
}

