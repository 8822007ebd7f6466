"""The demonstration of `qenex testnet up`: alice pays bob, the payment is final, bob's new balance is proved.

The proof is verified here against the app hash of a block header, not believed. Which screen shows it is not decided here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from genesis.testnet import ASSET, ASSET_SCALE
from node.cli.amounts import format_amount
from node.keystore import Role, read_key_file
from node.rpc.client import Client
from node.testnet.files import Manifest
from state.primitives.errors import HomeError, ProofError
from state.primitives.ids import parse_address
from state.schema import decode_record

AMOUNT: Final = 1_250_000  # 1.25 QNX
SENDER: Final = "alice"
RECIPIENT: Final = "bob"


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What became of the transfer; `balance` is the recipient's, in base units, if it was proved."""

    hash: str
    height: int
    code: int
    code_name: str
    balance: int
    app_hash: str
    is_proved: bool

    def describe(self) -> str:
        """One line."""
        what = f"transfer of {format_amount(AMOUNT, ASSET_SCALE)} {ASSET} from {SENDER} to {RECIPIENT}: {self.hash}"
        if self.code:
            return f"{what} failed with {self.code} {self.code_name}"
        if not self.is_proved:
            return f"{what}, final in block {self.height}; the proof of {RECIPIENT}'s balance did NOT verify"
        balance = format_amount(self.balance, ASSET_SCALE)
        return f"{what}, final in block {self.height}; {RECIPIENT} has {balance} {ASSET}, proof ok under app hash {self.app_hash[:16]}"

    def to_json(self) -> dict[str, Any]:
        """The machine-readable form."""
        return {
            "hash": self.hash,
            "height": self.height,
            "code": self.code,
            "code_name": self.code_name,
            "proof_ok": self.is_proved,
            "balance": str(self.balance),
        }


async def demonstrate(root: Path, manifest: Manifest) -> Demonstration:
    """Send the transfer through the first node, wait until it is final, prove the recipient's balance. Raises `ClientError`."""
    sender = read_key_file(root / "keys" / f"{SENDER}.json", _no_passphrase, role=Role.USER)
    recipient = read_key_file(root / "keys" / f"{RECIPIENT}.json", _no_passphrase, role=Role.USER)
    async with Client(f"http://{manifest.nodes[0].rpc}") as client:
        outcome = await client.transfer(
            sender.key, parse_address(sender.account), parse_address(recipient.account), AMOUNT, ASSET, wait_s=120
        )
        balance, app_hash, is_proved = 0, "", False
        if outcome.code == 0:
            try:
                proven = await client.prove(f"/holding/{recipient.account}/{ASSET}")
            except ProofError:
                pass
            else:
                is_proved = proven.value is not None
                app_hash = proven.app_hash.hex().upper()
                balance = int(decode_record(proven.key, proven.value)[0]) if proven.value is not None else 0
    return Demonstration(
        outcome.hash.hex().upper(), outcome.height, outcome.code, outcome.code_name, balance, app_hash, is_proved
    )


def _no_passphrase(path: Path) -> bytes:
    raise HomeError(f"{path} is encrypted, and a local network's keys are not")
