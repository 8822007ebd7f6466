// A browser without Ed25519: hashes are checked, signatures are not, and the page says so.

import assert from "node:assert/strict";
import { test } from "node:test";

import { verifyBlock, verifyRecord, verifyTransaction } from "../js/verify.js";
import { asker, fixture, flipHex } from "./fixture.js";

const { subtle } = globalThis.crypto;
const lacking = { digest: subtle.digest.bind(subtle), importKey: async () => { throw new Error("NotSupportedError"); } };
Object.defineProperty(globalThis, "crypto", { value: { subtle: lacking }, configurable: true });

test("what can be checked is, the rest is left out by name", async () => {
  for (const { list } of [await verifyRecord(asker(), fixture.paths[0]), await verifyTransaction(asker(), fixture.txs[0]), await verifyBlock(asker(), 2)]) {
    assert.equal(list.isGood, true, JSON.stringify(list.steps));
    assert.equal(list.isWhole, false);
    assert.ok(list.steps.some((step) => step.ok === null && /no Ed25519/.test(step.detail)));
  }
});

test("a header that is not the decided one is refused all the same", async () => {
  const lies = [
    (signed) => { signed.header.data_hash = flipHex(signed.header.data_hash); },
    (signed) => { signed.commit.block_id.hash = flipHex(signed.commit.block_id.hash); },
  ];
  for (const lie of lies) {
    const { list } = await verifyRecord(asker((method, _, answer) => {
      if (method === "commit") lie(answer.signed_header);
    }), fixture.paths[0]);
    assert.equal(list.isGood, false);
  }
});
