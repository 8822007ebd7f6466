"""The operation table: every operation of the ledger by its number. Nothing but putting the modules' rows together."""

from __future__ import annotations

from typing import Final

from state.modules import (
    accounts,
    amm,
    asset_force,
    asset_roles,
    assets,
    audit,
    claims,
    compliance,
    compliance_table,
    credentials,
    escrows,
    farm,
    governance,
    holds,
    offers,
    recall,
    settlements,
    staking,
    treasury,
)
from state.modules.operation import Operation

ROWS: Final[tuple[Operation, ...]] = (
    *accounts.OPERATIONS,
    *assets.OPERATIONS,
    *asset_roles.OPERATIONS,
    *asset_force.OPERATIONS,
    *staking.OPERATIONS,
    *holds.OPERATIONS,
    *escrows.OPERATIONS,
    *settlements.OPERATIONS,
    *offers.OPERATIONS,
    *claims.OPERATIONS,
    *recall.OPERATIONS,
    *amm.OPERATIONS,
    *compliance.OPERATIONS,
    *farm.OPERATIONS,
    *treasury.OPERATIONS,
    *credentials.OPERATIONS,
    *compliance_table.OPERATIONS,
    *governance.OPERATIONS,
    *audit.OPERATIONS,
)
OPERATIONS: Final[dict[int, Operation]] = {row.code: row for row in ROWS}
BY_NAME: Final[dict[str, Operation]] = {row.name: row for row in ROWS}
