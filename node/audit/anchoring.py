"""The node's own anchors: every so often it tells the chain how far its audit log goes, by a transaction in its own mempool.

Nothing waits for it. What fails is said once, tried again with growing pauses, and shows in the metrics; a log in which nothing new
stands is not anchored again. By hand the same is done by `qenex audit anchor`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import trio

from node.audit.chain import Head
from node.audit.verify import read_log_name
from node.audit.writer import AuditWriter
from node.clock import NS_PER_S
from node.keystore import KeySet
from node.mempool.mempool import Submitted
from state.params import FeeParams
from state.primitives.errors import AuditLogDamagedError, ConfigError, QenexError
from state.primitives.ids import format_address, parse_address
from state.primitives.limits import LANE_UNORDERED
from state.queries import get_account
from state.queries_audit import get_anchored_logs
from state.schema import FEE_PARAMS_KEY, decode_record
from state.transaction import build, call
from state.view import Reader

VALID_S: Final = 300  # then it has been in a block, or never will be
POLL_S: Final = 1.0
RETRY_S: Final = 15.0
_OPERATION: Final = "audit.anchor"
_TX_BYTES: Final = 8 * 1024  # of a transaction with a hybrid signature: for the most that is paid

Submit = Callable[[Sequence[bytes]], Any]


class Anchorer:
    """`run` it for the life of the node. `submit` hands transactions to the mempool; `chain_id` is the genesis hash."""

    def __init__(
        self,
        writer: AuditWriter,
        key: KeySet,
        reader: Reader,
        submit: Submit,
        chain_id: bytes,
        interval_s: float,
        now_ns: Callable[[], int],
        warn: Callable[[str, QenexError], None],
    ) -> None:
        self.anchored = 0  # entries of the log that the chain confirms
        self._writer = writer
        self._key = key
        self._account = parse_address(key.account)
        self._reader = reader
        self._submit = submit
        self._chain_id = chain_id
        self._interval_s = interval_s
        self._now_ns = now_ns
        self._warn = warn

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Anchor now and again until cancelled."""
        task_status.started()
        pause, is_quiet = 0.0, False
        while True:
            try:
                await self.anchor()
            except QenexError as error:
                pause = min(self._interval_s, max(RETRY_S, 2 * pause))
                if not is_quiet:
                    self._warn("audit anchor", error)
                is_quiet = True
                await trio.sleep(pause)
            else:
                pause, is_quiet = 0.0, False
                await trio.sleep(self._interval_s)

    async def anchor(self) -> None:
        """Anchor the log as it is, if it has grown, and wait until that is in a block.

        Raises `ConfigError` for an account or a key that cannot, `AuditLogUnavailableError`, and `AuditLogDamagedError` for a log that is
        shorter than the chain knows it.
        """
        name, head = await trio.to_thread.run_sync(self._read_log)
        self.anchored = self._read_anchored(name)
        if self.anchored > head.entries:
            raise AuditLogDamagedError(
                f"the end of the audit log is missing: {self.anchored} entries are anchored, it has {head.entries}",
                hint="qenex audit verify says what is wrong",
            )
        if self.anchored == head.entries:
            return
        raw = self._make(name, head)
        result: Submitted = (await self._submit([raw]))[0]
        if result.code:
            raise ConfigError(f"the anchor was refused: {result.code} {result.log}", hint=f"qenex query account {self._key.account}")
        deadline = trio.current_time() + VALID_S + 2 * POLL_S
        while self._read_anchored(name) < head.entries:
            if trio.current_time() > deadline:
                raise ConfigError("the anchor was in no block, or failed there", hint=f"qenex query history {self._key.account}")
            await trio.sleep(POLL_S)
        self.anchored = head.entries

    def _read_log(self) -> tuple[str, Head]:
        head = self._writer.journal.read_head()
        return read_log_name(self._writer.journal.path), head

    def _read_anchored(self, name: str) -> int:
        return next((int(str(row["entries"])) for row in get_anchored_logs(self._reader, self._account) if row["log"] == name), 0)

    def _make(self, name: str, head: Head) -> bytes:
        """The transaction, signed. It is unordered: the account may be used for other things at the same time."""
        now_s = self._now_ns() // NS_PER_S
        draft = build(
            chain_id=self._chain_id,
            sender=self._account,
            lane=LANE_UNORDERED,
            seq=time.time_ns(),
            valid_until=now_s + VALID_S,
            ops=[call(_OPERATION, log=name, entries=head.entries, head=bytes.fromhex(head.hash))],
            memo="",
            max_fee=self._max_fee(),
        )
        return draft.sign(self._account, self._key_id(), self._key.key).encode()

    def _max_fee(self) -> int:
        raw = self._reader.get(FEE_PARAMS_KEY)
        fees = FeeParams() if raw is None else FeeParams.from_record(decode_record(FEE_PARAMS_KEY, raw))
        base = dict(fees.base).get(_OPERATION, fees.base_default)
        return base + fees.per_signature + fees.per_byte * max(0, _TX_BYTES - fees.free_bytes)

    def _key_id(self) -> int:
        account: Any = get_account(self._reader, self._account)
        if account is None:
            who = format_address(self._account)
            raise ConfigError(f"there is no account {who} on this chain", hint="qenex tx create-account opens one")
        public_key = self._key.key.public_key.data.hex()
        for entry in (*account["keys"], *account["sessions"]):
            if entry["public_key"] == public_key:
                return int(entry["key_id"])
        raise ConfigError(
            f"the key of [audit] anchor_key is no key of {format_address(self._account)}", hint="it may have been rotated out"
        )
