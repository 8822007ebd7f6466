// Any record of the state by its path, in words and in bytes, with its proof checked in this browser.

import { toHex } from "../bytes.js";
import { card, h, note } from "../dom.js";
import { showFields } from "../operations.js";
import { amountOf, decode } from "../msgpack.js";
import { attempt, call } from "../rpc.js";
import { verifyRecord } from "../verify.js";
import { checkButton } from "../checks.js";

export const title = ({ args }) => `Record /${args.join("/")}`;

export async function view({ args }) {
  const path = "/" + args.join("/");
  const found = await attempt("record", { path });
  return h("div", {},
    card("In words", found === null ? note("The node has no record of this name, or no words for it.", "warn")
      : found.record === null ? note("There is no such record now. That can be proved as well.") : showFields(found.record)),
    recordCheck(path));
}

/** The check of a record, as a card; shows the proved bytes and, where they are simple, what they mean. */
export function recordCheck(path, text = "Check this record in the browser") {
  return checkButton(text, () => verifyRecord(call, path), (proved) => h("div", { class: "proved" },
    h("h3", {}, "What is proved"),
    proved.value === null || proved.value === undefined ? h("p", {}, `After block ${proved.height} there is no such record.`)
      : [h("p", { class: "mono wrap" }, toHex(proved.value)), h("p", { class: "small" }, "decoded here: ", h("code", { class: "wrap" }, words(path, proved.value)))]));
}

function words(path, bytes) {
  try {
    const value = decode(bytes);
    if (/^\/(holding|supply)\//.test(path)) return `${amountOf(value[0])} base units${value.length > 1 ? `, of which ${amountOf(value[1])} held` : ""}`;
    return show(value);
  } catch (error) {
    return error.message;
  }
}

function show(value) {
  if (Array.isArray(value)) return `[${value.map(show).join(", ")}]`;
  if (value instanceof Uint8Array) return value.length ? toHex(value) : "empty";
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
