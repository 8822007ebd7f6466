// What the page checks by itself, step by step: a record of the state, a transaction, a block. Each step is shown with what it found; the
// first that fails ends the list. `ask` is the RPC's `call`, so that a test can lie in its place.
//
// What no step can say is whether the validator set is the right one: a node that invents a chain can invent its validators. Compare the
// set's hash with another operator's node, or use `qenex light`.

import { parseAddress } from "./address.js";
import { concat, equal, fromBase64, fromHex, toHex, utf8 } from "./bytes.js";
import { hasEd25519, headerHash, resultLeaf, validatorsHash, verifyCommit } from "./consensus.js";
import { isAvailable, isInList, merkleRoot, sha256 } from "./sha256.js";
import { verifyStateProof } from "./stateproof.js";

const VALIDATORS_PAGE = 100;

class Failed extends Error {}

/** Steps as they are done: `{title, ok, detail}`; `ok` null is a step that was not taken, and why. */
export class Checklist {
  constructor() {
    this.steps = [];
  }

  get isGood() {
    return this.steps.length > 0 && this.steps.every((step) => step.ok !== false) && this.steps.some((step) => step.ok);
  }

  /** Whether every step that counts was taken: signatures too. */
  get isWhole() {
    return this.isGood && this.steps.every((step) => step.ok || step.isKnownLimit);
  }

  async step(title, check) {
    try {
      this.steps.push({ title, ok: true, detail: await check() });
    } catch (error) {
      this.steps.push({ title, ok: false, detail: error.message });
      throw new Failed(error.message);
    }
  }

  leaveOut(title, detail, isKnownLimit = false) {
    this.steps.push({ title, ok: null, detail, isKnownLimit });
  }
}

async function run(work) {
  const list = new Checklist();
  const found = { list };
  if (!isAvailable()) {
    list.leaveOut("Cryptography of the browser", "This page was not loaded over https or from this machine, so the browser keeps its cryptography shut and nothing can be checked here.");
    return found;
  }
  try {
    await work(list, found);
  } catch (error) {
    if (!(error instanceof Failed)) list.steps.push({ title: "The node's answers", ok: false, detail: error.message });
  }
  return found;
}

function must(condition, sentence) {
  if (!condition) throw new Error(sentence);
}

