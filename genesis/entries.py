"""Small builders of genesis entries from keys: accounts, validators, assets. Whoever makes a document uses these.

Pure: keys come in as arguments. Nothing is checked here that `genesis.rules` checks.
"""

from __future__ import annotations

from typing import Final

from genesis.document import (
    AccountEntry,
    AssetEntry,
    KeyEntry,
    MinterEntry,
    ThresholdsEntry,
    ValidatorEntry,
    compute_node_id,
)
from state.modules.accounts import AccountKind, new_account_address
from state.primitives.ids import format_address
from state.primitives.keys import PublicKey
from state.primitives.limits import AMOUNT_MAX

SINGLE_KEY_THRESHOLDS: Final = (1, 1, 1, 1)
SINGLE_KEY_ID: Final = 0


def single_key_address(key: PublicKey, kind: AccountKind = AccountKind.CUSTOMER) -> bytes:
    """Address of the account that one key of weight 1 controls: 32 bytes."""
    return new_account_address(((SINGLE_KEY_ID, int(key.kind), key.data, 1),), SINGLE_KEY_THRESHOLDS, kind=kind)


def single_key_account(key: PublicKey, kind: AccountKind = AccountKind.CUSTOMER) -> AccountEntry:
    """The account that one key of weight 1 controls."""
    low, medium, high, statutory = SINGLE_KEY_THRESHOLDS
    return AccountEntry(
        address=format_address(single_key_address(key, kind)),
        kind=kind.name.lower(),  # type: ignore[arg-type]
        parent="",
        keys=(
            KeyEntry(
                key_id=SINGLE_KEY_ID,
                kind=key.kind.name.lower(),  # type: ignore[arg-type]
                public_key=key.data.hex(),
                weight=1,
            ),
        ),
        thresholds=ThresholdsEntry(low=low, medium=medium, high=high, statutory=statutory),
    )


def validator_entry(
    *, moniker: str, ed25519_key: PublicKey, pq_key: PublicKey, node_key: PublicKey, owner: str, bonded: int
) -> ValidatorEntry:
    """A validator's entry from its public keys; `owner` is an address in text form."""
    return ValidatorEntry(
        moniker=moniker,
        ed25519_key=ed25519_key.data.hex(),
        pq_kind=pq_key.kind.name.lower(),  # type: ignore[arg-type]
        pq_key=pq_key.data.hex(),
        owner=owner,
        bonded=str(bonded),
        node_id=compute_node_id(node_key),
    )


def plain_asset(code: str, scale: int, issuer: str) -> AssetEntry:
    """An asset that holders may use in every way, without powers of its issuer, who may mint without a limit of its own."""
    return AssetEntry(
        code=code,
        scale=scale,
        max_supply="0",
        flags=("transferable", "tradable", "lockable", "escrowable", "stakeable"),
        issuer=issuer,
        minters=(MinterEntry(account=issuer, allowance=str(AMOUNT_MAX)),),
        metadata_hash="",
    )
