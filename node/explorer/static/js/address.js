// Addresses of accounts: bech32m (BIP-350) with the prefix qx, 32 bytes. A mistyped one is refused.

const PREFIX = "qx";
const CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const BECH32M = 0x2bc830a3;
const GENERATOR = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3];
const EXPANDED = [...[...PREFIX].map((c) => c.charCodeAt(0) >> 5), 0, ...[...PREFIX].map((c) => c.charCodeAt(0) & 31)];

function polymod(words) {
  let checksum = 1;
  for (const word of words) {
    const top = checksum >>> 25;
    checksum = ((checksum & 0x1ffffff) << 5) ^ word;
    GENERATOR.forEach((generator, i) => {
      if ((top >> i) & 1) checksum ^= generator;
    });
  }
  return checksum >>> 0;
}

function regroup(values, from, to, pad) {
  const out = [];
  let bits = 0;
  let kept = 0;
  for (const value of values) {
    bits = ((bits << from) | value) & 0xfff;
    kept += from;
    while (kept >= to) {
      kept -= to;
      out.push((bits >> kept) & ((1 << to) - 1));
    }
  }
  const rest = (bits << (to - kept)) & ((1 << to) - 1);
  if (pad && kept) out.push(rest);
  if (!pad && (kept >= from || rest)) throw new Error("the address has bits too many");
  return out;
}

/** The 32 bytes of an address. Throws for any typing mistake. */
export function parseAddress(text) {
  if (!text.startsWith(PREFIX + "1")) throw new Error(`an address starts with ${PREFIX}1`);
  const words = [...text.slice(PREFIX.length + 1)].map((char) => CHARSET.indexOf(char));
  if (words.includes(-1)) throw new Error("an address has a character that is never used in one");
  if (words.length < 6 || polymod([...EXPANDED, ...words]) !== BECH32M) throw new Error("the address has a typing mistake");
  const bytes = Uint8Array.from(regroup(words.slice(0, -6), 5, 8, false));
  if (bytes.length !== 32) throw new Error("an address has 32 bytes");
  return bytes;
}

/** The text of 32 bytes. */
export function formatAddress(bytes) {
  const data = regroup(bytes, 8, 5, true);
  const checksum = polymod([...EXPANDED, ...data, 0, 0, 0, 0, 0, 0]) ^ BECH32M;
  const words = [...data, ...[5, 4, 3, 2, 1, 0].map((i) => (checksum >>> (5 * i)) & 31)];
  return PREFIX + "1" + words.map((word) => CHARSET[word]).join("");
}
