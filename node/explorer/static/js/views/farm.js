// Farms; one farm with its tiers, rewards and yields.

import { bar, badge, card, facts, h, note, table } from "../dom.js";
import { divide, formatUnits, percentOf } from "../amounts.js";
import { duration, unix } from "../format.js";
import { accountLink, assetLink, blockLink, farmLink, loadScales, money } from "../ledger.js";
import { call, optional } from "../rpc.js";
import { recordCheck } from "./proof.js";

const PAGE = 100;

/** The list. */
export const list = {
  title: () => "Farms",
  view: (context) => context.live(async () => {
    const found = await optional("farms", { start: 0, limit: PAGE });
    if (!found) return note("This node does not list farms.", "warn");
    return card("", table("Farms", [
      { title: "Farm", cell: (row) => farmLink(row.farm) },
      { title: "State", cell: state },
      { title: "Staked", num: true, cell: (row) => money(row.staked, row.stake_asset) },
      { title: "Stakers", num: true, cell: (row) => row.stakers },
      { title: "Rewards left", num: true, cell: (row) => row.rewards.map((reward) => h("div", {}, money(reward.unreleased, reward.reward_asset))) },
      { title: "Ends", cell: (row) => unix(row.end) },
    ], found.farms, "Nobody has opened a farm yet."));
  }, 3_000),
};

const state = (row) => (row.has_ended ? badge("over") : badge("running", "good"));

export const title = ({ args }) => `Farm ${args[0]}`;

export async function view(context) {
  const number = context.args[0];
  if (!/^[0-9]{1,18}$/.test(number)) return note("Farms are numbered from 0.", "bad");
  const { farm } = await call("farm", { farm: number });
  if (!farm) return note("There is no such farm.", "bad");
  await loadScales(farm.stake_asset, ...farm.reward_assets);
  return h("div", {}, context.live(() => farmNow(number), 3_000), recordCheck(`/farm/${number}`, "Check this farm's record in the browser"));
}

async function farmNow(number) {
  const { farm } = await call("farm", { farm: number });
  return [
    card("", facts([
      ["State", state(farm)],
      ["Stake", assetLink(farm.stake_asset)],
      ["Staked", money(farm.staked, farm.stake_asset)],
      ["Stakers", farm.max_stakers ? `${farm.stakers} of at most ${farm.max_stakers}` : farm.stakers],
      ["Least stake", money(farm.min_stake, farm.stake_asset)],
      ["Sponsor", accountLink(farm.sponsor)],
      ["Who may stake", farm.domain ? `members of the domain ${farm.domain}` : "everybody"],
      ["Ends", unix(farm.end)],
      ["Since", blockLink(farm.start_height)],
    ])),
    farm.rewards.map((reward) => card(`Reward in ${reward.reward_asset}`,
      bar(Number(reward.budget) ? Number((1_000_000n * BigInt(reward.released)) / BigInt(reward.budget)) : 0, `${percentOf(reward.released, reward.budget)} released`, "released"),
      facts([
        ["Budget", money(reward.budget, reward.reward_asset)],
        ["Paid out", money(reward.paid, reward.reward_asset)],
        ["Still to come", money(reward.unreleased, reward.reward_asset)],
        ["Nobody's", money(reward.unallocated, reward.reward_asset)],
        ["From", `${unix(reward.start)} to ${unix(reward.end)}`],
      ]))),
    card("Tiers", table("Tiers", [
      { title: "Locked for", cell: (row) => (row.seconds ? duration(row.seconds) : "no lock") },
      { title: "Weight", num: true, cell: (row) => `${formatUnits(String(row.weight_ppm), 6)}×` },
      { title: "Yield a year now, for one unit staked", num: true, cell: (row) => yields(farm, row.number) },
    ], farm.lock_tiers.map((tier, i) => ({ ...tier, number: i })))),
  ];
}

// An exact fraction in base units becomes one in units by the two scales; no price goes into it.
function yields(farm, tier) {
  return farm.rewards.map((reward) => {
    const found = reward.yields_per_year[tier];
    if (!found) return h("div", {}, "–");
    const n = BigInt(found.numerator) * 10n ** BigInt(farm.scale);
    const d = BigInt(found.denominator) * 10n ** BigInt(reward.scale);
    return h("div", {}, `${divide(n, d, 6)} ${reward.reward_asset}`);
  });
}
