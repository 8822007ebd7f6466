"""Pure reads of governance for the RPC and the command line: proposals, votes, groups, breakers, admissions. Nothing here writes.

See `state.queries` for the forms. A proposal shows the operations it carries by name and field, and what its votes would come to now.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Final

from state.breakers import Breaker
from state.codes import Code
from state.modules.gov_fields import NODE, OPTIONS, VALIDATOR, show_calls, show_group_members
from state.modules.gov_tally import compute_verdict
from state.params_gov import GovParams
from state.primitives.codec import Value, decode
from state.primitives.errors import MalformedError, TransactionError
from state.primitives.ids import format_address, parse_address
from state.primitives.limits import HEIGHT_MAX, NODE_ID_BYTES, PPM
from state.schema import (
    ADMISSION,
    ADMIT_NODE,
    ADMIT_VALIDATOR,
    BREAKERS,
    BREAKERS_KEY,
    GOV_PARAMS_KEY,
    NODES_KEY,
    admission_key,
)
from state.schema_gov import (
    GOVERNANCE,
    GROUP,
    GROUPS_KEY_BYTES,
    NO_TOTALS,
    OPEN_KEY,
    PROPOSAL,
    TOTALS_KEY,
    UPGRADES_KEY,
    VOTE,
    VOTER_START,
    VOTERS_KEY_BYTES,
    Group,
    GroupProposal,
    Proposal,
    Status,
    Totals,
    group_key,
    group_proposal_key,
    proposal_key,
    vote_key,
    voters_key,
)
from state.view import Reader, View

Json = dict[str, object]


def read_proposal_number(text: str) -> int:
    """A proposal's number. Raises `MalformedError`."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 19 or int(text) > HEIGHT_MAX:
        raise MalformedError("a proposal has a number")
    return int(text)


def admission_path(kind: str, text: str) -> bytes:
    """Key of an admission: `validator` and an address, or `node` and 40 hex digits. Raises `MalformedError`."""
    if kind == VALIDATOR:
        return admission_key(ADMIT_VALIDATOR, parse_address(text))
    if kind != NODE:
        raise MalformedError("an admission is of a validator or of a node")
    return admission_key(ADMIT_NODE, read_node_id(text))


def read_node_id(text: str) -> bytes:
    """A node's id from hex. Raises `MalformedError`."""
    try:
        node_id = bytes.fromhex(text)
    except ValueError:
        node_id = b""
    if len(node_id) != NODE_ID_BYTES:
        raise MalformedError(f"a node id has {2 * NODE_ID_BYTES} hex digits")
    return node_id


def show_gov_params(params: GovParams) -> Json:
    """JSON form of the parameters."""
    values: Json = {f.name: getattr(params, f.name) for f in fields(params)}
    group = params.emergency_group
    return {**values, "deposit_min": str(params.deposit_min), "emergency_group": format_address(group) if group else ""}


def _show_ops(raw: bytes) -> object:
    calls = decode(raw)
    try:
        return show_calls(calls)
    except TransactionError:  # of rules that are no more
        return [{"op": str(code)} for code, _, _ in calls]


def show_proposal(key: bytes, record: Proposal) -> Json:
    """JSON form of a proposal."""
    cast = sum(record.tally)
    shown: Json = {
        "proposal": str(int.from_bytes(key[2:10], "big")),
        "status": Status(record.status).name.lower(),
        "proposer": format_address(record.proposer),
        "title_hash": record.title_hash.hex(),
        "expedited": record.is_expedited,
        "ops": _show_ops(record.ops),
        "deposits": [{"account": format_address(account), "amount": str(amount)} for account, amount in record.deposits],
        "start": record.start_s,
        "due": record.due_s,
        "ready": record.ready_s,
        "done": record.done_s,
    }
    if record.snapshot_height or record.power:
        shown["vote"] = {
            "snapshot_height": str(record.snapshot_height),
            "power": str(record.power),
            **{name: str(number) for name, number in zip(OPTIONS, record.tally, strict=True)},
            "turnout_ppm": cast // record.power if record.power else 0,
            "yes_ppm": record.tally[0] * PPM // (cast - record.tally[2]) if cast > record.tally[2] else 0,
            "would": compute_verdict(record).name.lower(),
            **record.rules._asdict(),
        }
    if record.status == Status.FAILED:
        shown["failure"] = {"code": record.code, "code_name": Code(record.code).name, "operation": record.op_index}
    return shown


