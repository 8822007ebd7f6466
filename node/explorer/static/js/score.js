// The health score of a node: 100 points, each of which names the figure that earns it (docs/explorer.md). Figures come from the RPC alone,
// so what it does not say, such as free disk space, earns nothing and costs nothing.

const share = (good, of) => Math.max(0, Math.min(1, of > 0 ? good / of : 0));

/**
 * `figures`: secondsSinceBlock, secondsPerBlock, catchingUp, peers, validators, powerSigned, powerTotal, roundsAboveZero, blocksLookedAt,
 * missedVotes and window (null for a node that does not vote), waiting. Gives [{name, points, of, reason}]; the score is the sum of points
 * scaled to 100.
 */
export function healthParts(figures) {
  const parts = [];
  const add = (name, of, part, reason) => parts.push({ name, of, points: Math.round(of * part), reason });
  const patience = Math.max(5, 5 * figures.secondsPerBlock);
  const late = figures.secondsSinceBlock;
  add("Fresh blocks", 30, 1 - share(late - patience, 11 * patience), `the last block is ${late.toFixed(1)} s old; up to ${patience.toFixed(0)} s is all points, ${(12 * patience).toFixed(0)} s none`);
  add("In step", 15, figures.catchingUp ? 0 : 1, figures.catchingUp ? "the node is catching up" : "the node is at the tip");
  const wanted = Math.min(4, Math.max(0, figures.validators - 1));
  add("Peers", 15, wanted ? share(figures.peers, wanted) : 1, `${figures.peers} peers; ${wanted} are all points`);
  const present = share(Number(figures.powerSigned), Number(figures.powerTotal));
  add("Validators present", 15, share(present - 2 / 3, 1 / 3), `${(100 * present).toFixed(1)} % of the power signed the last block; 100 % is all points, two thirds none`);
  add("Rounds", 10, 1 - share(figures.roundsAboveZero, Math.max(1, figures.blocksLookedAt / 2)), `${figures.roundsAboveZero} of the last ${figures.blocksLookedAt} blocks needed more than one round; none is all points, half of them none`);
  if (figures.window) add("Own votes", 10, 1 - share(figures.missedVotes, Math.max(1, figures.window / 20)), `${figures.missedVotes} votes missed of the last ${figures.window}; none is all points, 5 % none`);
  add("Queue", 5, 1 - share(figures.waiting, 50_000), `${figures.waiting} transactions wait; 50,000 is none of the points`);
  return parts;
}

/** The score, 0 to 100. */
export function healthScore(parts) {
  const of = parts.reduce((sum, part) => sum + part.of, 0);
  return Math.round((100 * parts.reduce((sum, part) => sum + part.points, 0)) / of);
}
