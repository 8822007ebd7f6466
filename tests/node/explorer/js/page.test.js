// The page's own rules: places, what a search may name, elements that never run what a chain says, operations in words.

import assert from "node:assert/strict";
import { test } from "node:test";

// as much of a document as elements need: text stays text, attributes are strings
class FakeNode {
  constructor(tag) {
    Object.assign(this, { tag, children: [], attributes: {} });
  }
  setAttribute(name, value) {
    this.attributes[name] = value;
  }
  addEventListener() {}
  append(...children) {
    this.children.push(...children);
  }
  replaceChildren(...children) {
    this.children = children;
  }
  get text() {
    return this.children.map((child) => child.text).join("");
  }
}
globalThis.document = { createElement: (tag) => new FakeNode(tag), createTextNode: (text) => ({ isText: true, text: String(text) }) };
globalThis.location = { href: "http://127.0.0.1/", hash: "" };

const { bar, checkAttribute, h, table } = await import("../js/dom.js");
const { guess, parseHash, place, placeWith } = await import("../js/router.js");
const { assetOf, showEvents, showValue, summary } = await import("../js/operations.js");
const { fixture } = await import("./fixture.js");

const EVIL = "<img src=x onerror=alert(1)>";

test("text of a chain is text", () => {
  const element = h("p", { title: EVIL }, EVIL, [EVIL, null, false, 0]);
  assert.equal(element.attributes.title, EVIL);
  assert.ok(element.children.every((child) => child.isText));
  assert.equal(element.text, EVIL + EVIL + "0");
  assert.ok(table("x", [{ title: EVIL, cell: (row) => row }], [EVIL]).text.includes(EVIL));
});

test("attributes that could run something are refused", () => {
  for (const name of ["onclick", "ONERROR", "style", "src", "innerHTML", "formaction", "action"]) assert.throws(() => checkAttribute(name, "x"), name);
  for (const href of ["javascript:alert(1)", "https://example.org", "//example.org", " #x", "data:text/html,x", "/x"]) assert.throws(() => h("a", { href }), href);
  assert.equal(h("a", { href: "#/block/1" }).attributes.href, "#/block/1");
  assert.throws(() => h("p", { onclick: "x" }));
});

test("places are read as they are written", () => {
  for (const args of [["pool", "EUR/QNX"], ["account", "qx1abc"], ["proof", "holding", "qx1abc", "EUR"], ["asset", EVIL], ["tx", "ä%/#?&"]]) {
    const found = parseHash(place(...args));
    assert.deepEqual([found.name, ...found.args], args);
  }
  assert.deepEqual(parseHash("#/"), { name: "", args: [], query: {} });
  assert.deepEqual(parseHash(""), { name: "", args: [], query: {} });
  assert.deepEqual(parseHash(placeWith({ from: 7 }, "blocks")), { name: "blocks", args: [], query: { from: "7" } });
});

test("what is no place is none", () => {
  for (const bad of ["#x", "#/UPPER", "#/a//b", "#/%", "#/block/%E0%A4%A", "#/a/b/c/d/e/f", "#/" + "x".repeat(3_000), "javascript:x", "#/block/"]) assert.equal(parseHash(bad), null, bad);
});

test("a search is read by its form", () => {
  const first = (text) => guess(text)[0];
  assert.deepEqual(first(" 1,234 "), ["block", "1234"]);
  assert.deepEqual(guess("ab".repeat(32)).map(([kind]) => kind), ["tx", "block-hash"]);
  assert.deepEqual(first("0x" + "AB".repeat(32)), ["tx", "AB".repeat(32)]);
  assert.deepEqual(guess("ab".repeat(20)).map(([kind]) => kind), ["validator", "promise"]);
  assert.deepEqual(first(fixture.sender.toUpperCase()), ["account", fixture.sender]);
  assert.deepEqual(first("eur"), ["asset", "EUR"]);
  assert.deepEqual(first("qnx/eur"), ["pool", "EUR/QNX"]);
  assert.deepEqual(first("EUR-QNX"), ["pool", "EUR/QNX"]);
  assert.deepEqual(first("proposal 3"), ["proposal", "3"]);
  assert.deepEqual(first("Farm #0"), ["farm", "0"]);
  assert.deepEqual(first("node two!"), ["moniker", "node two!"]);
  assert.deepEqual(guess("  "), []);
});

test("an amount is of the asset that its fields name", () => {
  assert.equal(assetOf("amount", { asset: "EUR", amount: "1" }), "EUR");
  assert.equal(assetOf("amount_in", { path: ["EUR", "QNX"] }), "EUR");
  assert.equal(assetOf("min_out", { path: ["EUR", "QNX"] }), "QNX");
  assert.equal(assetOf("amount_b", { pool: "EUR/QNX" }), "QNX");
  assert.equal(assetOf("amount_out", { asset_out: "BOND" }), "BOND");
  assert.equal(assetOf("shares", { pool: "EUR/QNX" }), "EUR/QNX");
  assert.equal(assetOf("max_fee", {}, { feeAsset: "QNX" }), "QNX");
  assert.equal(assetOf("amount", { validator: "aa" }, { stakeAsset: "QNX" }), "QNX");
  for (const [name, fields] of [["amount", {}], ["sequence", { asset: "EUR" }], ["amount_a", {}], ["min_out", {}]]) assert.equal(assetOf(name, fields), "", name);
});

test("values are shown as what they are", () => {
  const account = showValue("to", fixture.sender, {});
  assert.equal(account.tag, "a");
  assert.equal(parseHash(account.attributes.href).args[0], fixture.sender);
  assert.equal(showValue("memo", EVIL, {}).text, EVIL);
  assert.equal(showValue("pool", EVIL + "/", {}).tag, "a");
  assert.equal(showValue("memo", "", {}), "–");
  assert.ok(showEvents([{ type: EVIL, attributes: [{ key: EVIL, value: EVIL }] }]).text.includes(EVIL));
  assert.equal(summary({ ops: [{ op: "a" }, { op: "b" }, { op: "c" }] }), "a and 2 more");
  assert.equal(summary(null), "not readable");
  assert.equal(bar(5e9, "x", "y").children[0].attributes.value, "1000000");
});
