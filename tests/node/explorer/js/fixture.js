// What the node has made (tests/node/explorer/fixture.py), and the RPC that gives it back.

import { readFileSync } from "node:fs";

export const fixture = JSON.parse(readFileSync("fixture.json", "utf8"));

const keyOf = (method, params) => [method, ...Object.keys(params).sort().map((name) => `${name}=${params[name] === true ? "True" : params[name]}`)].join(" ");

/** An `ask` that answers as the node did, after `lie(method, params, answer)` has had its way with a copy. */
export function asker(lie = () => {}) {
  return async (method, params = {}) => {
    const found = fixture.answers[keyOf(method, params)];
    if (!found) throw new Error(`the fixture has no ${keyOf(method, params)}`);
    const answer = structuredClone(found);
    lie(method, params, answer);
    return answer;
  };
}

/** Base64 or hex with one bit of one byte changed. */
export function flipBase64(text, place = 0, bit = 1) {
  const bytes = Buffer.from(text, "base64");
  bytes[(place + bytes.length) % bytes.length] ^= bit;
  return bytes.toString("base64");
}

export function flipHex(text, place = 0, bit = 1) {
  const bytes = Buffer.from(text, "hex");
  bytes[(place + bytes.length) % bytes.length] ^= bit;
  return bytes.toString("hex").toUpperCase();
}
