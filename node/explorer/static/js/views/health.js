// How this node is doing: a score of which each point names the figure it comes from, and those figures.

import { bar, card, facts, h, table } from "../dom.js";
import { count, duration, millis, utc } from "../format.js";
import { stakeParams, stakeValidators } from "../ledger.js";
import { call } from "../rpc.js";
import { blockRows } from "../blocks.js";
import { chart } from "../charts.js";
import { healthParts, healthScore } from "../score.js";

const BLOCKS = 60;

export const title = () => "Health of this node";

export function view(context) {
  return [context.live(score, 2_000), context.live(intervals, 15_000)];
}

async function score() {
  const [status, net, validators, pool, rows, registered, params] = await Promise.all([
    call("status"), call("net_info"), call("validators", { per_page: "100" }), call("num_unconfirmed_txs"), blockRows(BLOCKS), stakeValidators(), stakeParams(),
  ]);
  const last = rows[0];
  const powers = new Map(validators.validators.map((row) => [row.address, BigInt(row.voting_power)]));
  const total = [...powers.values()].reduce((sum, power) => sum + power, 0n);
  const signed = (last?.signatures ?? []).filter((part) => part.block_id_flag === 2).reduce((sum, part) => sum + (powers.get(part.validator_address) ?? 0n), 0n);
  const own = registered.find((row) => row.address.toUpperCase() === status.validator_info.address && status.validator_info.voting_power !== "0");
  const seconds = rows.length > 1 ? (millis(rows[0].time) - millis(rows[rows.length - 1].time)) / 1_000 / (rows.length - 1) : 1;
  const parts = healthParts({
    secondsSinceBlock: Math.max(0, (Date.now() - millis(status.sync_info.latest_block_time)) / 1_000),
    secondsPerBlock: seconds,
    catchingUp: status.sync_info.catching_up,
    peers: Number(net.n_peers),
    validators: Number(validators.total),
    powerSigned: signed,
    powerTotal: total,
    roundsAboveZero: rows.filter((row) => row.round > 0).length,
    blocksLookedAt: rows.length,
    missedVotes: own ? own.missed_votes : null,
    window: own ? Math.max(1, Math.min(params.downtime_window ?? 1, Number(status.sync_info.latest_block_height) - own.start_height)) : null,
    waiting: Number(pool.total),
  });
  const sum = healthScore(parts);
  const kind = sum >= 90 ? "good" : sum >= 60 ? "warn" : "bad";
  return [
    h("section", { class: `card score ${kind}` }, h("p", { class: "big" }, h("strong", {}, sum), " of 100"), h("p", {}, { good: "This node is well.", warn: "Something needs a look.", bad: "This node is not well." }[kind])),
    card("Where the points come from", table("Points", [
      { title: "Part", cell: (row) => row.name },
      { title: "Points", cell: (row) => bar((1_000_000 * row.points) / row.of, `${row.points} of ${row.of}`, row.name) },
      { title: "Why", cell: (row) => row.reason },
    ], parts), h("p", { class: "small" }, "The score is the points earned of those that could be, scaled to 100. The formula stands in docs/explorer.md. The RPC does not tell about disk and memory; the metrics endpoint does.")),
    card("This node", facts([
      ["Name", status.node_info.moniker],
      ["Version", status.node_info.other.qenex_version],
      ["Height", `${count(status.sync_info.latest_block_height)} at ${utc(status.sync_info.latest_block_time)}`],
      ["Kept from block", count(status.sync_info.earliest_block_height)],
      ["Running for a validator", own ? own.moniker : "no: this node follows the chain and does not vote"],
      ["Waiting transactions", `${count(pool.total)} (${count(pool.total_bytes)} bytes)`],
      ["Seconds per block", `${seconds.toFixed(2)} over the last ${duration(seconds * rows.length)}`],
    ])),
  ];
}

async function intervals() {
  const rows = (await blockRows(BLOCKS)).reverse();
  if (rows.length < 3) return null;
  const gaps = rows.slice(1).map((row, i) => (millis(row.time) - millis(rows[i].time)) / 1_000);
  return card("Seconds between blocks", chart("Seconds between the last blocks", {
    x: rows.slice(1).map((row) => row.height), series: [{ label: "seconds", values: gaps, kind: "bars" }], isTime: false, yLabel: "s", xLabel: "height",
  }));
}
