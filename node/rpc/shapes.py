"""The JSON of CometBFT 0.38: which numbers are strings, which bytes are hex or base64. Translation only; docs/encodings.md has the table.

int64 are strings, hex is upper case, base64 is padded, times are RFC 3339 with trailing zeros trimmed; an absent signature is null.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any, Final

from consensus.block import BLOCK_PROTOCOL, Block, BlockID, Header
from consensus.commit import Commit, Flag
from consensus.evidence import (
    DuplicateProposalEvidence,
    DuplicateVoteEvidence,
    Evidence,
    LightClientAttackEvidence,
    LightValidator,
)
from consensus.validation import GAS_MAX
from consensus.vote import PROPOSAL_TYPE, Proposal, Vote
from state.params import ConsensusParams
from state.primitives.canonical import NS_PER_S
from state.primitives.merkle import Proof
from state.receipts import Event, Receipt
from state.validators import Validator, ValidatorSet

Json = Any
_DAY_S: Final = 86_400


def b64(data: bytes) -> str:
    """Padded base64."""
    return base64.b64encode(data).decode("ascii")


def hexed(data: bytes) -> str:
    """Upper-case hex."""
    return data.hex().upper()


def time_text(time_ns: int) -> str:
    """RFC 3339 in UTC, years 1 to 9999."""
    seconds, nanos = divmod(time_ns, NS_PER_S)
    days, rest = divmod(seconds, _DAY_S)
    year, month, day = _civil(days)
    fraction = f".{nanos:09d}".rstrip("0") if nanos else ""
    return f"{year:04d}-{month:02d}-{day:02d}T{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}{fraction}Z"


def _civil(days: int) -> tuple[int, int, int]:
    """Year, month, day of a number of days since 1970-01-01 in the Gregorian calendar, whose year here starts in March."""
    days += 719_468
    era, day_of_era = divmod(days, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_index = (5 * day_of_year + 2) // 153
    month = month_index + 3 if month_index < 10 else month_index - 9
    year = year_of_era + era * 400 + (1 if month <= 2 else 0)
    return year, month, day_of_year - (153 * month_index + 2) // 5 + 1


def block_id(value: BlockID) -> Json:
    """BlockID."""
    return {"hash": hexed(value.hash), "parts": {"total": value.parts_total, "hash": hexed(value.parts_hash)}}


def header(value: Header) -> Json:
    """Header."""
    return {
        "version": {"block": str(BLOCK_PROTOCOL), "app": str(value.app_version)},
        "chain_id": value.chain_id,
        "height": str(value.height),
        "time": time_text(value.time_ns),
        "last_block_id": block_id(value.last_block_id),
        "last_commit_hash": hexed(value.last_commit_hash),
        "data_hash": hexed(value.data_hash),
        "validators_hash": hexed(value.validators_hash),
        "next_validators_hash": hexed(value.next_validators_hash),
        "consensus_hash": hexed(value.consensus_hash),
        "app_hash": hexed(value.app_hash),
        "last_results_hash": hexed(value.last_results_hash),
        "evidence_hash": hexed(value.evidence_hash),
        "proposer_address": hexed(value.proposer_address),
    }


def commit(value: Commit) -> Json:
    """Commit."""
    return {
        "height": str(value.height),
        "round": value.round,
        "block_id": block_id(value.block_id),
        "signatures": [
            {
                "block_id_flag": int(part.flag),
                "validator_address": hexed(part.validator_address),
                "timestamp": time_text(part.time_ns),
                "signature": None if part.flag is Flag.ABSENT else b64(part.signature),
            }
            for part in value.signatures
        ],
    }


def block(value: Block) -> Json:
    """Block."""
    return {
        "header": header(value.header),
        "data": {"txs": [b64(tx) for tx in value.txs]},
        "evidence": {"evidence": [evidence(item) for item in value.evidence]},
        "last_commit": commit(value.last_commit),
    }


def evidence(value: Evidence) -> Json:
    """A proof of an offence, as amino names the kinds; the third is ours. ML-DSA signatures stand in fields that others ignore."""
    powers = {"TotalVotingPower": str(value.total_power), "Timestamp": time_text(value.time_ns)}
    if isinstance(value, LightClientAttackEvidence):
        return {"type": "tendermint/LightClientAttackEvidence", "value": _attack(value) | powers}
    powers["ValidatorPower"] = str(value.validator_power)
    if isinstance(value, DuplicateVoteEvidence):
        votes = {"vote_a": vote(value.vote_a), "vote_b": vote(value.vote_b)}
        return {"type": "tendermint/DuplicateVoteEvidence", "value": votes | powers}
    return {"type": "qenex/DuplicateProposalEvidence", "value": _proposals(value) | powers}


def _attack(value: LightClientAttackEvidence) -> Json:
    members = [_light_validator(member) for member in value.validators]
    return {
        "ConflictingBlock": {
            "signed_header": {"header": header(value.header), "commit": commit(value.commit)},
            "validator_set": {"validators": members, "proposer": _light_validator(value.proposer)},
        },
        "CommonHeight": str(value.common_height),
        "ByzantineValidators": [_light_validator(member) for member in value.byzantine],
        "pq_signatures": [b64(signature) for signature in value.pq_signatures],
    }


def _light_validator(value: LightValidator) -> Json:
    return {
        "address": hexed(value.address),
        "pub_key": public_key(value.ed25519_key),
        "voting_power": str(value.power),
        "proposer_priority": str(value.priority),
    }


def _proposals(value: DuplicateProposalEvidence) -> Json:
    return {
        "proposal_a": proposal(value.proposal_a),
        "proposal_b": proposal(value.proposal_b),
        "validator_address": hexed(value.validator_address),
    }


def vote(value: Vote) -> Json:
    """Vote; one for nil names no block."""
    empty = {"hash": "", "parts": {"total": 0, "hash": ""}}
    return {
        "type": int(value.type),
        "height": str(value.height),
        "round": value.round,
        "block_id": empty if value.block_id is None else block_id(value.block_id),
        "timestamp": time_text(value.time_ns),
        "validator_address": hexed(value.validator_address),
        "validator_index": value.validator_index,
        "signature": b64(value.signature),
        "extension": None,
        "extension_signature": None,
        "pq_signature": b64(value.pq_signature),
    }


def proposal(value: Proposal) -> Json:
    """Proposal."""
    return {
        "Type": PROPOSAL_TYPE,
        "height": str(value.height),
        "round": value.round,
        "pol_round": value.pol_round,
        "block_id": block_id(value.block_id),
        "timestamp": time_text(value.time_ns),
        "signature": b64(value.signature),
        "pq_signature": b64(value.pq_signature),
    }


def block_meta(value: Block, size: int) -> Json:
    """What `blockchain` lists."""
    return {
        "block_id": block_id(value.block_id()),
        "block_size": str(size),
        "header": header(value.header),
        "num_txs": str(len(value.txs)),
    }


def validator(value: Validator, priority: int) -> Json:
    """Validator, with our post-quantum key in fields that other clients ignore."""
    return {
        "address": hexed(value.address),
        "pub_key": public_key(value.ed25519_key),
        "voting_power": str(value.power),
        "proposer_priority": str(priority),
        "pq_pub_key": {"type": value.pq_kind.name.lower(), "value": b64(value.pq_key)},
    }


def validator_updates(before: ValidatorSet, after: ValidatorSet) -> Json:
    """What turns one set into the other; a power of 0, which takes a validator away, is left out as Go leaves it out."""
    gone = [(item, 0) for item in before.validators if after.by_address(item.address) is None]
    new = [(item, item.power) for item in after.validators if _power_in(before, item.address) != item.power]
    return [{"pub_key": _proto_key(item.ed25519_key)} | ({"power": str(power)} if power else {}) for item, power in gone + new]


def _power_in(found: ValidatorSet, address: bytes) -> int:
    known = found.by_address(address)
    return 0 if known is None else known.power


def _proto_key(key: bytes) -> Json:
    return {"Sum": {"type": "tendermint.crypto.PublicKey_Ed25519", "value": {"ed25519": b64(key)}}}


def public_key(key: bytes) -> Json:
    """An Ed25519 key as CometBFT's amino names it."""
    return {"type": "tendermint/PubKeyEd25519", "value": b64(key)}


