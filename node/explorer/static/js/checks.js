// The list of steps of a check, as a part of a page.

import { card, fill, h, note } from "./dom.js";

const MARKS = { true: ["✓", "good", "holds"], false: ["✗", "bad", "does not hold"], null: ["–", "open", "not checked"] };
const TRUST = "The page takes the validator set's word for the block, and this node's word for the validator set: compare the validators' hash with another operator's node, or use qenex light.";

/** The steps of a `Checklist`, with a mark and what was found. */
export function checklist(list) {
  const verdict = list.isWhole ? note("Every step that a browser can check holds.", "good")
    : list.isGood ? note("What could be checked holds, but not everything could be checked.", "warn")
      : list.steps.some((step) => step.ok === false) ? note("This does not hold. Do not believe what this node shows.", "bad")
        : note("Nothing could be checked in this browser.", "warn");
  return h("div", { class: "checklist", "data-verdict": list.isWhole ? "whole" : list.isGood ? "part" : "no" }, h("ol", {}, list.steps.map((step) => {
    const [mark, kind, word] = MARKS[String(step.ok)];
    return h("li", { class: kind }, h("span", { class: "mark", role: "img", "aria-label": word }, mark),
      h("span", {}, h("strong", {}, step.title), h("span", { class: "detail wrap" }, step.detail)));
  })), verdict, h("p", { class: "small" }, TRUST));
}

/** A card that checks when it is asked to. `show(found)` may add what was proved. */
export function checkButton(text, verify, show = null) {
  const place = h("div", { "aria-live": "polite" });
  const button = h("button", { type: "button", on: { click: run } }, text);
  async function run() {
    button.setAttribute("disabled", "");
    fill(place, h("p", { class: "empty" }, "Checking …"));
    const found = await verify();
    fill(place, checklist(found.list), show && found.list.isGood ? show(found) : null);
    button.removeAttribute("disabled");
  }
  return card("Proof", h("p", { class: "small" }, "Hashes and signatures are computed here, in this browser, from the bytes the node gives."), button, place);
}
