// One proposal: what it would do, how the vote stands, who voted how.

import { badge, bar, card, facts, h, note, table } from "../dom.js";
import { formatUnits, percentOfPpm } from "../amounts.js";
import { duration, unix, words } from "../format.js";
import { accountLink, money, stakeAsset } from "../ledger.js";
import { showOperations } from "../operations.js";
import { call } from "../rpc.js";
import { STATES } from "./governance.js";
import { recordCheck } from "./proof.js";

const OPTIONS = ["yes", "no", "abstain", "veto"];
const PPM = 6; // a tally is in parts per million of a unit of power, because a vote can be split

export const title = ({ args }) => `Proposal ${args[0]}`;

export async function view(context) {
  const number = context.args[0];
  if (!/^[0-9]{1,18}$/.test(number)) return note("A proposal has a number.", "bad");
  return h("div", {}, context.live(() => proposalNow(number), 3_000), recordCheck(`/proposal/${number}`, "Check this proposal's record in the browser"));
}

async function proposalNow(number) {
  const [{ proposal }, stake] = await Promise.all([call("gov_proposal", { proposal: number }), stakeAsset()]);
  if (!proposal) return note("There is no such proposal.", "bad");
  const vote = proposal.vote;
  return [
    card("", facts([
      ["State", badge(words(proposal.status), STATES[proposal.status] ?? "info")],
      proposal.failure && ["Why it failed", `${proposal.failure.code} ${proposal.failure.code_name} at operation ${proposal.failure.operation}`],
      ["Proposer", accountLink(proposal.proposer, true)],
      ["Kind", proposal.expedited ? "expedited" : "ordinary"],
      ["Hash of its title", h("span", { class: "mono wrap" }, proposal.title_hash)],
      ["Began", unix(proposal.start)],
      ["Next moment", unix(proposal.due)],
      proposal.ready ? ["May be executed from", unix(proposal.ready)] : null,
      proposal.done ? ["Done", unix(proposal.done)] : null,
      proposal.deposits.length ? ["Deposits", proposal.deposits.map((row) => h("div", {}, money(row.amount, stake), " of ", accountLink(row.account)))] : null,
    ])),
    card("What it does", showOperations(proposal.ops, { stakeAsset: stake })),
    vote ? card("Vote", facts([
      ...OPTIONS.map((option) => [words(option), bar(shareOf(vote[option], vote.power), `${formatUnits(vote[option], PPM)} of ${vote.power}`, option)]),
      ["Turnout", `${percentOfPpm(vote.turnout_ppm)}; ${percentOfPpm(vote.quorum_ppm)} are needed`],
      ["Yes", `${percentOfPpm(vote.yes_ppm)} of yes, no and veto; ${percentOfPpm(vote.threshold_ppm)} are needed, ${percentOfPpm(vote.veto_ppm)} veto stops it`],
      ["It would be", badge(words(vote.would), STATES[vote.would] ?? "")],
      ["Then waits", `${duration(vote.delay_s)}, and may be executed for ${duration(vote.execute_s)}`],
    ]), h("h3", {}, "Votes"), table("Votes", [
      { title: "Account", cell: (row) => accountLink(row.account) },
      { title: "Power", num: true, cell: (row) => row.power },
      { title: "Vote", cell: (row) => OPTIONS.filter((option) => row[`${option}_ppm`]).map((option) => badge(row[`${option}_ppm`] === 1_000_000 ? option : `${option} ${percentOfPpm(row[`${option}_ppm`])}`, option === "yes" ? "good" : option === "abstain" ? "" : "bad")) },
    ], proposal.votes, "Nobody has voted yet.")) : null,
  ];
}

const shareOf = (tally, power) => (power === "0" ? 0 : Number(BigInt(tally) / BigInt(power)));
