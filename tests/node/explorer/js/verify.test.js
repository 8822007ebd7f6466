// Proofs: what the node gives holds, and nothing that differs from it in one bit does.

import assert from "node:assert/strict";
import { test } from "node:test";

import { concat, fromBase64, fromHex, toHex } from "../js/bytes.js";
import { CommitError, headerHash, validatorsHash, verifyCommit } from "../js/consensus.js";
import { messageField } from "../js/proto.js";
import { decodeProof, ProofError, verifyStateProof } from "../js/stateproof.js";
import { keyOf, verifyBlock, verifyRecord, verifyTransaction } from "../js/verify.js";
import { asker, fixture, flipBase64, flipHex } from "./fixture.js";

const { height, paths, txs, decided } = fixture;

for (const path of paths) {
  test(`record ${path.slice(0, 16)} is proved`, async () => {
    const { list, value } = await verifyRecord(asker(), path);
    assert.ok(list.isWhole, JSON.stringify(list.steps));
    assert.equal(list.steps.filter((step) => step.ok).length, 5);
    assert.equal(value === null, path.includes(fixture.stranger));
  });
}

const refused = async (path, lie) => {
  const { list } = await verifyRecord(asker(lie), path);
  assert.equal(list.isGood, false, JSON.stringify(list.steps));
  return list.steps.find((step) => step.ok === false);
};

test("a flipped bit in the value is refused", async () => {
  for (const path of paths.filter((one) => !one.includes(fixture.stranger))) {
    for (const place of [0, -1]) {
      const step = await refused(path, (method, _, answer) => {
        if (method === "abci_query") answer.response.value = flipBase64(answer.response.value, place);
      });
      assert.match(step.title, /Merkle/);
    }
  }
});

test("a value that is not there, or is kept back, is refused", async () => {
  await refused(paths[0], (method, _, answer) => {
    if (method === "abci_query") answer.response.value = "";
  });
  await refused(`/account/${fixture.stranger}`, (method, _, answer) => {
    if (method === "abci_query") answer.response.value = "AQ==";
  });
});

test("a flipped bit anywhere in a proof is refused", async () => {
  for (const path of [paths[0], `/account/${fixture.stranger}`]) {
    const { response } = fixture.answers[`abci_query height=${height - 1} path=${path} prove=True`];
    const proof = fromBase64(response.proofOps.ops[0].data);
    const root = fromHex(fixture.answers[`commit height=${height}`].signed_header.header.app_hash);
    const value = response.value ? fromBase64(response.value) : null;
    await verifyStateProof(root, fromBase64(response.key), value, proof);
    for (let place = 0; place < proof.length; place++) {
      const changed = Uint8Array.from(proof);
      changed[place] ^= 1 << place % 8;
      await assert.rejects(verifyStateProof(root, fromBase64(response.key), value, changed), ProofError, `byte ${place}`);
    }
    for (const length of [0, 1, proof.length - 1]) assert.throws(() => decodeProof(proof.subarray(0, length)), ProofError);
  }
});

test("a proof has one spelling", async () => {
  const { response } = fixture.answers[`abci_query height=${height - 1} path=${paths[0]} prove=True`];
  const proof = fromBase64(response.proofOps.ops[0].data);
  const { key } = decodeProof(proof);
  const start = toHex(proof).indexOf(toHex(key)) / 2 - 2; // the key's field: a tag, a length, 32 bytes
  const body = concat(proof.subarray(start + 34), proof.subarray(start, start + 34));
  assert.throws(() => decodeProof(messageField(1, body)), /canonical/);
});

test("no forged absence of what is there is believed", async () => {
  const { root, proofs } = fixture.forged;
  assert.ok(proofs.length > 20);
  for (const [key, proof] of proofs) await assert.rejects(verifyStateProof(fromHex(root), fromHex(key), null, fromHex(proof)), ProofError);
});

