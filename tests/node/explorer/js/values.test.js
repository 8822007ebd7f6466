// Values: msgpack, amounts, addresses, bytes, times.

import assert from "node:assert/strict";
import { test } from "node:test";

import { formatAddress, parseAddress } from "../js/address.js";
import { divide, formatUnits, parseUnits, percentOf, percentOfPpm, priceText, SCALE_MAX, toUnits } from "../js/amounts.js";
import { compare, fromBase64, fromHex, toBase64, toHex } from "../js/bytes.js";
import { ago, duration, millis, short, unix, utc } from "../js/format.js";
import { amountOf, decode, MalformedError, naturalOf } from "../js/msgpack.js";
import { timestamp } from "../js/proto.js";
import { fixture } from "./fixture.js";

test("msgpack: every integer as the node writes it", () => {
  for (const [text, hex] of fixture.numbers) assert.equal(decode(fromHex(hex)), BigInt(text), hex);
});

test("msgpack: every length as the node writes it", () => {
  for (const hex of fixture.canonical) decode(fromHex(hex));
});

for (const [what, hex] of Object.entries(fixture.refused)) {
  test(`msgpack: refused: ${what}`, () => assert.throws(() => decode(fromHex(hex)), MalformedError));
}

test("amounts: bytes", () => {
  for (const [text, hex] of fixture.amounts) assert.equal(amountOf(fromHex(hex)), BigInt(text));
  assert.throws(() => amountOf(fromHex("0001")), MalformedError);
  assert.throws(() => amountOf(new Uint8Array(81).fill(1)), MalformedError);
  assert.throws(() => amountOf("1"), MalformedError);
  assert.equal(naturalOf(new Uint8Array(81).fill(1)) > 2n ** 640n, true);
});

test("amounts: exact at every scale", () => {
  assert.equal(formatUnits("1234567", 2), "12,345.67");
  assert.equal(formatUnits("0", 6), "0");
  assert.equal(formatUnits("1", 6), "0.000001");
  assert.equal(formatUnits("-1000001", 6), "-1.000001");
  assert.equal(formatUnits("1000000", 6), "1");
  assert.equal(formatUnits("1", SCALE_MAX), "0." + "0".repeat(127) + "1");
  const largest = (2n ** 640n - 1n).toString();
  assert.equal(formatUnits(largest, 0, { group: false }), largest);
  assert.equal(formatUnits(largest, 128, { group: false }).replace(".", "").replace(/^0+/, ""), largest.replace(/0+$/, ""));
  assert.equal(formatUnits("9007199254740993", 0), "9,007,199,254,740,993");
  for (const bad of ["1.5", "01", "", "1e5", " 1", "0x10", "--1", "NaN"]) assert.throws(() => parseUnits(bad), bad);
});

test("amounts: what is typed", () => {
  assert.equal(toUnits("12,345.67", 2), "1234567");
  assert.equal(toUnits("1.50", 1), "15");
  assert.equal(toUnits(" 7 ", 0), "7");
  assert.equal(toUnits("0", 128), "0");
  assert.equal(toUnits("0." + "0".repeat(127) + "1", 128), "1");
  for (const bad of ["1.5", "-1", "1e3", "", ".5", "1.2.3", "９"]) assert.throws(() => toUnits(bad, 0), bad);
  assert.throws(() => toUnits("9".repeat(200), 0));
  for (const [units, scale] of [["1", 0], ["123456789", 3], ["100", 2], ["5", 128]]) assert.equal(toUnits(formatUnits(units, scale), scale), units);
});

test("amounts: quotients and prices", () => {
  assert.equal(divide(1n, 3n, 5), "0.33333");
  assert.equal(divide(-1n, 3n, 2), "-0.33");
  assert.equal(divide(0n, -3n, 2), "0");
  assert.throws(() => divide(1n, 0n, 1));
  assert.equal(priceText("4000000", 2, "4000000000", 6), "0.1");
  assert.equal(priceText("0", 2, "5", 6), "");
  assert.equal(priceText("3", 0, "1", 0, 6), "0.333333");
  assert.equal(percentOf("1", "3"), "33.33 %");
  assert.equal(percentOf("1", "0"), "0 %");
  assert.equal(percentOfPpm(12_345), "1.2345 %");
});

test("addresses: as the node writes them, and no typing mistake", () => {
  for (const text of [fixture.sender, fixture.stranger]) {
    assert.equal(formatAddress(parseAddress(text)), text);
    for (let place = 3; place < text.length; place++) {
      const other = text[place] === "q" ? "p" : "q";
      assert.throws(() => parseAddress(text.slice(0, place) + other + text.slice(place + 1)));
    }
    assert.throws(() => parseAddress(text.slice(0, -1)));
    assert.throws(() => parseAddress("bc" + text.slice(2)));
  }
  assert.equal(toHex(parseAddress(fixture.stranger)).slice(0, 8), "00010203");
});

test("bytes", () => {
  for (const bad of ["0", "0g", "0x00", " 00"]) assert.throws(() => fromHex(bad));
  for (const bad of ["A", "AA", "AA=A", "AA-_", "AAA=\n"]) assert.throws(() => fromBase64(bad));
  assert.equal(toBase64(fromBase64("AP8Q")), "AP8Q");
  assert.ok(compare(fromHex("00ff"), fromHex("0100")) < 0 && compare(fromHex("00"), fromHex("0000")) < 0);
});

test("times", () => {
  assert.equal(toHex(timestamp("0001-01-01T00:00:00Z")), "088092b8c398feffffff01");
  assert.equal(toHex(timestamp("1970-01-01T00:00:01.5Z")), "08011080cab5ee01");
  assert.equal(toHex(timestamp("1970-01-01T00:00:00.000000001Z")), "1001");
  for (const bad of ["2026-02-30T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00.0000000001Z", "x"]) assert.throws(() => timestamp(bad), bad);
  assert.equal(utc("2026-11-28T07:00:00.123456789Z"), "2026-11-28 07:00:00 UTC");
  assert.equal(millis("2026-11-28T07:00:00.123456789Z") % 1_000, 123);
  assert.equal(ago("2026-01-01T00:00:00Z", Date.parse("2026-01-01T00:00:05Z")).replaceAll("\u00a0", " "), "5 s ago");
  assert.equal(duration(7_300).replaceAll("\u00a0", " "), "2 h");
  assert.equal(unix(0), "–");
  assert.equal(short("abcdefghijklmnop", 3, 3), "abc…nop");
});
