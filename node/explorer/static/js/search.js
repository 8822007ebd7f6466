// Search by anything: what a text may name is guessed by its form (`router.js`), then the node is asked, the likeliest first.

import { fromHex, toBase64 } from "./bytes.js";
import { stakeValidators } from "./ledger.js";
import { guess, place } from "./router.js";
import { attempt } from "./rpc.js";

const PROMISES = ["hold", "escrow", "settlement", "offer"];
const b64 = (hex) => toBase64(fromHex(hex));

const LOOK = {
  block: async (height) => ((await attempt("header", { height })) ? place("block", height) : null),
  tx: async (hash) => {
    const found = await attempt("tx_status", { hash: b64(hash) });
    return found && found.status !== "unknown" ? place("tx", hash) : null;
  },
  "block-hash": async (hash) => {
    const found = await attempt("block_by_hash", { hash: b64(hash) });
    return found?.block ? place("block", found.block.header.height) : null;
  },
  validator: async (id) => {
    const found = await attempt("stake_validator", { validator: id });
    return found?.validator ? place("validator", found.validator.validator) : null;
  },
  promise: async (id) => {
    for (const kind of PROMISES) {
      if ((await attempt(kind, { [kind]: id }))?.[kind]) return place("proof", kind, id);
    }
    return null;
  },
  account: async (address) => ((await attempt("account", { address })) ? place("account", address) : null),
  pool: async (pool) => ((await attempt("amm_pool", { pool }))?.pool ? place("pool", pool) : null),
  asset: async (code) => ((await attempt("asset", { code }))?.asset ? place("asset", code) : null),
  proposal: async (proposal) => ((await attempt("gov_proposal", { proposal }))?.proposal ? place("proposal", proposal) : null),
  farm: async (farm) => ((await attempt("farm", { farm }))?.farm ? place("farm", farm) : null),
  moniker: async (text) => {
    const wanted = text.toLowerCase();
    const row = (await stakeValidators()).find((validator) => validator.moniker.toLowerCase() === wanted);
    return row ? place("validator", row.validator) : null;
  },
};

/** The place that a text names; null when there is nothing of that name. */
export async function search(text) {
  for (const [kind, argument] of guess(text)) {
    const found = await LOOK[kind](argument);
    if (found) return found;
  }
  return null;
}
