"""Pure reads for the RPC, the command line and proofs: every record as JSON-ready values; `state.paths` names them.

Amounts are decimal strings of base units, addresses bech32m, hashes and keys hex. `simulate` runs a transaction through the
apply path itself, so its receipt is what applying would give at that state and time (invariant I13). Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from state.admission import NOTHING_VERIFIED, Admission, Verified, check_signers
from state.machine import BlockContext, BlockExecution
from state.marks import ACCOUNT_MARKS, ASSET_MARKS, HOLDING_MARKS, show_marks
from state.modules.accounts import AccountKind
from state.modules.assets import FLAGS
from state.modules.fields import show_keys, show_thresholds
from state.modules.gate import read_holding
from state.params import AccountParams, ConsensusParams, FeeParams, StakeParams
from state.params_compliance import ComplianceParams
from state.params_gov import GovParams
from state.primitives.codec import Value
from state.primitives.errors import MalformedError
from state.primitives.ids import format_address
from state.primitives.keys import KeyKind
from state.queries_accounts import ACCOUNT_SHOW, get_sessions
from state.queries_amm import show_members, show_pool_list, show_position
from state.queries_amm import show_pool as show_amm_pool
from state.queries_audit import AUDIT_SHOW
from state.queries_compliance import show_compliance_params, show_restriction
from state.queries_farm import FARM_SHOW
from state.queries_gov import GOV_SHOW, show_gov_params
from state.queries_kyc import KYC_SHOW
from state.queries_pending import PENDING_SHOW
from state.queries_staking import (
    show_delegation,
    show_delegator,
    show_entries,
    show_pool,
    show_stake_params,
    show_validator,
)
from state.queries_treasury import TREASURY_SHOW
from state.receipts import Receipt
from state.schema import (
    ACCOUNT,
    ACCOUNT_PARAMS_KEY,
    ASSET,
    ASSET_LIST_KEY,
    COMPLIANCE_PARAMS_KEY,
    CONSENSUS_PARAMS_KEY,
    FEE_PARAMS_KEY,
    GOV_PARAMS_KEY,
    HOLDING,
    MINTER,
    NONCES,
    STAKE_PARAMS_KEY,
    SUPPLY,
    account_key,
    asset_key,
    asset_number_key,
    decode_record,
    holding_key,
    nonces_key,
    supply_key,
)
from state.schema_amm import MEMBERS, POOL_LIST, POSITION
from state.schema_amm import POOL as AMM_POOL
from state.schema_freezes import (
    FREEZES,
)
from state.schema_staking import (
    DELEGATION,
    DELEGATOR,
    POOL,
    REDELEGATION,
    UNBONDING,
    VALIDATOR,
    VALIDATORS_KEY,
)
from state.transaction import Transaction
from state.view import Reader, View

Json = dict[str, object]

HOLDINGS_ASSETS_MAX: Final = 1_000  # how many assets an account's holdings are looked up for unless codes are named

def describe_record(key: bytes, raw: bytes) -> Json:
    """JSON-ready form of a stored record. Raises `MalformedError` for a key that is not one of ours."""
    tag = key[1] if len(key) > 1 else 0
    show = _SHOW.get(tag)
    if show is not None:
        return show(key, decode_record(key, raw))
    groups: dict[bytes, Callable[[Value], Json]] = {
        CONSENSUS_PARAMS_KEY: lambda record: show_consensus_params(ConsensusParams.from_record(record)),
        FEE_PARAMS_KEY: lambda record: show_fee_params(FeeParams.from_record(record)),
        ACCOUNT_PARAMS_KEY: lambda record: {
            "key_kinds": [KeyKind(kind).name.lower() for kind in AccountParams.from_record(record).key_kinds]
        },
        COMPLIANCE_PARAMS_KEY: lambda record: show_compliance_params(ComplianceParams.from_record(record)),
        STAKE_PARAMS_KEY: lambda record: show_stake_params(StakeParams.from_record(record)),
        GOV_PARAMS_KEY: lambda record: show_gov_params(GovParams.from_record(record)),
        VALIDATORS_KEY: lambda record: {"validators": [address.hex() for address in record]},
    }
    group = groups.get(key)
    if group is None:
        raise MalformedError("this key has no JSON form")
    return group(decode_record(key, raw))


def _show_account(key: bytes, record: Value) -> Json:
    kind, parent, keys, thresholds, marks = record
    return {
        "address": format_address(key[2:]),
        "kind": AccountKind(kind).name.lower(),
        "parent": format_address(parent) if parent else "",
        "keys": show_keys(keys),
        "thresholds": show_thresholds(thresholds),
        "marks": show_marks(ACCOUNT_MARKS, marks),
    }


def _show_nonces(key: bytes, record: Value) -> Json:
    lanes = {str(lane): str(sequence) for lane, sequence in enumerate(record) if sequence}
    return {"address": format_address(key[2:]), "next_sequence": lanes}


def _show_holding(key: bytes, record: Value) -> Json:
    balance, held, marks = read_holding(record)
    return {
        "address": format_address(key[2:34]),
        "asset": key[34:].decode("ascii"),
        "balance": str(balance),
        "held": str(held),
        "available": str(balance - held),
        "marks": show_marks(HOLDING_MARKS, marks),
    }


def _show_asset(key: bytes, record: Value) -> Json:
    scale, max_supply, flags, issuer, metadata_hash, marks = record
    return {
        "code": key[2:].decode("ascii"),
        "scale": scale,
        "max_supply": str(max_supply) if max_supply else "",
        "flags": [name for name, bit in FLAGS.items() if flags & bit],
        "issuer": format_address(issuer),
        "metadata_hash": metadata_hash.hex(),
        "marks": show_marks(ASSET_MARKS, marks),
    }


def _show_supply(key: bytes, record: Value) -> Json:
    return {"asset": key[2:].decode("ascii"), "supply": str(record[0])}


def _show_minter(key: bytes, record: Value) -> Json:
    allowance, minted = record
    return {
        "address": format_address(key[2:34]),
        "asset": key[34:].decode("ascii"),
        "allowance": str(allowance),
        "minted": str(minted),
    }


_SHOW: Final[dict[int, Callable[[bytes, Value], Json]]] = {
    ACCOUNT: _show_account,
    NONCES: _show_nonces,
    HOLDING: _show_holding,
    ASSET: _show_asset,
    SUPPLY: _show_supply,
    MINTER: _show_minter,
    VALIDATOR: show_validator,
    POOL: show_pool,
    DELEGATION: show_delegation,
    DELEGATOR: show_delegator,
    UNBONDING: show_entries,
    REDELEGATION: show_entries,
    AMM_POOL: show_amm_pool,
    POOL_LIST: show_pool_list,
    POSITION: show_position,
    MEMBERS: show_members,
    **KYC_SHOW,
    FREEZES: show_restriction,
    **FARM_SHOW,
    **PENDING_SHOW,
    **TREASURY_SHOW,
    **ACCOUNT_SHOW,
    **GOV_SHOW,
    **AUDIT_SHOW,
}


def show_consensus_params(params: ConsensusParams) -> Json:
    """JSON-ready consensus parameters, by field name."""
    return {name: getattr(params, name) for name in ConsensusParams.__slots__}


def show_fee_params(params: FeeParams) -> Json:
    """JSON-ready fee table."""
    return {
        "asset": params.asset,
        "base_default": str(params.base_default),
        "per_signature": str(params.per_signature),
        "per_byte": str(params.per_byte),
        "free_bytes": params.free_bytes,
        "base": {key: str(amount) for key, amount in params.base},
    }


def get_account(reader: Reader, address: bytes) -> Json | None:
    """An account with its keys, the next sequence of each lane it has used, holdings and session keys; None if there is none."""
    raw = reader.get(account_key(address))
    if raw is None:
        return None
    account = _show_account(account_key(address), decode_record(account_key(address), raw))
    nonces = reader.get(nonces_key(address))
    account["next_sequence"] = (
        _show_nonces(nonces_key(address), decode_record(nonces_key(address), nonces))["next_sequence"] if nonces else {}
    )
    account["holdings"] = get_holdings(reader, address)
    account["sessions"] = get_sessions(reader, address)
    return account


def get_holdings(reader: Reader, address: bytes, codes: Sequence[str] | None = None) -> dict[str, str]:
    """Balances above zero by asset code: of the named assets, else of the first `HOLDINGS_ASSETS_MAX` of the ledger."""
    holdings = {}
    for code in get_asset_codes(reader, 0, HOLDINGS_ASSETS_MAX) if codes is None else codes:
        raw = reader.get(holding_key(address, code))
        if raw is not None:
            holdings[code] = str(decode_record(holding_key(address, code), raw)[0])
    return holdings


def get_asset_count(reader: Reader) -> int:
    """How many assets there are."""
    raw = reader.get(ASSET_LIST_KEY)
    return decode_record(ASSET_LIST_KEY, raw)[0] if raw is not None else 0


def get_asset_codes(reader: Reader, start: int, limit: int) -> tuple[str, ...]:
    """Codes of `limit` assets in order of creation, from number `start`."""
    codes = []
    for number in range(start, min(get_asset_count(reader), start + limit)):
        key = asset_number_key(number)
        entry = reader.get(key)
        if entry is not None:
            codes.append(decode_record(key, entry)[0])
    return tuple(codes)


def get_asset(reader: Reader, code: str) -> Json | None:
    """An asset with its supply; None if there is none."""
    raw = reader.get(asset_key(code))
    if raw is None:
        return None
    asset = _show_asset(asset_key(code), decode_record(asset_key(code), raw))
    asset["supply"] = str(get_supply(reader, code))
    return asset


def get_supply(reader: Reader, code: str) -> int:
    """The supply of an asset in base units; 0 if there is no such asset."""
    raw = reader.get(supply_key(code))
    return decode_record(supply_key(code), raw)[0] if raw is not None else 0


def get_next_sequence(reader: Reader, address: bytes, lane: int = 0) -> int:
    """The sequence that a lane of an account expects."""
    raw = reader.get(nonces_key(address))
    nonces = decode_record(nonces_key(address), raw) if raw is not None else ()
    return nonces[lane] if lane < len(nonces) else 0


def describe_transaction(tx: Transaction) -> Json:
    """JSON-ready form of a transaction."""
    return {
        "hash": tx.hash.hex(),
        "body_hash": tx.body_hash.hex(),
        "size": tx.size,
        "sender": format_address(tx.sender),
        "lane": tx.lane,
        "seq": str(tx.seq),
        "valid_from": tx.valid_from,
        "valid_until": tx.valid_until,
        "client_ref": tx.client_ref.hex(),
        "max_fee": str(tx.max_fee),
        "fee_payer": format_address(tx.fee_payer),
        "preconditions": [
            {"kind": row.name, **{name: kind.show(arg) for (name, kind), arg in zip(row.fields, args, strict=True)}}
            for row, args in tx.preconditions
        ],
        "ops": [
            {"op": call.operation.name, "as": format_address(call.account), **call.operation.show(call.args)}
            for call in tx.calls
        ],
        "memo": tx.memo,
        "purpose": tx.purpose,
        "e2e_id": tx.e2e_id.hex(),
        "related_tx": tx.related_tx.hex(),
        "travel": _show_travel(tx.travel),
        "auth": [
            {"account": format_address(account), "key_id": key_id, "signature": signature.hex()}
            for account, key_id, signature in tx.auth
        ],
    }


def _show_travel(travel: Value) -> Json | None:
    if travel is None:
        return None
    scheme, payload_hash, originator, beneficiary, attestation, reference = travel
    return {
        "scheme": scheme,
        "payload_hash": payload_hash.hex(),
        "originator_vasp": originator,
        "beneficiary_vasp": beneficiary,
        "attestation": {"key_id": attestation[0], "signature": attestation[1].hex()} if attestation else None,
        "ciphertext_ref": reference,
    }


def describe_receipt(receipt: Receipt) -> Json:
    """JSON-ready form of a receipt."""
    return {
        "code": int(receipt.code),
        "code_name": receipt.code_name,
        "op_index": receipt.op_index,
        "fee": str(receipt.fee),
        "log": receipt.log,
        "gas_wanted": str(receipt.gas_wanted),
        "gas_used": str(receipt.gas_used),
        "events": [{"type": event.type, "attributes": dict(event.attributes)} for event in receipt.events],
    }


class _AssumeSigned:
    """Signatures taken as good: what a wallet asks before it has them."""

    def __init__(self, binding: bytes) -> None:
        self._binding = binding

    def get(self, tx_hash: bytes, /) -> bytes | None:
        """The binding, whatever the hash."""
        return self._binding


def simulate(reader: Reader, context: BlockContext, tx: Transaction, *, assume_signed: bool = False) -> Receipt:
    """The receipt that `tx` would get as the first transaction of a block in this context. A code of 1xx: it could not be in it.

    `assume_signed` takes the signatures as good (there must still be entries for the keys that are meant to sign, because their
    number is part of the fee); otherwise they are verified.
    """
    verified: Verified = NOTHING_VERIFIED
    if assume_signed:
        signers = check_signers(View(reader), tx)
        if not isinstance(signers, Admission):
            verified = _AssumeSigned(signers[1])
    return BlockExecution(reader, context, verified).deliver(tx)
