// Blocks in rows: their header's figures and who signed them. What is final is asked for once.

import { h } from "./dom.js";
import { call } from "./rpc.js";

const KEPT_MAX = 200;
const PAGE = 20;
const known = new Map();

/** Rows of the last `count` blocks, newest first, from `top` down (default: the tip). */
export async function blockRows(count, top = 0) {
  let metas = [];
  let from = top;
  while (metas.length < count) {
    const page = (await call("blockchain", { minHeight: "0", maxHeight: String(from) })).block_metas;
    metas = metas.concat(page);
    const lowest = page.length ? Number(page[page.length - 1].header.height) : 1;
    if (page.length < PAGE || lowest <= 1) break;
    from = lowest - 1;
  }
  return Promise.all(metas.slice(0, count).map(rowOf));
}

async function rowOf(meta) {
  const hash = meta.block_id.hash;
  if (known.has(hash)) return known.get(hash);
  const { signed_header: { commit }, canonical } = await call("commit", { height: meta.header.height });
  const row = {
    height: Number(meta.header.height),
    hash,
    time: meta.header.time,
    txs: Number(meta.num_txs),
    size: Number(meta.block_size),
    proposer: meta.header.proposer_address,
    round: commit.round,
    signatures: commit.signatures,
  };
  if (canonical) {
    known.set(hash, row);
    if (known.size > KEPT_MAX) known.delete(known.keys().next().value);
  }
  return row;
}

const FLAGS = { 1: ["absent", "did not sign"], 2: ["signed", "signed"], 3: ["nil", "voted for nil"] };
const DOTS_MAX = 24;

/** Who signed: a dot for each validator in the order of the set, and the count in words. */
export function signersCell(row, names) {
  const signed = row.signatures.filter((part) => part.block_id_flag === 2).length;
  const words = `${signed} of ${row.signatures.length}`;
  if (row.signatures.length > DOTS_MAX) return words;
  const dots = row.signatures.map((part) => {
    const [kind, text] = FLAGS[part.block_id_flag] ?? FLAGS[1];
    const name = names.get(part.validator_address.toLowerCase())?.moniker ?? part.validator_address;
    return h("span", { class: `signer ${kind}`, title: name ? `${name} ${text}` : text });
  });
  return h("span", { class: "signers" }, h("span", { "aria-hidden": "true", class: "dots" }, dots), words);
}
