"""What the audit log says of RPC callers: calls with a token of role regulator or operator, and calls that were refused.

A call is recorded before its answer is made, so nobody is told anything that the log does not know of. Parameters are not kept in the
clear: their SHA-256 stands for them, with the accounts and assets that they name. Refusals are counted for each token or address, and
at most one entry a minute is written for each. No HTTP in here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import trio

from node.audit.writer import AuditWriter
from node.rpc.roles import Role
from state.primitives.errors import MalformedError
from state.primitives.hashing import sha256
from state.primitives.ids import check_asset_code

RECORDED: Final = (Role.REGULATOR, Role.OPERATOR)
WINDOW_S: Final = 60.0
CALLERS_MAX: Final = 4_096  # whose refusals are told apart; the rest are counted together
OTHERS: Final = "others"
NAMES_MAX: Final = 12  # accounts, and assets, of one call that are named; all are in the hash
_ADDRESS: Final = re.compile(r"qx1[02-9ac-hj-np-z]{58}", re.ASCII)
_ASSETS: Final = ("asset", "code", "pool", "asset_in", "asset_out", "path")
_WALKED_MAX: Final = 1_000


@dataclass(slots=True)
class _Window:
    """Refusals of one caller: when its minute began, how many since are in no entry, and what the last was."""

    began: float
    suppressed: int
    last: dict[str, Any]


class RequestLog:
    """`now` is a monotonic clock in seconds."""

    def __init__(self, writer: AuditWriter, now: Callable[[], float]) -> None:
        self._writer = writer
        self._now = now
        self._windows: dict[str, _Window] = {}

    async def record(self, name: str, role: Role, method: str, names: Sequence[str], params: Any, request: str, address: str) -> None:
        """A call with a token; `names` are those of its parameters in order. Raises as `AuditWriter.record`."""
        accounts, assets = find_subjects(params, names)
        await self._writer.record(
            f"token:{name}",
            "rpc.request",
            role=role.value,
            method=method[:64],
            params_sha256=hash_params(params),
            accounts=",".join(accounts),
            assets=",".join(assets),
            request=request,
            address=address,
        )

    def refuse(self, actor: str, method: str, code: int, request: str, address: str) -> None:
        """A call that was refused: of a token that may not, or of an address without a good one."""
        now = self._now()
        window = self._windows.get(actor)
        if window is None and len(self._windows) >= CALLERS_MAX:
            actor = OTHERS
            window = self._windows.get(actor)
        detail = {"method": method[:64], "code": code, "address": address, "request": request}
        if window is not None and now - window.began < WINDOW_S:
            window.suppressed += 1
            window.last = detail
            return
        self._windows[actor] = _Window(now, 0, detail)
        self._writer.note(actor, "rpc.refused", **detail, suppressed=0 if window is None else window.suppressed)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled: see that what was suppressed is told a minute later at the latest."""
        task_status.started()
        while True:
            await trio.sleep(WINDOW_S)
            self.flush()

    def flush(self, *, is_last: bool = False) -> None:
        """Forget windows that are over; an entry for each that suppressed something. `is_last`: all of them."""
        now = self._now()
        for actor, window in tuple(self._windows.items()):
            if not is_last and now - window.began < WINDOW_S:
                continue
            del self._windows[actor]
            if window.suppressed:
                self._writer.note(actor, "rpc.refused", **window.last, suppressed=window.suppressed - 1)


def hash_params(params: Any) -> str:
    """SHA-256 of the parameters as JSON with sorted names; of none, that of `null`."""
    return sha256(msgspec.json.encode(params, order="deterministic")).hex()


def find_subjects(params: Any, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """(addresses, asset codes) that parameters name, each once, a few of each."""
    accounts: dict[str, None] = {}
    assets: dict[str, None] = {}
    for walked, (name, text) in enumerate(_texts(params, names)):
        if walked == _WALKED_MAX:
            break
        accounts.update(dict.fromkeys(_ADDRESS.findall(text[:65_536])))
        if name in _ASSETS:
            assets.update(dict.fromkeys(part for part in text[:256].strip('"').split("/") if _is_code(part)))
    return list(accounts)[:NAMES_MAX], list(assets)[:NAMES_MAX]


def _texts(params: Any, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    rows = params.items() if isinstance(params, dict) else enumerate(params) if isinstance(params, list) else ()
    for name, value in rows:
        label = name if isinstance(name, str) else names[name] if name < len(names) else ""
        for item in value if isinstance(value, list) else (value,):
            if isinstance(item, str):
                yield label, item


def _is_code(text: str) -> bool:
    try:
        check_asset_code(text)
    except MalformedError:
        return False
    return True
