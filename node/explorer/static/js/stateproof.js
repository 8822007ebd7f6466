// Proofs of the state: ICS-23 commitment proofs under the stock tendermintSpec, read as strictly as the node reads them (state/proofs.py).
// The proven key is SHA-256 of the raw key. Existence is a leaf and its path; absence is the two neighbours of the place. Everything
// that does not prove is thrown as `ProofError`.

import { compare, concat, equal } from "./bytes.js";
import { bytesField, messageField, uvarint, varintField } from "./proto.js";
import { innerHash, sha256 } from "./sha256.js";

const LEAF_OP = concat(varintField(1, 1), varintField(3, 1), varintField(4, 1), bytesField(5, Uint8Array.of(0)));
const STEP_HEAD = varintField(1, 1);
const STEPS_MAX = 128;

export class ProofError extends Error {}

/** Check that under `root` the raw `key` has `value`, or is absent when that is null. Gives the number of steps. Throws `ProofError`. */
export async function verifyStateProof(root, key, value, proof) {
  const hash = await sha256(key);
  const found = decodeProof(proof);
  if (found.path) {
    if (value === null) throw new ProofError("the proof is of existence, but no value was given");
    if (!equal(found.key, hash) || !equal(found.value, value)) throw new ProofError("the proof is of another key or value");
    if (!equal(await rootOf(found), root)) throw new ProofError("the proof leads to another app hash");
    return found.path.length;
  }
  if (value !== null) throw new ProofError("the proof is of absence, but a value was given");
  if (!equal(found.key, hash)) throw new ProofError("the proof is of another key");
  await verifyAbsence(root, found);
  return (found.left?.path.length ?? 0) + (found.right?.path.length ?? 0);
}

async function rootOf(existence) {
  const valueHash = await sha256(existence.value);
  let node = await sha256(concat(Uint8Array.of(0, 32), existence.key, Uint8Array.of(32), valueHash));
  for (const { isRight, sibling } of existence.path) {
    node = isRight ? await innerHash(sibling, node) : await innerHash(node, sibling);
  }
  return node;
}

async function verifyAbsence(root, { key, left, right }) {
  for (const side of [left, right]) {
    if (side && !equal(await rootOf(side), root)) throw new ProofError("a neighbour's proof leads to another app hash");
  }
  if ((left && compare(left.key, key) >= 0) || (right && compare(right.key, key) <= 0)) {
    throw new ProofError("the neighbours do not enclose the key");
  }
  if (!left && !right) throw new ProofError("a proof of absence names a neighbour");
  const adjacent = left && right ? areNeighbours(left.path, right.path)
    : left ? left.path.every((step) => step.isRight)
      : right.path.every((step) => !step.isRight);
  if (!adjacent) throw new ProofError("the two leaves are not neighbours");
}

// Strip what the two paths share from the root down; then left goes left and ever right, right goes right and ever left.
function areNeighbours(left, right) {
  const [a, b] = [[...left], [...right]];
  while (a.length && b.length && sameStep(a[a.length - 1], b[b.length - 1])) {
    a.pop();
    b.pop();
  }
  const [topA, topB] = [a.pop(), b.pop()];
  if (!topA || !topB || topA.isRight || !topB.isRight) return false;
  return a.every((step) => step.isRight) && b.every((step) => !step.isRight);
}

const sameStep = (one, other) => one.isRight === other.isRight && equal(one.sibling, other.sibling);

/** The proof in a CommitmentProof, in its one canonical form. Throws `ProofError`. */
export function decodeProof(bytes) {
  const fields = readFields(bytes);
  if (fields.length !== 1 || ![1, 2].includes(fields[0].number)) throw new ProofError("a commitment proof holds one proof");
  const [{ number, body }] = fields;
  const found = number === 1 ? readExistence(body) : readAbsence(body);
  if (!equal(encodeProof(found), bytes)) throw new ProofError("the proof is not in canonical form");
  return found;
}

function readAbsence(bytes) {
  const found = { key: new Uint8Array(), left: null, right: null };
  for (const { number, body } of readFields(bytes)) {
    if (number === 1) found.key = body;
    else if (number === 2) found.left = readExistence(body);
    else if (number === 3) found.right = readExistence(body);
    else throw new ProofError("a proof of absence has an unknown field");
  }
  if (found.key.length !== 32) throw new ProofError("a proof's key is a hash");
  return found;
}

function readExistence(bytes) {
  const found = { key: new Uint8Array(), value: new Uint8Array(), path: [] };
  for (const { number, body } of readFields(bytes)) {
    if (number === 1) found.key = body;
    else if (number === 2) found.value = body;
    else if (number === 3) {
      if (!equal(body, LEAF_OP)) throw new ProofError("a proof has another leaf operation");
    } else if (number === 4 && found.path.length < STEPS_MAX) found.path.push(readStep(body));
    else throw new ProofError("a proof of existence has an unknown field or too many steps");
  }
  if (found.key.length !== 32 || !found.value.length) throw new ProofError("a proof has a key or value of a wrong length");
  return found;
}

function readStep(bytes) {
  if (!equal(bytes.subarray(0, STEP_HEAD.length), STEP_HEAD)) throw new ProofError("a step of a proof is not SHA-256");
  let [prefix, suffix] = [new Uint8Array(), new Uint8Array()];
  for (const { number, body } of readFields(bytes.subarray(STEP_HEAD.length))) {
    if (number === 2) prefix = body;
    if (number === 3) suffix = body;
  }
  if (prefix[0] === 1) {
    if (prefix.length === 33 && !suffix.length) return { isRight: true, sibling: prefix.subarray(1) };
    if (prefix.length === 1 && suffix.length === 32) return { isRight: false, sibling: suffix };
  }
  throw new ProofError("a step of a proof has a wrong prefix or suffix");
}

function readFields(bytes) {
  const fields = [];
  let place = 0;
  const number = () => {
    let [value, shift] = [0, 0];
    const start = place;
    while (place < bytes.length && shift <= 28) {
      const byte = bytes[place++];
      value += (byte & 0x7f) * 2 ** shift;
      shift += 7;
      if (byte < 0x80) {
        if (!equal(uvarint(value), bytes.subarray(start, place))) throw new ProofError("a length in the proof is not minimal");
        return value;
      }
    }
    throw new ProofError("a length in the proof is cut off or too large");
  };
  while (place < bytes.length) {
    const [tag, size] = [number(), number()];
    if ((tag & 7) !== 2 || place + size > bytes.length) throw new ProofError("a proof is cut off or has a wrong field");
    fields.push({ number: tag >>> 3, body: bytes.subarray(place, place + size) });
    place += size;
  }
  return fields;
}

function encodeExistence({ key, value, path }) {
  const steps = path.map(({ isRight, sibling }) => {
    const [prefix, suffix] = isRight ? [concat(Uint8Array.of(1), sibling), new Uint8Array()] : [Uint8Array.of(1), sibling];
    return messageField(4, concat(STEP_HEAD, bytesField(2, prefix), bytesField(3, suffix)));
  });
  return concat(bytesField(1, key), bytesField(2, value), messageField(3, LEAF_OP), ...steps);
}

function encodeProof(found) {
  if (found.path) return messageField(1, encodeExistence(found));
  const sides = [[2, found.left], [3, found.right]].map(([n, side]) => (side ? messageField(n, encodeExistence(side)) : new Uint8Array()));
  return messageField(2, concat(bytesField(1, found.key), ...sides));
}
