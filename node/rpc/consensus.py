"""Methods about who decides and how far it is: validators, parameters, rounds and votes. Words and numbers are CometBFT's."""

from __future__ import annotations

from typing import Any, Final

from consensus.block_id import BlockID
from consensus.commit import Commit, Flag
from consensus.height import HeightState
from consensus.messages import Step
from consensus.vote import Vote, VoteType
from consensus.votes import Tally
from node.rpc import shapes
from node.rpc.backend import NodeBackend
from node.rpc.errors import failed
from node.rpc.paging import page_of
from state.primitives.canonical import GO_ZERO_TIME_NS, NS_PER_S
from state.validators import ValidatorSet

Json = Any
_NS_PER_MS: Final = NS_PER_S // 1_000
_NEW_HEIGHT: Final = 1  # of CometBFT's eight steps
_STEPS: Final = {Step.PROPOSE: 3, Step.PREVOTE: 4, Step.PRECOMMIT: 6, Step.COMMIT: 8}  # its waits are part of ours
_TYPES: Final = {
    VoteType.PREVOTE: "SIGNED_MSG_TYPE_PREVOTE(Prevote)",
    VoteType.PRECOMMIT: "SIGNED_MSG_TYPE_PRECOMMIT(Precommit)",
}
_NO_VOTE: Final = "nil-Vote"
_FINGERPRINT_BYTES: Final = 6


def latest_known(backend: NodeBackend, height: int | None) -> int:
    """A height of which validators and parameters are known, None being the one in progress. Raises `RpcError`."""
    coming = backend.next_height()
    if height is None:
        return coming - 1 if backend.engine.catching_up and backend.has_blocks() else coming
    if not max(backend.document.initial_height, backend.store.base_height()) <= height <= coming:
        raise failed(f"height {height} is not available: blocks {backend.store.base_height()} to {backend.height} are, and the next")
    return height


async def validators(backend: NodeBackend, height: int | None, page: int, per_page: int) -> Json:
    """The set that votes on a height, by default the one in progress; the one after it is known as well."""
    coming = backend.next_height()
    if height != coming + 1:
        height = latest_known(backend, height)
    found = backend.validators_at(height)
    tip = backend.executor.state.tip
    priorities = tip.priorities if found == tip.validators else (0,) * len(found)
    rows = [shapes.validator(v, p) for v, p in zip(found.validators, priorities, strict=True)]
    start, end = page_of(page, per_page, len(rows))
    return {
        "block_height": str(height),
        "validators": rows[start:end],
        "count": str(end - start),
        "total": str(len(rows)),
    }


async def consensus_params(backend: NodeBackend, height: int | None) -> Json:
    """The parameters in force at a height, by default the one in progress."""
    height = latest_known(backend, height)
    return {"block_height": str(height), "consensus_params": shapes.consensus_params(backend.params_at(height))}


async def consensus_state(backend: NodeBackend) -> Json:
    """Where the core is, in short. `started`, `locked_round` and `valid_round` are ours."""
    found = _in_progress(backend)
    if found is None:
        round_state = _waiting(backend)
        round_state |= {"proposal_block_hash": "", "locked_block_hash": "", "valid_block_hash": "", "height_vote_set": []}
        proposer = {"address": "", "index": -1}
        return {"round_state": round_state | {"proposer": proposer, "started": False, "locked_round": -1, "valid_round": -1}}
    state, lock = found.state, found.state.lock
    proposer_address = found.proposer(state.round).address
    return {
        "round_state": {
            "height/round/step": f"{found.height}/{state.round}/{_STEPS[state.step]}",
            "start_time": _start_time(backend),
            "proposal_block_hash": _hash(_proposed(found)),
            "locked_block_hash": _hash(lock.locked_value),
            "valid_block_hash": _hash(lock.valid_value),
            "height_vote_set": _votes(found),
            "proposer": {
                "address": shapes.hexed(proposer_address),
                "index": found.validators.index_of(proposer_address),
            },
            "started": True,
            "locked_round": lock.locked_round,
            "valid_round": lock.valid_round,
        }
    }


async def dump_consensus_state(backend: NodeBackend) -> Json:
    """Where the core and its peers are, whole: proposal, blocks, votes. `commit_time` is the time of the last block."""
    found = _in_progress(backend)
    tip = backend.executor.state.tip
    coming = backend.next_height()
    validators_now = _validator_set(tip.validators, tip.priorities, tip.validators.validators[0].address)
    if found is not None:
        address = found.proposer(found.state.round).address
        validators_now = _validator_set(found.validators, found.start.proposer_priorities, address)
    before = backend.validators_at(coming - 1) if backend.has_blocks() else None
    round_state = {
        "height": str(coming),
        "round": 0,
        "step": _NEW_HEIGHT,
        "start_time": _start_time(backend),
        "commit_time": shapes.time_text(tip.last_block_time_ns if backend.has_blocks() else GO_ZERO_TIME_NS),
        "validators": validators_now,
        "proposal": None,
        **_blocks(found),
        "votes": [],
        "commit_round": -1,
        "last_commit": _last_commit(backend.seen_commit_at(coming - 1)[0], before) if before is not None else None,
        "last_validators": None if before is None else _validator_set(before, (0,) * len(before), before.validators[0].address),
        "triggered_timeout_precommit": False,
    }
    if found is not None:
        proposals = found.proposals(found.state.round)
        round_state["round"], round_state["step"] = found.state.round, _STEPS[found.state.step]
        round_state["proposal"] = shapes.proposal(proposals[0]) if proposals else None
        round_state["votes"] = _votes(found)
    return {"round_state": round_state, "peers": _peers(backend)}


def _in_progress(backend: NodeBackend) -> HeightState | None:
    driver = backend.engine.driver
    return driver.core.view if driver.started and driver.core.height else None


