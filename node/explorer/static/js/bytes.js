// Bytes and their text forms: hex, base64, UTF-8. No hash and no network in here.

const ENCODER = new TextEncoder();
const HEX = /^(?:[0-9a-fA-F]{2})*$/;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** The bytes of a text in UTF-8. */
export const utf8 = (text) => ENCODER.encode(text);

/** One array of all the parts. */
export function concat(...parts) {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let place = 0;
  for (const part of parts) {
    out.set(part, place);
    place += part.length;
  }
  return out;
}

/** Whether two arrays hold the same bytes. */
export const equal = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);

/** Order of two arrays, as Python orders bytes: below, equal or above zero. */
export function compare(a, b) {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    if (a[i] !== b[i]) return a[i] - b[i];
  }
  return a.length - b.length;
}

/** Lower-case hex. */
export const toHex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** The bytes of hex digits in either case. Throws for anything else. */
export function fromHex(text) {
  if (typeof text !== "string" || !HEX.test(text)) throw new Error("not hex");
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** Padded base64 in the standard alphabet. */
export function toBase64(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/** The bytes of padded base64. Throws for anything else. */
export function fromBase64(text) {
  if (typeof text !== "string" || !BASE64.test(text)) throw new Error("not base64");
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}