test("a proof of another record is refused", async () => {
  const other = fixture.answers[`abci_query height=${height - 1} path=${paths[1]} prove=True`];
  await refused(paths[0], (method, _, answer) => {
    if (method === "abci_query") answer.response = structuredClone(other.response);
  });
  await refused(paths[0], (method, _, answer) => {
    if (method === "abci_query") answer.response = { ...structuredClone(other.response), key: answer.response.key };
  });
});

test("a flipped bit in any field of the header is refused", async () => {
  const hashes = ["last_commit_hash", "data_hash", "validators_hash", "next_validators_hash", "consensus_hash", "app_hash", "last_results_hash", "evidence_hash", "proposer_address"];
  const lies = [
    ...hashes.map((name) => (header) => { header[name] = flipHex(header[name]); }),
    (header) => { header.chain_id += "x"; },
    (header) => { header.height = String(BigInt(header.height) + 1n); },
    (header) => { header.time = header.time.replace("Z", header.time.includes(".") ? "1Z" : ".000000001Z"); },
    (header) => { header.version.app = String(Number(header.version.app) + 1); },
    (header) => { header.version.block = "12"; },
    (header) => { header.last_block_id.hash = flipHex(header.last_block_id.hash); },
    (header) => { header.last_block_id.parts.total += 1; },
    (header) => { header.last_block_id.parts.hash = flipHex(header.last_block_id.parts.hash); },
  ];
  for (const lie of lies) {
    await refused(paths[0], (method, params, answer) => {
      if (method === "commit" && params.height === String(height)) lie(answer.signed_header.header);
    });
  }
});

test("a flipped bit in a signature, or in what it signs, is refused", async () => {
  const lies = [
    (commit) => { commit.signatures[0].signature = flipBase64(commit.signatures[0].signature); },
    (commit) => { commit.signatures[0].signature = flipBase64(commit.signatures[0].signature, -1); },
    (commit) => { commit.signatures[0].timestamp = "2026-01-01T00:00:00Z"; },
    (commit) => { commit.signatures[0].validator_address = flipHex(commit.signatures[0].validator_address); },
    (commit) => { commit.round += 1; },
    (commit) => { commit.block_id.parts.hash = flipHex(commit.block_id.parts.hash); },
    (commit) => { commit.block_id.hash = flipHex(commit.block_id.hash); },
    (commit) => { commit.signatures = []; },
    (commit) => { commit.signatures[0] = { block_id_flag: 1, validator_address: "", timestamp: "0001-01-01T00:00:00Z", signature: null }; },
  ];
  for (const lie of lies) {
    await refused(paths[0], (method, params, answer) => {
      if (method === "commit" && params.height === String(height)) lie(answer.signed_header.commit);
    });
  }
});

test("other validators are refused", async () => {
  for (const lie of [
    (row) => { row.voting_power = String(Number(row.voting_power) + 1); },
    (row) => { row.pub_key.value = flipBase64(row.pub_key.value); },
  ]) {
    const step = await refused(paths[0], (method, _, answer) => {
      if (method === "validators") lie(answer.validators[0]);
    });
    assert.match(step.title, /validators/);
  }
});

test("a node of another chain, and one with a single block, prove nothing", async () => {
  await refused(paths[0], (method, _, answer) => {
    if (method === "status") answer.node_info.network = "another";
  });
  await refused(paths[0], (method, _, answer) => {
    if (method === "status") answer.sync_info.latest_block_height = answer.sync_info.earliest_block_height;
  });
});

for (const [i, hash] of txs.entries()) {
  test(`transaction ${i} is proved with its result`, async () => {
    const { list } = await verifyTransaction(asker(), hash);
    assert.ok(list.isWhole, JSON.stringify(list.steps));
    assert.equal(list.steps.filter((step) => step.ok).length, 7);
  });
}