/** The raw key of a path, made here and not taken from the node; null for a path whose key this page does not know how to make. */
export function keyOf(path) {
  const [name, ...rest] = path.replace(/^\//, "").split("/");
  const one = { account: " a", nonces: " n" };
  const coded = { asset: " A", supply: " s" };
  if (rest.length === 1 && one[name]) return concat(utf8(one[name]), parseAddress(rest[0]));
  if (rest.length === 1 && coded[name]) return utf8(coded[name] + rest[0]);
  if (rest.length === 2 && name === "holding") return concat(utf8(" h"), parseAddress(rest[0]), utf8(rest[1]));
  if (rest.length === 2 && name === "pool") return utf8(` l${rest[0]}/${rest[1]}`);
  return null;
}

async function validatorsAt(ask, height) {
  const all = [];
  for (let page = 1; ; page++) {
    const found = await ask("validators", { height: String(height), page: String(page), per_page: String(VALIDATORS_PAGE) });
    all.push(...found.validators);
    if (all.length >= Number(found.total) || !found.validators.length) return all;
  }
}

// From a header to the signatures under it.
async function checkDecided(list, ask, signed, chainId) {
  const { header, commit } = signed;
  let hash;
  await list.step("The header's hash is that of the decided block", async () => {
    must(header.chain_id === chainId, `the header is of the chain ${header.chain_id}`);
    hash = await headerHash(header);
    must(equal(hash, fromHex(commit.block_id.hash)), "the 14 fields of the header do not give the hash that was signed");
    return `block ${header.height}, ${toHex(hash).toUpperCase()}`;
  });
  const validators = await validatorsAt(ask, header.height);
  await list.step("The validators are those that the header names", async () => {
    const found = await validatorsHash(validators);
    must(equal(found, fromHex(header.validators_hash)), "the validator set does not give the header's validators hash");
    return `${validators.length} validators, hash ${header.validators_hash}`;
  });
  if (await hasEd25519()) {
    await list.step("More than two thirds of the voting power signed it (Ed25519)", async () => {
      const { power, total, signed: count, of } = await verifyCommit(header, hash, commit, validators);
      return `${count} of ${of} validators with power ${power} of ${total}, round ${commit.round}`;
    });
  } else {
    list.leaveOut("The signatures (Ed25519)", "This browser has no Ed25519, so the signatures were not checked.");
  }
  list.leaveOut("The post-quantum half (ML-DSA)", "Not checked here: no browser has ML-DSA. Nodes count a vote only with both signatures; the command qenex light checks both.", true);
}

/** Check a record of the state: gives {list, key, value, height}; `value` null is proved to be absent. */
export function verifyRecord(ask, path) {
  return run(async (list, found) => {
    const status = await ask("status");
    const tip = Number(status.sync_info.latest_block_height);
    must(tip > Number(status.sync_info.earliest_block_height), "a proof needs a second block: the next header carries the hash of the state");
    const { response } = await ask("abci_query", { path, height: String(tip - 1), prove: true });
    must(response.code === 0, response.log);
    const { signed_header: signed } = await ask("commit", { height: String(tip) });
    const key = keyOf(path);
    await list.step("The record is the one that was asked for", () => {
      const named = fromBase64(response.key);
      must(!key || !named.length || equal(key, named), "the node speaks of another key");
      found.key = key ?? named;
      return key ? `key ${toHex(key)}, made by this page` : `key ${toHex(named)}, taken from the node: this page cannot make keys of this kind`;
    });
    await list.step("Its Merkle path (SHA-256) leads to the app hash", async () => {
      must(response.height === String(tip - 1) && signed.header.height === String(tip), "the node answers for other heights");
      must(response.proofOps?.ops?.length === 1, "the node gave no proof");
      const value = response.value ? fromBase64(response.value) : null;
      const steps = await verifyStateProof(fromHex(signed.header.app_hash), found.key, value, fromBase64(response.proofOps.ops[0].data));
      found.value = value;
      found.height = tip - 1;
      return `${value ? `${value.length} bytes` : "no record"} after block ${tip - 1}, ${steps} steps to ${signed.header.app_hash} in header ${tip}`;
    });
    await checkDecided(list, ask, signed, status.node_info.network);
  });
}

/** Check that a transaction is in a block, and that its result is what the next header says: gives {list}. */
export function verifyTransaction(ask, hash) {
  return run(async (list) => {
    const status = await ask("status");
    const wanted = fromHex(hash);
    const tx = await ask("tx", { hash: btoa(String.fromCharCode(...wanted)), prove: true });
    const height = Number(tx.height);
    const raw = fromBase64(tx.tx);
    const { signed_header: signed } = await ask("commit", { height: String(height) });
    await list.step("The transaction's bytes have this hash", async () => {
      must(equal(await sha256(raw), wanted), "the bytes are of another transaction");
      return `${raw.length} bytes`;
    });
    await list.step("Its Merkle path (SHA-256) leads to the header's data hash", async () => {
      const { index, total, aunts } = tx.proof.proof;
      must(signed.header.height === String(height), "the header is of another height");
      const root = fromHex(signed.header.data_hash);
      must(await isInList(root, wanted, Number(index), Number(total), aunts.map(fromBase64)), "the path leads to another hash");
      return `number ${index} of ${total} in block ${height}`;
    });
    await checkDecided(list, ask, signed, status.node_info.network);
    await checkResult(list, ask, tx, height, Number(status.sync_info.latest_block_height), status.node_info.network);
  });
}

async function checkResult(list, ask, tx, height, tip, chainId) {
  const title = "Its result is in the next header";
  if (height >= tip) {
    list.leaveOut(title, "The next block is not there yet.");
    return;
  }
  const results = await ask("block_results", { height: String(height) });
  const { signed_header: next } = await ask("commit", { height: String(height + 1) });
  await list.step(title, async () => {
    const mine = results.txs_results[tx.index];
    must(mine && equal(resultLeaf(mine), resultLeaf(tx.tx_result)), "the block's results have another result for it");
    const root = await merkleRoot(results.txs_results.map(resultLeaf));
    must(next.header.height === String(height + 1) && equal(root, fromHex(next.header.last_results_hash)), "the results do not give the results hash of the next header");
    must(equal(await headerHash(next.header), fromHex(next.commit.block_id.hash)), "the next header has another hash");
    return `code ${tx.tx_result.code}; results hash ${next.header.last_results_hash}`;
  });
  if (!(await hasEd25519())) {
    list.leaveOut("The next header's signatures (Ed25519)", "This browser has no Ed25519, so the signatures were not checked.");
    return;
  }
  await list.step("The next header was signed as well", async () => {
    must(next.header.chain_id === chainId, "the header is of another chain");
    const validators = await validatorsAt(ask, height + 1);
    must(equal(await validatorsHash(validators), fromHex(next.header.validators_hash)), "the validators are not those of the header");
    const { power, total } = await verifyCommit(next.header, await headerHash(next.header), next.commit, validators);
    return `power ${power} of ${total}`;
  });
}

/** Check a block's header and the commit that decided it: gives {list}. */
export function verifyBlock(ask, height) {
  return run(async (list) => {
    const status = await ask("status");
    const { signed_header: signed } = await ask("commit", { height: String(height) });
    const { block } = await ask("block", { height: String(height) });
    await list.step("The block is the one that was asked for", () => {
      must(signed.header.height === String(height) && JSON.stringify(block.header) === JSON.stringify(signed.header), "the block has another header than its commit");
      return `height ${height}`;
    });
    await list.step("Its transactions give the header's data hash", async () => {
      const hashes = await Promise.all(block.data.txs.map((tx) => sha256(fromBase64(tx))));
      must(equal(await merkleRoot(hashes), fromHex(signed.header.data_hash)), "the transactions give another hash");
      return `${hashes.length} ${hashes.length === 1 ? "transaction" : "transactions"}, ${signed.header.data_hash}`;
    });
    await checkDecided(list, ask, signed, status.node_info.network);
  });
}