def show_governance(key: bytes, record: Value) -> Json:
    """JSON form of the totals, the open proposals, the rule sets."""
    if isinstance(record, Totals):
        return {
            "proposals": str(record.proposals),
            "deposited": str(record.deposited),
            "refunded": str(record.refunded),
            "burned": str(record.burned),
            "held": str(record.deposited - record.refunded - record.burned),
        }
    if key == OPEN_KEY:
        return {"open": [{"due": due_s, "proposal": str(number)} for due_s, number in record]}
    if key == UPGRADES_KEY:
        return {"rule_sets": [_show_upgrade(*plan) for plan in record]}
    raise MalformedError("this key has no JSON form")


def _show_upgrade(version: int, height: int, release: str, build_hash: bytes) -> Json:
    return {"version": version, "height": str(height), "release": release, "build_hash": build_hash.hex()}


def show_vote(key: bytes, record: Value) -> Json:
    """JSON form of a vote, or of who may vote."""
    number = str(int.from_bytes(key[2:10], "big"))
    if len(key) == VOTERS_KEY_BYTES:
        voters = [{"account": format_address(account), "power": str(power)} for account, power in record]
        return {"proposal": number, "voters": voters}
    parts = {f"{name}_ppm": ppm for name, ppm in zip(OPTIONS, record[1:], strict=True)}
    return {"proposal": number, "account": format_address(key[VOTER_START:]), "power": str(record.power), **parts}


def show_group(key: bytes, record: Value) -> Json:
    """JSON form of a group, of a proposal in one, or of how many there are."""
    if len(key) == GROUPS_KEY_BYTES:
        return {"groups": record[0]}
    group = format_address(key[2:34])
    if isinstance(record, Group):
        return {
            "group": group,
            "members": show_group_members(record.members),
            "threshold": record.threshold,
            "min_delay_s": record.min_delay_s,
            "version": record.version,
            "proposals": str(record.proposals),
            "open": [str(number) for number in record.open_numbers],
        }
    return {"group": group, "proposal": str(int.from_bytes(key[34:], "big")), **_show_group_proposal(record)}


def _show_group_proposal(record: GroupProposal) -> Json:
    status = {Status.PASSED: "open"}.get(Status(record.status), Status(record.status).name.lower())
    shown: Json = {
        "status": status,
        "proposer": format_address(record.proposer),
        "title_hash": record.title_hash.hex(),
        "ops": _show_ops(record.ops),
        "approvals": [format_address(member) for member in record.approvals],
        "group_version": record.version,
        "start": record.start_s,
        "until": record.until_s,
        "ready": record.ready_s,
        "done": record.done_s,
    }
    if record.status == Status.FAILED:
        shown["failure"] = {"code": record.code, "code_name": Code(record.code).name, "operation": record.op_index}
    return shown


def show_admission(key: bytes, record: Value) -> Json:
    """JSON form of an admission, or of the list of nodes."""
    if key == NODES_KEY:
        return {"nodes": [node_id.hex() for node_id in record]}
    kind, identity = key[2:3], key[3:]
    if kind == ADMIT_NODE:
        return {"kind": NODE, "identity": identity.hex(), "since": str(record[0])}
    return {"kind": VALIDATOR, "identity": format_address(identity), "since": str(record[0])}


