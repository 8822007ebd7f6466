// SHA-256 by the browser's own cryptography, and RFC 6962 Merkle trees over lists. Without a secure context there is none, and
// `isAvailable` says so: nothing is ever taken for checked that was not.

import { concat, equal } from "./bytes.js";

const LEAF = Uint8Array.of(0);
const INNER = Uint8Array.of(1);
const AUNTS_MAX = 100;

export const isAvailable = () => Boolean(globalThis.crypto?.subtle);

/** 32 bytes. */
export const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));

export const leafHash = (leaf) => sha256(concat(LEAF, leaf));
export const innerHash = (left, right) => sha256(concat(INNER, left, right));

/** Root of a list of leaves; SHA-256 of nothing for an empty list. An odd last node is passed up. */
export async function merkleRoot(leaves) {
  if (!leaves.length) return sha256(new Uint8Array());
  let level = await Promise.all(leaves.map(leafHash));
  while (level.length > 1) {
    const next = [];
    for (let i = 0; i + 1 < level.length; i += 2) next.push(await innerHash(level[i], level[i + 1]));
    if (level.length % 2) next.push(level[level.length - 1]);
    level = next;
  }
  return level[0];
}

/** The root that a leaf at `index` of `total` leads to by its aunts; null when their number does not fit. */
export async function rootOfPath(leaf, index, total, aunts) {
  if (!(index >= 0 && index < total) || aunts.length > AUNTS_MAX || aunts.some((aunt) => aunt.length !== 32)) return null;
  let node = await leafHash(leaf);
  let used = 0;
  for (let last = total - 1, place = index; last > 0; last = Math.floor(last / 2), place = Math.floor(place / 2)) {
    if (!(place % 2) && place >= last) continue;
    const aunt = aunts[used++];
    if (aunt === undefined) return null;
    node = place % 2 ? await innerHash(aunt, node) : await innerHash(node, aunt);
  }
  return used === aunts.length ? node : null;
}

/** Whether a leaf is in the list of that root. */
export async function isInList(root, leaf, index, total, aunts) {
  const found = await rootOfPath(leaf, index, total, aunts);
  return found !== null && equal(found, root);
}
