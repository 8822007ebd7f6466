"""Many cores, many seeds: everybody decides the same blocks, nobody honest contradicts itself, and all get there once it is calm.

`python -m tests.consensus.test_network FIRST LAST` runs a longer range. A seed that fails goes to `KNOWN_SEEDS` for ever.
"""

from __future__ import annotations

import sys

import pytest

from tests.consensus.network import Faults, Network, make_network

HEIGHTS = 20
KNOWN_SEEDS: tuple[int, ...] = ()
SEEDS = (*KNOWN_SEEDS, *range(24))
KINDS = {"honest": {}, "twins": {"twins": True}, "lost logs": {"lose_log": True}}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_cores_agree(seed: int, kind: str) -> None:
    make_network(seed, **KINDS[kind]).run(HEIGHTS)


def test_a_quiet_network_decides_every_height_in_round_zero() -> None:
    network = Network(1, (1, 1, 1, 1), Faults(slow_ms=2))
    network.run(40)
    assert set(network.rounds) == {0}
    assert network.evidence == []


def test_the_same_seed_is_the_same_run() -> None:
    first, second = make_network(5, twins=True), make_network(5, twins=True)
    first.run(6)
    second.run(6)
    assert first.now_ns == second.now_ns
    assert first.spoken == second.spoken


def test_sometimes_the_hard_parts_are_reached() -> None:
    """Zero failures mean nothing if the rules of locking were never needed."""
    reached: dict[str, int] = {}
    rounds: dict[int, int] = {}
    reported = 0
    for seed in range(8):
        network = Network(seed, (1, 1, 1, 1), Faults(loss=0.1, cut=0.55, crash=0.3, lose_log=True))
        network.run(12)
        twins = Network(seed, (1, 1, 1, 1), Faults(cut=0.3, twins=True))
        twins.run(8)
        reported += len(twins.evidence)
        for part in (network, twins):
            for what in part.seen:
                reached[what] = reached.get(what, 0) + 1
            for round_, count in part.rounds.items():
                rounds[round_] = rounds.get(round_, 0) + count
    assert set(reached) == {"proposed again", "decided another round than its own", "abstained"}
    assert any(round_ >= 2 for round_ in rounds)
    assert reported > 0


if __name__ == "__main__":
    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        for name, options in KINDS.items():
            print(f"seed {number} {name}", flush=True)
            make_network(number, **options).run(HEIGHTS)
