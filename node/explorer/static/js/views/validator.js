// One validator: keys, stake, votes missed, the last blocks it signed.

import { badge, bar, card, facts, h, note, table } from "../dom.js";
import { percentOfPpm } from "../amounts.js";
import { short, unix } from "../format.js";
import { accountLink, blockLink, money, stakeAsset, stakeParams } from "../ledger.js";
import { tipHeight } from "../live.js";
import { call, optional } from "../rpc.js";
import { blockRows } from "../blocks.js";
import { slashed, stateBadge, uptime } from "./validators.js";
import { recordCheck } from "./proof.js";

const BLOCKS = 40;

export const title = ({ args }) => `Validator ${short(args[0])}`;

export async function view(context) {
  const id = context.args[0];
  if (!/^[0-9a-fA-F]{40}$/.test(id)) return note("A validator's id has 40 hex digits.", "bad");
  const found = await optional("stake_validator", { validator: id });
  if (!found?.validator) return note("There is no such validator.", "bad");
  const row = found.validator;
  const [params, stake, status] = await Promise.all([stakeParams(), stakeAsset(), call("status")]);
  const votes = uptime(row, params, tipHeight() || Number(status.sync_info.latest_block_height));
  return h("div", {},
    card(row.moniker, row.details ? h("p", {}, row.details) : null, facts([
      ["State", [stateBadge(row), row.jailed ? ` jailed until ${unix(row.jailed_until)}` : "", row.tombstoned ? " for good: it was proved to have signed twice" : ""]],
      ["Power", `${row.power}${row.wanted_power !== row.power ? ` (${row.wanted_power} soon)` : ""}`],
      ["Bonded", money(row.tokens, stake)],
      ["Of its owner", money(row.self_bond, stake)],
      ["Votes given", bar(votes.ppm, `${percentOfPpm(votes.ppm)}: ${votes.missed} of the last ${votes.window} missed`, "votes given")],
      ["Jailed when", `more than ${percentOfPpm(params.downtime_missed_max_ppm ?? 0)} of ${params.downtime_window ?? 0} votes are missed`],
      ["Slashed so far", slashed(row)],
      ["Commission", percentOfPpm(row.commission_ppm)],
      ["Commission owed", money(row.commission_owed, stake)],
      ["Owner", accountLink(row.owner, true)],
      ["Id", h("span", { class: "mono wrap" }, row.validator)],
      ["Address that votes", h("span", { class: "mono wrap" }, row.address)],
      ["Ed25519 key", h("span", { class: "mono wrap" }, row.ed25519_key ?? "–")],
      ["Post-quantum key", h("span", { class: "mono" }, `${row.pq_kind} ${short(row.pq_key ?? "", 16, 16)}`)],
      ["Since block", row.start_height ? blockLink(row.start_height) : "the beginning"],
    ])),
    context.live(() => signed(row), 3_000),
    recordCheck(`/validator/${row.validator}`, "Check this validator's record in the browser"));
}

async function signed(row) {
  const rows = await blockRows(BLOCKS);
  const address = row.address.toUpperCase();
  const marks = rows.map((block) => ({ height: block.height, part: block.signatures.find((part) => part.validator_address === address), proposed: block.proposer === address }));
  const here = marks.filter((mark) => mark.part);
  return card(`Last ${rows.length} blocks`, h("p", {}, `Signed ${here.filter((mark) => mark.part.block_id_flag === 2).length} of them, proposed ${marks.filter((mark) => mark.proposed).length}.`),
    table("Last blocks", [
      { title: "Block", cell: (mark) => blockLink(mark.height) },
      { title: "Vote", cell: (mark) => (mark.part ? (mark.part.block_id_flag === 2 ? badge("signed", "good") : badge("nil", "warn")) : badge("absent", "bad")) },
      { title: "Proposer", cell: (mark) => (mark.proposed ? badge("proposed", "info") : "") },
    ], marks.slice(0, 12)));
}
