"""Paths of records: how a client names one that it wants read or proved. What a record says is `state.queries`'s.

A module's own paths stand beside its queries; here they are put together. Pure, and nothing is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from state.primitives.errors import MalformedError
from state.primitives.ids import check_asset_code, parse_address
from state.primitives.limits import STATE_KEY_BYTES_MAX
from state.queries_accounts import ACCOUNT_PATHS
from state.queries_amm import check_pool
from state.queries_audit import AUDIT_PATHS
from state.queries_farm import FARM_PATHS
from state.queries_gov import GOV_PATHS
from state.queries_kyc import KYC_PATHS
from state.queries_pending import PENDING_PATHS
from state.queries_staking import read_validator_id
from state.queries_treasury import TREASURY_PATHS
from state.schema import (
    ACCOUNT_PARAMS_KEY,
    COMPLIANCE_PARAMS_KEY,
    CONSENSUS_PARAMS_KEY,
    FEE_PARAMS_KEY,
    GOV_PARAMS_KEY,
    STAKE_PARAMS_KEY,
    account_key,
    asset_key,
    holding_key,
    minter_key,
    nonces_key,
    supply_key,
)
from state.schema_amm import POOL_LIST_KEY, members_key, position_key
from state.schema_amm import pool_key as amm_pool_key
from state.schema_freezes import MARKED_KEY, account_freeze_key, holding_freeze_key, pause_key, roles_key, sanction_key
from state.schema_staking import (
    TOTALS_KEY,
    VALIDATORS_KEY,
    delegation_key,
    delegator_key,
    pool_key,
    redelegation_key,
    unbonding_key,
    validator_key,
)

PARAM_KEYS: Final = {
    "consensus": CONSENSUS_PARAMS_KEY,
    "fees": FEE_PARAMS_KEY,
    "accounts": ACCOUNT_PARAMS_KEY,
    "stake": STAKE_PARAMS_KEY,
    "compliance": COMPLIANCE_PARAMS_KEY,
    "gov": GOV_PARAMS_KEY,
}


def resolve_path(path: str, data: bytes = b"") -> bytes:
    """The raw key that answers a path; `/store/key` takes the raw key itself as `data`.

    Accounts and assets: /account/ADDRESS /nonces/ADDRESS /holding/ADDRESS/CODE /asset/CODE /supply/CODE /minter/ADDRESS/CODE
    /policy/ADDRESS /key-change/ADDRESS/NUMBER /grants/ADDRESS /session/ADDRESS/KEY-ID /delegate/ADDRESS/ADDRESS
    /sponsorship/ADDRESS/ADDRESS /allowlist/ADDRESS.
    Stake: /validator/HEX /validators /pool/HEX /stake /delegation/HEX/ADDRESS /delegations/ADDRESS /unbonding/HEX/ADDRESS
    /redelegation/HEX/HEX/ADDRESS. Pools: /pools /pool/A/B /members/A/B /position/ADDRESS/A/B. Farms: /farms /farm/N /farm/N/CODE
    /farm-positions/ADDRESS /farm-position/ADDRESS/N. Settlement: /hold/HEX /escrow/HEX /settlement/HEX /offer/HEX /pending/ADDRESS
    /claims/ADDRESS /claim/ADDRESS/NUMBER. Compliance: /freeze/ADDRESS /freeze/ADDRESS/CODE /pause/CODE /sanction/ADDRESS /roles/CODE
    /restrictions, and those of `state.queries_kyc`. Central banks: /bank/CODE /dealers/CODE /dealer/ADDRESS/CODE
    /redemption/CODE/NUMBER /credit-lines/CODE /credit-line/ADDRESS/CODE. Governance: /proposal/N /voters/N /vote/N/ADDRESS /governance
    /proposals /upgrades /breakers /group/ADDRESS /group/ADDRESS/N /admission/validator/ADDRESS /admission/node/HEX /nodes.
    Anchors: /anchors/ADDRESS /anchors/ADDRESS/LOG /anchor/ADDRESS/LOG/N. /params/GROUP.
    Raises `MalformedError` for any other path or a mistyped name.
    """
    name, *rest = path.strip("/").split("/")
    if path.rstrip("/") == "/store/key":
        if not 1 <= len(data) <= STATE_KEY_BYTES_MAX:
            raise MalformedError(f"a raw key has 1 to {STATE_KEY_BYTES_MAX} bytes")
        return data
    rule = _PATHS.get((name, len(rest)))
    if rule is None:
        raise MalformedError(f"no such path: {path}")
    return rule(*rest)


def _params_path(group: str) -> bytes:
    key = PARAM_KEYS.get(group)
    if key is None:
        raise MalformedError(f"a group of parameters is one of {', '.join(PARAM_KEYS)}")
    return key


_PATHS: Final[dict[tuple[str, int], Callable[..., bytes]]] = {
    ("account", 1): lambda address: account_key(parse_address(address)),
    ("nonces", 1): lambda address: nonces_key(parse_address(address)),
    ("holding", 2): lambda address, code: holding_key(parse_address(address), check_asset_code(code)),
    ("asset", 1): lambda code: asset_key(check_asset_code(code)),
    ("supply", 1): lambda code: supply_key(check_asset_code(code)),
    ("minter", 2): lambda address, code: minter_key(parse_address(address), check_asset_code(code)),
    ("validator", 1): lambda text: validator_key(read_validator_id(text)),
    ("pool", 1): lambda text: pool_key(read_validator_id(text)),
    ("stake", 0): lambda: TOTALS_KEY,
    ("delegation", 2): lambda text, address: delegation_key(read_validator_id(text), parse_address(address)),
    ("delegations", 1): lambda address: delegator_key(parse_address(address)),
    ("unbonding", 2): lambda text, address: unbonding_key(read_validator_id(text), parse_address(address)),
    ("redelegation", 3): lambda source, destination, address: redelegation_key(
        read_validator_id(source), read_validator_id(destination), parse_address(address)
    ),
    ("validators", 0): lambda: VALIDATORS_KEY,
    ("pools", 0): lambda: POOL_LIST_KEY,
    ("pool", 2): lambda a, b: amm_pool_key(check_pool(a, b)),
    ("members", 2): lambda a, b: members_key(check_pool(a, b)),
    ("position", 3): lambda address, a, b: position_key(parse_address(address), check_pool(a, b)),
    **FARM_PATHS,
    **TREASURY_PATHS,
    **GOV_PATHS,
    ("params", 1): _params_path,
    **KYC_PATHS,
    ("freeze", 1): lambda address: account_freeze_key(parse_address(address)),
    ("freeze", 2): lambda address, code: holding_freeze_key(parse_address(address), check_asset_code(code).encode("ascii")),
    ("pause", 1): lambda code: pause_key(check_asset_code(code).encode("ascii")),
    ("sanction", 1): lambda address: sanction_key(parse_address(address)),
    ("roles", 1): lambda code: roles_key(check_asset_code(code).encode("ascii")),
    ("restrictions", 0): lambda: MARKED_KEY,
    **PENDING_PATHS,
    **ACCOUNT_PATHS,
    **AUDIT_PATHS,
}
