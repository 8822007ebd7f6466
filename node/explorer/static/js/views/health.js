// How this node is doing: a score of which each point names the figure it comes from, and those figures.

import { badge, bar, card, facts, h, table } from "../dom.js";
import { count, millis, utc } from "../format.js";
import { call } from "../rpc.js";
import { blockRows } from "../blocks.js";
import { chart } from "../charts.js";

const BLOCKS = 60;

export const title = () => "Health of this node";

export function view(context) {
  return [context.live(score, 5_000), context.live(intervals, 15_000)];
}

async function score() {
  const [status, health, alerts, pool] = await Promise.all([call("status"), call("node_health"), call("node_alerts"), call("num_unconfirmed_txs")]);
  const sum = Math.round(health.score);
  const kind = sum >= 90 && !health.firing.length ? "good" : sum >= 60 ? "warn" : "bad";
  const power = status.validator_info.voting_power;
  return [
    h("section", { class: `card score ${kind}` }, h("p", { class: "big" }, h("strong", {}, sum), " of 100"), h("p", {}, { good: "This node is well.", warn: "Something needs a look.", bad: "This node is not well." }[kind])),
    card("Where the points come from", table("Points", [
      { title: "Part", cell: (row) => row.name },
      { title: "Points", cell: (row) => bar((1_000_000 * row.points) / row.of, `${row.points} of ${row.of}`, row.name) },
      { title: "Figure", num: true, cell: (row) => String(row.value) },
      { title: "What it is", cell: (row) => row.text },
      { title: "Metric", cell: (row) => h("span", { class: "mono" }, row.metric) },
    ], health.parts), h("p", { class: "small" }, "The node adds up the points itself; the formula stands in docs/monitoring.md.")),
    card("Alerts that fire", table("Alerts", [
      { title: "Alert", cell: (row) => row.alert },
      { title: "Severity", cell: (row) => badge(row.severity, row.severity === "critical" ? "bad" : "warn") },
      { title: "Since", cell: (row) => utc(new Date(1_000 * row.since).toISOString()) },
      { title: "Figure", cell: (row) => h("span", { class: "mono" }, `${row.metric} ${row.value}`) },
      { title: "What to do", cell: (row) => row.text },
    ], alerts.firing, "None.")),
    card("This node", facts([
      ["Name", status.node_info.moniker],
      ["Version", status.node_info.other.qenex_version],
      ["Height", `${count(status.sync_info.latest_block_height)} at ${utc(status.sync_info.latest_block_time)}`],
      ["Kept from block", count(status.sync_info.earliest_block_height)],
      ["Voting power", power === "0" ? "none: this node follows the chain and does not vote" : count(power)],
      ["Waiting transactions", `${count(pool.total)} (${count(pool.total_bytes)} bytes)`],
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