def show_breakers(key: bytes, record: Value) -> Json:
    """JSON form of the tripped breakers."""
    return {
        "breakers": [
            {
                "module": breaker.module,
                "function": breaker.function,
                "since": str(breaker.height),
                "until": breaker.until_s,
                "operation": breaker.operation,
                "by_committee": breaker.is_of_committee,
            }
            for breaker in (Breaker(*entry) for entry in record)
        ]
    }


def get_proposal(reader: Reader, number: int) -> Json | None:
    """A proposal with every vote on it; None if there is none."""
    view = View(reader)
    record = view.get(proposal_key(number))
    if record is None:
        return None
    votes = []
    for account, _ in view.get(voters_key(number)) or ():
        vote = view.get(vote_key(number, account))
        if vote is not None:
            votes.append(show_vote(vote_key(number, account), vote))
    return {**show_proposal(proposal_key(number), record), "votes": votes}


def get_proposals(reader: Reader, start: int, limit: int) -> list[Json]:
    """`limit` proposals in order, from number `start`."""
    view = View(reader)
    totals = view.get(TOTALS_KEY)
    count = 0 if totals is None else totals.proposals
    numbers = range(start, min(count, start + limit))
    return [show_proposal(proposal_key(number), view.get(proposal_key(number))) for number in numbers]


def get_group(reader: Reader, group: bytes) -> Json | None:
    """A group with its open proposals; None if there is none."""
    view = View(reader)
    record: Group | None = view.get(group_key(group))
    if record is None:
        return None
    shown = show_group(group_key(group), record)
    keys = [group_proposal_key(group, number) for number in record.open_numbers]
    return {**shown, "open": [show_group(key, view.get(key)) for key in keys]}


def get_group_proposal(reader: Reader, group: bytes, number: int) -> Json | None:
    """A proposal in a group; None if there is none."""
    key = group_proposal_key(group, number)
    record = View(reader).get(key)
    return None if record is None else show_group(key, record)


def get_overview(reader: Reader) -> Json:
    """Parameters, totals, open proposals, breakers and rule sets."""
    view = View(reader)
    record = view.get(GOV_PARAMS_KEY)
    params = GovParams() if record is None else GovParams.from_record(record)
    return {
        "params": show_gov_params(params),
        "totals": show_governance(TOTALS_KEY, view.get(TOTALS_KEY) or NO_TOTALS),
        **show_governance(OPEN_KEY, view.get(OPEN_KEY) or ()),
        **show_breakers(BREAKERS_KEY, view.get(BREAKERS_KEY) or ()),
        **show_governance(UPGRADES_KEY, view.get(UPGRADES_KEY) or ()),
    }


# path and number of its parts -> key, and letter -> JSON form: `state.queries` takes them in
GOV_PATHS: Final[dict[tuple[str, int], Callable[..., bytes]]] = {
    ("proposal", 1): lambda number: proposal_key(read_proposal_number(number)),
    ("voters", 1): lambda number: voters_key(read_proposal_number(number)),
    ("vote", 2): lambda number, address: vote_key(read_proposal_number(number), parse_address(address)),
    ("governance", 0): lambda: TOTALS_KEY,
    ("proposals", 0): lambda: OPEN_KEY,
    ("upgrades", 0): lambda: UPGRADES_KEY,
    ("breakers", 0): lambda: BREAKERS_KEY,
    ("group", 1): lambda address: group_key(parse_address(address)),
    ("group", 2): lambda address, number: group_proposal_key(parse_address(address), read_proposal_number(number)),
    ("admission", 2): admission_path,
    ("nodes", 0): lambda: NODES_KEY,
}
GOV_SHOW: Final[dict[int, Callable[[bytes, Value], Json]]] = {
    PROPOSAL: show_proposal,
    GOVERNANCE: show_governance,
    VOTE: show_vote,
    GROUP: show_group,
    ADMISSION: show_admission,
    BREAKERS: show_breakers,
}
