// The protobuf subset that consensus bytes are made of (docs/encodings.md): varints, sfixed64, length-delimited fields.
// Zero scalars and empty bytes are left out; sub-messages are always written, even when empty. Numbers are BigInt.

import { concat, utf8 } from "./bytes.js";

export const GO_ZERO_SECONDS = -62_135_596_800n;
const TIME = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?Z$/;

/** Base-128 varint of a number in [0, 2^64). */
export function uvarint(number) {
  let rest = BigInt(number);
  if (rest < 0n || rest >> 64n) throw new Error("a varint has 64 bits");
  const out = [];
  while (rest >= 0x80n) {
    out.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  out.push(Number(rest));
  return Uint8Array.from(out);
}

const tag = (field, wire) => uvarint((BigInt(field) << 3n) | BigInt(wire));

/** An integer field; left out if zero; negative numbers take ten bytes. */
export function varintField(field, number) {
  const value = BigInt(number);
  return value === 0n ? new Uint8Array() : concat(tag(field, 0), uvarint(BigInt.asUintN(64, value)));
}

/** A little-endian signed 64-bit field; left out if zero. */
export function sfixed64Field(field, number) {
  let value = BigInt.asUintN(64, BigInt(number));
  if (value === 0n) return new Uint8Array();
  const out = new Uint8Array(8);
  for (let i = 0; i < 8; i++, value >>= 8n) out[i] = Number(value & 0xffn);
  return concat(tag(field, 1), out);
}

/** A sub-message: always written. */
export const messageField = (field, bytes) => concat(tag(field, 2), uvarint(bytes.length), bytes);

/** Bytes; left out if empty. */
export const bytesField = (field, bytes) => (bytes.length ? messageField(field, bytes) : new Uint8Array());

/** Text; left out if empty. */
export const textField = (field, text) => bytesField(field, utf8(text));

/** Bytes behind their length, as sign bytes are. */
export const lengthDelimited = (bytes) => concat(uvarint(bytes.length), bytes);

/** google.protobuf.Timestamp of an RFC 3339 time in UTC. Throws for any other text. */
export function timestamp(text) {
  const match = TIME.exec(text);
  if (!match) throw new Error("not a time");
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number);
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  if (date.toISOString().slice(0, 19) !== text.slice(0, 19)) throw new Error("not a time");
  const nanos = BigInt((match[7] ?? "").padEnd(9, "0"));
  return concat(varintField(1, BigInt(date.getTime()) / 1000n), varintField(2, nanos));
}
