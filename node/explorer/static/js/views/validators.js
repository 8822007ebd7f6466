// Every registered validator: power, votes missed, state.

import { bar, badge, card, h, note, table } from "../dom.js";
import { percentOf, percentOfPpm } from "../amounts.js";
import { money, stakeAsset, stakeParams, stakeValidators, validatorLink } from "../ledger.js";
import { tipHeight } from "../live.js";
import { chart } from "../charts.js";
import { blockRows } from "../blocks.js";

const STATES = { bonded: "good", waiting: "", jailed: "warn", tombstoned: "bad" };
const BLOCKS = 60;

export const title = () => "Validators";

/** Votes given of those looked at, in parts per million, and in words. */
export function uptime(row, params, tip) {
  const window = Math.max(1, Math.min(params.downtime_window ?? 1, tip - row.start_height));
  const missed = Math.min(window, row.missed_votes);
  return { ppm: Math.floor((1e6 * (window - missed)) / window), missed, window };
}

/** What a share has lost, in percent: shares are made one for one, and nothing but a slash makes one worth less. */
export function slashed(row) {
  const [shares, tokens] = [BigInt(row.shares), BigInt(row.tokens)];
  return shares > tokens ? badge(percentOf(String(shares - tokens), row.shares), "bad") : "0 %";
}

export const stateBadge = (row) => badge(row.status, STATES[row.status] ?? "");

export function view(context) {
  return [context.live(async () => {
    const [rows, params, stake] = await Promise.all([stakeValidators(), stakeParams(), stakeAsset()]);
    if (!rows.length) return note("This node does not list validators.", "warn");
    const total = rows.reduce((sum, row) => sum + BigInt(row.power), 0n);
    const sorted = [...rows].sort((a, b) => Number(BigInt(b.power) - BigInt(a.power)) || (a.moniker < b.moniker ? -1 : 1));
    return card("", table("Validators", [
      { title: "Validator", cell: validatorLink },
      { title: "State", cell: stateBadge },
      { title: "Power", num: true, cell: (row) => row.power },
      { title: "Share", cell: (row) => bar(total ? Number((1_000_000n * BigInt(row.power)) / total) : 0, percentOf(row.power, String(total)), "share of the power") },
      { title: "Bonded", num: true, cell: (row) => money(row.tokens, stake) },
      { title: "Votes given", cell: (row) => {
        const { ppm, missed, window } = uptime(row, params, tipHeight());
        return row.power === "0" ? "–" : bar(ppm, `${percentOfPpm(ppm)} (${missed} of ${window} missed)`, "votes given");
      } },
      { title: "Commission", num: true, cell: (row) => percentOfPpm(row.commission_ppm) },
      { title: "Slashed", num: true, cell: slashed },
    ], sorted), h("p", { class: "small" }, "Slashed is the part of its stake that a validator and those who delegate to it have lost so far: what a share of it is worth less than at its start. Who is proved to have signed twice is tombstoned, who misses too many votes is jailed."));
  }, 3_000), context.live(rounds, 15_000)];
}

async function rounds() {
  const rows = (await blockRows(BLOCKS)).reverse();
  const signed = rows.map((row) => (100 * row.signatures.filter((part) => part.block_id_flag === 2).length) / Math.max(1, row.signatures.length));
  return card(`Validators that signed the last ${rows.length} blocks`, chart("Share of validators that signed each of the last blocks, in percent", {
    x: rows.map((row) => row.height), series: [{ label: "signed, %", values: signed, kind: "bars" }], isTime: false, yLabel: "% signed", xLabel: "height", yMax: 100,
  }));
}