def events(values: Iterable[Event]) -> Json:
    """ABCI events; every attribute can be searched for."""
    return [
        {
            "type": event.type,
            "attributes": [{"key": key, "value": value, "index": True} for key, value in event.attributes],
        }
        for event in values
    ]


def tx_result(receipt: Receipt) -> Json:
    """ExecTxResult."""
    return {
        "code": int(receipt.code),
        "data": b64(receipt.data),
        "log": receipt.log or ("" if receipt.code == 0 else receipt.code_name),
        "info": "",
        "gas_wanted": str(receipt.gas_wanted),
        "gas_used": str(receipt.gas_used),
        "events": events(receipt.events),
        "codespace": "" if receipt.code == 0 else "qenex",
    }


def proof(value: Proof) -> Json:
    """A Merkle proof of a transaction in its block."""
    return {
        "total": str(value.total),
        "index": str(value.index),
        "leaf_hash": b64(value.leaf_hash),
        "aunts": [b64(aunt) for aunt in value.aunts],
    }


def consensus_params(params: ConsensusParams) -> Json:
    """ConsensusParams of CometBFT; the rest of ours is under /params/consensus."""
    return {
        "block": {"max_bytes": str(params.block_bytes_max), "max_gas": str(GAS_MAX)},
        "evidence": {
            "max_age_num_blocks": str(params.evidence_blocks_max),
            "max_age_duration": str(params.evidence_age_s_max * NS_PER_S),
            "max_bytes": str(params.evidence_bytes_max),
        },
        "validator": {"pub_key_types": ["ed25519"]},
        "version": {"app": str(params.app_version)},
        "abci": {"vote_extensions_enable_height": "0"},
    }


def event_map(receipt: Receipt, tx_hash: bytes, header: Header) -> dict[str, list[str]]:
    """Composite keys that a query can name, for one transaction. `block.time` is ours."""
    found: dict[str, list[str]] = {
        "tm.event": ["Tx"],
        "tx.hash": [hexed(tx_hash)],
        "tx.height": [str(header.height)],
        "block.time": [time_text(header.time_ns)],
    }
    for event in receipt.events:
        for key, value in event.attributes:
            found.setdefault(f"{event.type}.{key}", []).append(value)
    return found


def block_event_map(kind: str, header: Header) -> dict[str, list[str]]:
    """The same for a block, of the kind NewBlock or NewBlockHeader."""
    return {"tm.event": [kind], "block.height": [str(header.height)], "block.time": [time_text(header.time_ns)]}
