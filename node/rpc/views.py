"""What a bound token may see: what the ledger says its account has a view of, asked at each call and nothing kept.

Source: ledger rules, section 6. Whose token it is, is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from node.rpc.backend import NodeBackend
from node.rpc.errors import NO_VIEW, RpcError, invalid_params
from node.rpc.method import Shows
from state.modules.views import may_view
from state.primitives.errors import MalformedError
from state.primitives.ids import check_asset_code, format_address, parse_address
from state.view import View


def find_subject(shows: Shows, arguments: Mapping[str, Any]) -> tuple[bytes, str]:
    """The account and the asset that a call asks about, each empty if it names none. Raises `RpcError` for what is neither."""
    account: str = arguments[shows.account] if shows.account else ""
    asset: str = arguments[shows.asset] if shows.asset else ""
    try:
        return parse_address(account) if account else b"", check_asset_code(asset) if asset else ""
    except MalformedError as error:
        raise invalid_params(error.message) from error


def find_refusal(backend: NodeBackend, regulator: bytes, method: str, account: bytes, asset: str) -> RpcError | None:
    """Why a regulator is not told about an account and an asset (naming neither: about everything) now; None if it is."""
    if may_view(View(backend.store), regulator, backend.time_s(), account=account, asset=asset):
        return None
    named = [f"of the account {format_address(account)}"] if account else []
    named += [f"of the asset {asset}"] if asset else []
    wanted = " or ".join([*named, "of the network"])
    return RpcError(
        NO_VIEW,
        f"{method} needs a view {wanted}, and {format_address(regulator)}, which the token is bound to, has none in force: "
        "comp.grant_view grants it",
    )
