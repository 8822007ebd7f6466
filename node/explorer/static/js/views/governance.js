// Governance: proposals, parameters, breakers, rule sets, admitted nodes.

import { badge, bar, card, facts, h, note, table } from "../dom.js";
import { percentOfPpm } from "../amounts.js";
import { duration, unix, words } from "../format.js";
import { accountLink, blockLink, money, proposalLink, stakeAsset } from "../ledger.js";
import { attempt, optional } from "../rpc.js";

const PAGE = 50;
export const STATES = { executed: "good", passed: "good", voting: "info", deposit: "", rejected: "bad", vetoed: "bad", failed: "bad", unfunded: "bad", cancelled: "", lapsed: "warn" };

export const title = () => "Governance";

export function view(context) {
  return context.live(async () => {
    const overview = await optional("gov_overview");
    if (!overview) return note("This node has no governance to show.", "warn");
    const count = Number(overview.totals.proposals);
    const [list, stake, nodes] = await Promise.all([
      optional("gov_proposals", { start: Math.max(0, count - PAGE), limit: PAGE }), stakeAsset(), attempt("record", { path: "/nodes" }),
    ]);
    return [
      card(`Proposals (${count})`, table("Proposals", [
        { title: "Number", cell: (row) => proposalLink(row.proposal) },
        { title: "State", cell: (row) => badge(words(row.status), STATES[row.status] ?? "info") },
        { title: "What it does", cell: (row) => h("code", {}, [...new Set(row.ops.map(({ op }) => op))].join(", ")) },
        { title: "Yes", cell: (row) => (row.vote ? bar(row.vote.yes_ppm, percentOfPpm(row.vote.yes_ppm), "yes") : "–") },
        { title: "Turnout", num: true, cell: (row) => (row.vote ? percentOfPpm(row.vote.turnout_ppm) : "–") },
        { title: "Proposer", cell: (row) => accountLink(row.proposer) },
        { title: "Since", cell: (row) => unix(row.start) },
      ], [...(list?.proposals ?? [])].reverse(), "Nobody has proposed anything yet.")),
      overview.breakers.length ? card("Breakers that are tripped", table("Breakers", [
        { title: "Module", cell: (row) => row.module },
        { title: "What", cell: (row) => row.function || "all of it" },
        { title: "Since block", cell: (row) => blockLink(row.since) },
        { title: "Until", cell: (row) => (row.until ? unix(row.until) : "it is reset") },
      ], overview.breakers)) : null,
      card("Deposits", facts([
        ["Held now", money(overview.totals.held, stake)],
        ["Given back", money(overview.totals.refunded, stake)],
        ["Burned", money(overview.totals.burned, stake)],
      ])),
      card("Rules", facts(rules(overview.params, stake))),
      overview.rule_sets.length ? card("Rule sets", table("Rule sets", [
        { title: "Version", num: true, cell: (row) => row.version },
        { title: "From block", cell: (row) => row.height },
        { title: "Release", cell: (row) => row.release },
      ], overview.rule_sets)) : null,
      nodes?.record?.nodes?.length ? card("Nodes that may connect", h("ul", { class: "plain" }, nodes.record.nodes.map((id) => h("li", { class: "mono wrap" }, id)))) : null,
    ];
  }, 4_000);
}

function rules(params, stake) {
  return Object.entries(params).map(([name, value]) => {
    const label = words(name.replace(/_(ppm|s)$/, ""));
    if (name.endsWith("_ppm")) return [label, percentOfPpm(value)];
    if (name.endsWith("_s")) return [label, duration(value)];
    if (name === "deposit_min") return [label, money(value, stake)];
    if (name === "emergency_group") return [label, accountLink(value)];
    return [label, String(value)];
  });
}