def _waiting(backend: NodeBackend) -> dict[str, Any]:
    return {"height/round/step": f"{backend.next_height()}/0/{_NEW_HEIGHT}", "start_time": _start_time(backend)}


def _start_time(backend: NodeBackend) -> str:
    tip = backend.executor.state.tip
    return shapes.time_text(tip.last_block_time_ns + tip.params.block_interval_ms * _NS_PER_MS)


def _proposed(found: HeightState) -> BlockID | None:
    proposals = found.proposals(found.state.round)
    return proposals[0].block_id if proposals and proposals[0].block_id in found.blocks else None


def _hash(value: BlockID | None) -> str:
    return "" if value is None else shapes.hexed(value.hash)


def _blocks(found: HeightState | None) -> dict[str, Any]:
    lock = None if found is None else found.state.lock
    values = (
        ("proposal", None if found is None else _proposed(found)),
        ("locked", None if lock is None else lock.locked_value),
        ("valid", None if lock is None else lock.valid_value),
    )
    out: dict[str, Any] = {
        "locked_round": -1 if lock is None else lock.locked_round,
        "valid_round": -1 if lock is None else lock.valid_round,
    }
    for name, value in values:
        block = None if found is None or value is None else found.blocks.get(value)
        out[f"{name}_block"] = None if block is None else shapes.block(block)
        out[f"{name}_block_parts"] = None if value is None or block is None else _parts(value)
    return out


def _parts(value: BlockID) -> Json:
    """A block is here whole or not at all."""
    return {"count/total": f"{value.parts_total}/{value.parts_total}", "parts_bit_array": "x" * value.parts_total}


def _validator_set(found: ValidatorSet, priorities: tuple[int, ...], proposer_address: bytes) -> Json:
    rows = [shapes.validator(v, p) for v, p in zip(found.validators, priorities, strict=True)]
    return {"validators": rows, "proposer": rows[found.index_of(proposer_address)]}


def _votes(found: HeightState) -> list[Json]:
    """Each round until now."""
    out = []
    for round_ in range(found.state.round + 1):
        row: dict[str, Any] = {"round": round_}
        for name, kind in (("prevotes", VoteType.PREVOTE), ("precommits", VoteType.PRECOMMIT)):
            votes = (found.votes.tally(round_, kind) or Tally()).first_votes()
            row[name] = [_vote_text(votes.get(index)) for index in range(len(found.validators))]
            row[f"{name}_bit_array"] = _bits(found.validators, [index in votes for index in range(len(found.validators))])
        out.append(row)
    return out


def _vote_text(vote: Vote | None) -> str:
    if vote is None:
        return _NO_VOTE
    block_hash = b"" if vote.block_id is None else vote.block_id.hash
    return _text_of(
        vote.validator_index, vote.validator_address, vote.height, vote.round, vote.type, block_hash, vote.signature, vote.time_ns
    )


def _text_of(
    index: int, address: bytes, height: int, round_: int, kind: VoteType, block_hash: bytes, signature: bytes, time_ns: int
) -> str:
    """Votes have no extension here."""
    marks = " ".join(_fingerprint(data) for data in (block_hash, signature, b""))
    return f"Vote{{{index}:{_fingerprint(address)} {height}/{round_:02d}/{_TYPES[kind]} {marks} @ {shapes.time_text(time_ns)}}}"


def _fingerprint(data: bytes) -> str:
    return shapes.hexed(data[:_FINGERPRINT_BYTES].ljust(_FINGERPRINT_BYTES, b"\0"))


def _bits(found: ValidatorSet, there: list[bool]) -> str:
    power = sum(validator.power for validator, has_voted in zip(found.validators, there, strict=True) if has_voted)
    marks = "".join("x" if has_voted else "_" for has_voted in there)
    return f"BA{{{len(there)}:{marks}}} {power}/{found.total_power} = {power / found.total_power:.2f}"


def _last_commit(commit: Commit, found: ValidatorSet) -> Json:
    votes = []
    for index, part in enumerate(commit.signatures):
        if part.flag is Flag.ABSENT:
            votes.append(_NO_VOTE)
            continue
        block_hash = commit.block_id.hash if part.flag is Flag.COMMIT else b""
        kind = VoteType.PRECOMMIT
        place = (index, part.validator_address, commit.height, commit.round, kind)
        votes.append(_text_of(*place, block_hash, part.signature, part.time_ns))
    there = [part.flag is not Flag.ABSENT for part in commit.signatures]
    return {"votes": votes, "votes_bit_array": _bits(found, there), "peer_maj_23s": {}}


def _peers(backend: NodeBackend) -> list[Json]:
    """What a peer's last summary says; which votes and parts it has is not told one by one, and so unknown (null)."""
    heights = backend.engine.gossip.peer_heights()
    out = []
    for peer in backend.switch.peers():
        height, round_, step = heights.get(peer.id, (peer.height, -1, 0))
        known = _STEPS[Step(step)] if step in tuple(Step) else _NEW_HEIGHT
        round_state = {
            "height": str(height),
            "round": round_,
            "step": known,
            "start_time": shapes.time_text(GO_ZERO_TIME_NS),
            "proposal": False,
            "proposal_block_part_set_header": {"total": 0, "hash": ""},
            "proposal_block_parts": None,
            "proposal_pol_round": -1,
            "proposal_pol": None,
            "prevotes": None,
            "precommits": None,
            "last_commit_round": -1,
            "last_commit": None,
            "catchup_commit_round": -1,
            "catchup_commit": None,
        }
        state = {"round_state": round_state, "stats": {"votes": "0", "block_parts": "0"}}
        out.append({"node_address": f"{peer.id}@{peer.address}", "peer_state": state})
    return out
