// The swap simulator: what a swap would give in the next block, by the node's own execution (`amm_quote`), and how it moves the price.

import { divide, percentOfPpm, toUnits } from "./amounts.js";
import { card, facts, field, fill, h, note } from "./dom.js";
import { money, scaleOf } from "./ledger.js";
import { attempt } from "./rpc.js";

const WAIT_MS = 250;

/** A form for a pool. */
export function simulator(pool) {
  const side = h("select", { name: "side" }, ["swap_in", "swap_out"].flatMap((operation) => [[pool.asset_a, pool.asset_b], [pool.asset_b, pool.asset_a]].map(([from, to]) =>
    h("option", { value: `${operation}|${from}|${to}` }, operation === "swap_in" ? `pay this much ${from}, get ${to}` : `get this much ${to}, pay ${from}`))));
  const amount = h("input", { name: "amount", inputmode: "decimal", autocomplete: "off", placeholder: "0.00", value: "100" });
  const answer = h("div", { "aria-live": "polite", class: "answer" });
  let timer = 0;
  let turn = 0;
  const ask = async () => {
    const mine = ++turn;
    const shown = await quote(side.value.split("|"), amount.value);
    if (mine === turn) fill(answer, shown);
  };
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(ask, WAIT_MS);
  };
  side.addEventListener("change", ask);
  amount.addEventListener("input", later);
  ask();
  return card("Swap simulator", h("form", { class: "fields", on: { submit: (event) => { event.preventDefault(); ask(); } } },
    field("Swap", side), field("Amount", amount)), answer, h("p", { class: "small" }, "Nothing is sent. The numbers are those of executing the swap in the next block, fee included."));
}

async function quote([operation, from, to], text) {
  const code = operation === "swap_in" ? from : to;
  let units;
  try {
    units = toUnits(text || "0", scaleOf(code));
  } catch (error) {
    return note(error.message, "warn");
  }
  if (units === "0") return note("Say how much.", "info");
  const found = await attempt("amm_quote", { operation, target: `${from},${to}`, amount: units });
  if (!found) return note("The node gives no quote for this.", "warn");
  const { quote: result } = found;
  if (result.code) return note(`This swap would fail: ${result.code} ${result.code_name} ${result.log}`, "bad");
  const [paid, got] = [result.pays[from], result.gets[to]];
  return facts([
    ["Pays", money(paid, from)],
    ["Gets", h("strong", {}, money(got, to))],
    ["Price paid", `${perUnit(paid, from, got, to)} ${to} for 1 ${from}`],
    ["Price impact", h("span", { class: result.price_impact.ppm > 50_000 ? "badge bad" : result.price_impact.ppm > 10_000 ? "badge warn" : "badge good" }, percentOfPpm(result.price_impact.ppm))],
    ["Cost against the price of now", percentOfPpm(result.cost.ppm)],
  ]);
}

function perUnit(paid, from, got, to) {
  const [n, d] = [BigInt(got) * 10n ** BigInt(scaleOf(from)), BigInt(paid) * 10n ** BigInt(scaleOf(to))];
  return divide(n, d, Math.max(0, 10 - (n.toString().length - d.toString().length)));
}