test("a transaction with a flipped bit anywhere is refused", async () => {
  const lies = [
    (method, _, answer) => { if (method === "tx") answer.tx = flipBase64(answer.tx, 40); },
    (method, _, answer) => { if (method === "tx") answer.proof.proof.aunts = answer.proof.proof.aunts.map((aunt) => flipBase64(aunt)); },
    (method, _, answer) => { if (method === "tx") answer.proof.proof.aunts.push(answer.proof.proof.aunts[0]); },
    (method, _, answer) => { if (method === "tx") answer.proof.proof.index = "1000"; },
    (method, _, answer) => { if (method === "tx") answer.tx_result.code = 1; },
    (method, _, answer) => { if (method === "tx") answer.tx_result.data = flipBase64(answer.tx_result.data); },
    (method, _, answer) => { if (method === "block_results") answer.txs_results[0].gas_used = "77"; },
    (method, _, answer) => { if (method === "block_results") answer.txs_results.push(answer.txs_results[0]); },
    (method, _, answer) => { if (method === "commit") answer.signed_header.header.last_results_hash = flipHex(answer.signed_header.header.last_results_hash); },
    (method, _, answer) => { if (method === "commit") answer.signed_header.commit.signatures[0].signature = flipBase64(answer.signed_header.commit.signatures[0].signature, 5); },
  ];
  for (const [i, lie] of lies.entries()) {
    const { list } = await verifyTransaction(asker(lie), txs[0]);
    assert.equal(list.isGood, false, `lie ${i}: ${JSON.stringify(list.steps)}`);
  }
});

test("blocks are proved, and other transactions in them are not", async () => {
  for (let at = 1; at <= height; at++) {
    const { list } = await verifyBlock(asker(), at);
    assert.ok(list.isWhole, JSON.stringify(list.steps));
  }
  const { list } = await verifyBlock(asker((method, _, answer) => {
    if (method === "block") answer.block.data.txs.pop();
  }), 2);
  assert.equal(list.isGood, false);
});

test("four validators, one absent, one for nil: seventy of a hundred decide", async () => {
  const hash = await headerHash(decided.header);
  assert.equal(toHex(hash), decided.hash);
  assert.equal(toHex(await validatorsHash(decided.validators)), decided.validators_hash);
  const found = await verifyCommit(decided.header, hash, decided.enough, decided.validators);
  assert.deepEqual(found, { power: 70n, total: 100n, signed: 2, of: 4 });
  await assert.rejects(verifyCommit(decided.header, hash, decided.too_few, decided.validators), CommitError);
  const swapped = structuredClone(decided.enough);
  [swapped.signatures[0], swapped.signatures[1]] = [swapped.signatures[1], swapped.signatures[0]];
  await assert.rejects(verifyCommit(decided.header, hash, swapped, decided.validators), CommitError);
  const forged = structuredClone(decided.enough);
  forged.signatures[3].block_id_flag = 2;
  await assert.rejects(verifyCommit(decided.header, hash, forged, decided.validators), CommitError);
  const nil = structuredClone(decided.enough);
  nil.signatures[3].signature = flipBase64(nil.signatures[3].signature);
  await assert.rejects(verifyCommit(decided.header, hash, nil, decided.validators), CommitError);
});

test("without the browser's cryptography nothing is called checked", async () => {
  const { subtle } = globalThis.crypto;
  Object.defineProperty(globalThis, "crypto", { value: {}, configurable: true });
  const { list } = await verifyRecord(asker(), paths[0]);
  Object.defineProperty(globalThis, "crypto", { value: { subtle }, configurable: true });
  assert.equal(list.isGood, false);
  assert.equal(list.isWhole, false);
  assert.deepEqual(list.steps.map((step) => step.ok), [null]);
});

test("keys are made here for what the pages prove", () => {
  assert.equal(keyOf("/params/fees"), null);
  assert.equal(toHex(keyOf("/supply/QNX")), "2073514e58");
  assert.throws(() => keyOf("/account/qx1mistyped"));
});
