"""Pieces of transactions as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from genesis.entries import single_key_account
from node.cli.parts import LEG_CREDIT, LEG_DEBIT, parse_key_rows, parse_leg, parse_thresholds, resolve_legs
from node.keystore import KeySet, Role, write_key_file
from state.primitives.errors import ConfigError, QenexError
from state.primitives.ids import parse_address
from state.primitives.keys import KeyKind, PrivateKey


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for number, name in enumerate(("alice", "bob")):
        key = PrivateKey.from_seed(KeyKind.ED25519, bytes([number]) * 32)
        account = single_key_account(key.public_key).address
        write_key_file(tmp_path / "keys" / f"{name}.json", KeySet(Role.USER, name, (key,), account), None)
    return tmp_path


def public(number: int) -> bytes:
    return PrivateKey.from_seed(KeyKind.ED25519, bytes([number]) * 32).public_key.data


def test_key_rows(home: Path) -> None:
    rows = parse_key_rows(("alice", "bob:3", f"ed25519={'ab' * 32}:2"), home, 5)
    assert rows == ((5, 1, public(0), 1), (6, 1, public(1), 3), (7, 1, bytes.fromhex("ab" * 32), 2))


@pytest.mark.parametrize("text", ["alice:0", "alice:x", "alice:70000", "nobody", "ed25519=ab:1", "rsa=ab:1", "ed25519=zz:1", "alice:"])
def test_wrong_key_rows(home: Path, text: str) -> None:
    with pytest.raises(QenexError):
        parse_key_rows((text,), home)


def test_thresholds() -> None:
    assert parse_thresholds("1,2,2,3") == (1, 2, 2, 3)
    for text in ("1,2,3", "0,1,1,1", "2,1,1,1", "a,b,c,d", "", "1,1,1,99999999999999999999"):
        with pytest.raises(ConfigError):
            parse_thresholds(text)


def test_legs(home: Path) -> None:
    legs = [parse_leg("alice:QNX:-1.5"), parse_leg("bob:QNX:1.5")]
    assert [leg.direction for leg in legs] == [LEG_DEBIT, LEG_CREDIT]
    resolved = resolve_legs(legs, {"QNX": 2}, home, base_units=False)
    assert [(code, direction, amount) for _, code, direction, amount in resolved] == [("QNX", 0, 150), ("QNX", 1, 150)]
    assert resolved[0][0] == parse_address(single_key_account(PrivateKey.from_seed(KeyKind.ED25519, bytes(32)).public_key).address)
    with pytest.raises(ConfigError, match="do not sum to zero"):
        resolve_legs(legs[:1], {"QNX": 2}, home, base_units=False)
    with pytest.raises(ConfigError, match="finer"):
        resolve_legs(legs, {"QNX": 0}, home, base_units=False)


@pytest.mark.parametrize("text", ["alice", "alice:QNX", "alice::5", "a:b:c:d", ":QNX:1"])
def test_wrong_legs(text: str) -> None:
    with pytest.raises(ConfigError, match="ACCOUNT:ASSET:AMOUNT"):
        parse_leg(text)
