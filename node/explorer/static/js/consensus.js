// What decides a block, checked in the browser: the header's hash (14 fields), the validators' hash, the Ed25519 signatures of the commit.
// Byte for byte CometBFT's, as docs/encodings.md has it. The ML-DSA half of a vote is not checked here: browsers have no ML-DSA.

import { concat, equal, fromBase64, fromHex, toHex, utf8 } from "./bytes.js";
import { bytesField, lengthDelimited, messageField, sfixed64Field, textField, timestamp, varintField } from "./proto.js";
import { merkleRoot, sha256 } from "./sha256.js";

const PRECOMMIT = 2;
const FLAG_ABSENT = 1;
const FLAG_COMMIT = 2;

export class CommitError extends Error {}

function blockIdProto(id) {
  const parts = concat(varintField(1, id.parts.total), bytesField(2, fromHex(id.parts.hash)));
  return concat(bytesField(1, fromHex(id.hash)), messageField(2, parts));
}

/** The hash of a header as the RPC shows it: 32 bytes. */
export function headerHash(header) {
  const hashes = ["last_commit_hash", "data_hash", "validators_hash", "next_validators_hash", "consensus_hash",
    "app_hash", "last_results_hash", "evidence_hash", "proposer_address"];
  return merkleRoot([
    concat(varintField(1, header.version.block), varintField(2, header.version.app)),
    textField(1, header.chain_id),
    varintField(1, header.height),
    timestamp(header.time),
    blockIdProto(header.last_block_id),
    ...hashes.map((name) => bytesField(1, fromHex(header[name]))),
  ]);
}

/** The hash of a validator set as the RPC shows it; order is by power, then address. */
export function validatorsHash(validators) {
  const leaf = (v) => concat(messageField(1, bytesField(1, fromBase64(v.pub_key.value))), varintField(2, v.voting_power));
  return merkleRoot(validators.map(leaf));
}

/** What a validator signs with its precommit; a null `blockId` is a vote for nil. */
export function voteSignBytes(chainId, height, round, blockId, time) {
  return lengthDelimited(concat(
    varintField(1, PRECOMMIT),
    sfixed64Field(2, height),
    sfixed64Field(3, round),
    blockId ? messageField(4, blockIdProto(blockId)) : new Uint8Array(),
    messageField(5, timestamp(time)),
    bytesField(6, utf8(chainId)),
  ));
}

let ed25519;

/** Whether this browser verifies Ed25519: tried once with a key, because a name alone proves nothing. */
export function hasEd25519() {
  ed25519 ??= (async () => {
    try {
      const key = new Uint8Array(32);
      key[0] = 0x58;
      key.fill(0x66, 1); // the base point
      await crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
      return true;
    } catch {
      return false;
    }
  })();
  return ed25519;
}

async function isSigned(publicKey, signature, message) {
  const key = await crypto.subtle.importKey("raw", publicKey, { name: "Ed25519" }, false, ["verify"]);
  return crypto.subtle.verify({ name: "Ed25519" }, key, signature, message);
}

/** Check every signature of a commit over a header's hash by a validator set. Gives what was counted. Throws `CommitError`. */
export async function verifyCommit(header, hash, commit, validators) {
  if (!equal(fromHex(commit.block_id.hash), hash)) throw new CommitError("the commit is for another header");
  if (commit.height !== header.height) throw new CommitError("the commit is of another height");
  if (commit.signatures.length !== validators.length) throw new CommitError("the commit has not one entry for each validator");
  let [power, total, signed] = [0n, 0n, 0];
  for (const [index, validator] of validators.entries()) {
    total += BigInt(validator.voting_power);
    const part = commit.signatures[index];
    if (part.block_id_flag === FLAG_ABSENT) continue;
    const key = fromBase64(validator.pub_key.value);
    const address = (await sha256(key)).subarray(0, 20);
    if (part.validator_address.toLowerCase() !== toHex(address)) throw new CommitError(`entry ${index} is of another validator`);
    const isForBlock = part.block_id_flag === FLAG_COMMIT;
    const message = voteSignBytes(header.chain_id, commit.height, commit.round, isForBlock ? commit.block_id : null, part.timestamp);
    if (!(await isSigned(key, fromBase64(part.signature), message))) throw new CommitError(`the signature of ${part.validator_address} is wrong`);
    if (!isForBlock) continue;
    power += BigInt(validator.voting_power);
    signed += 1;
  }
  if (power * 3n <= total * 2n) throw new CommitError(`${power} of ${total} signed: not more than two thirds`);
  return { power, total, signed, of: validators.length };
}

/** The leaf of a transaction's result in the results hash of the next header. */
export function resultLeaf(result) {
  return concat(
    varintField(1, result.code),
    bytesField(2, fromBase64(result.data ?? "")),
    varintField(5, result.gas_wanted),
    varintField(6, result.gas_used),
  );
}
