"""Files of a change of keys, killed at every step: each key stays beside its record, and none is lost."""

from __future__ import annotations

import errno
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from node.config import Home
from node.files import RealFiles
from node.keystore import KeySet, Role, read_key_file, read_key_info, write_key_file
from node.signer import Signer
from node.signing import key_files
from node.signing.key_files import address_of, finish_promotion, make_next, open_ring, promote
from state.primitives.errors import KeyFileError, KeyRotationError, SignerRecordError
from state.primitives.keys import KeyKind
from tests.node.signing.keys import CHAIN, make_pair, make_set, request_of, vote


def no_passphrase(path: Path) -> bytes:
    raise AssertionError(f"{path} is encrypted")


def read_keys(path: Path) -> KeySet:
    return read_key_file(path, no_passphrase, role=Role.VALIDATOR)


class Killed(BaseException):
    """The process ends here."""


class KillingFiles(RealFiles):
    """Dies before, or after, the n-th call that changes a folder."""

    def __init__(self, countdown: int) -> None:
        self.countdown = countdown

    def rename(self, path: Path, new: Path) -> None:
        self._count()
        super().rename(path, new)
        self._count()

    def sync_folder(self, folder: Path) -> None:
        super().sync_folder(folder)
        self._count()

    def _count(self) -> None:
        self.countdown -= 1
        if not self.countdown:
            raise Killed


@pytest.fixture
def home(tmp_path: Path) -> Home:
    found = Home(tmp_path / "home")
    write_key_file(found.validator_key_file, KeySet(Role.VALIDATOR, "v", make_pair("old")), None)
    Signer.create(found.signer_file, CHAIN, *make_pair("old")).close()
    return found


def addresses(home: Home) -> tuple[bytes, ...]:
    ring = open_ring(home, CHAIN, read_keys)
    assert ring is not None
    ring.close()
    return ring.addresses


def test_a_next_key_has_its_own_record_and_never_a_second(home: Home) -> None:
    old = addresses(home)
    info = make_next(home, CHAIN, KeyKind.MLDSA44, None)
    assert addresses(home) == (*old, address_of(info))
    with pytest.raises(KeyRotationError, match="under way"):
        make_next(home, CHAIN, KeyKind.MLDSA44, None)
    home.next_signer_file.unlink()
    with pytest.raises(SignerRecordError, match="missing"):
        open_ring(home, CHAIN, read_keys)
    ring = open_ring(home, CHAIN, read_keys, abstain_through=5)
    assert ring is not None
    assert [signer.record.height for signer in ring.signers] == [0, 5]
    ring.close()


def test_a_record_without_its_key_is_the_rest_of_an_attempt(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise KeyFileError("the disk is full")

    monkeypatch.setattr(key_files, "write_key_file", full)
    with pytest.raises(KeyFileError):
        make_next(home, CHAIN, KeyKind.MLDSA44, None)
    assert home.next_signer_file.exists()
    assert len(addresses(home)) == 1  # it changes nothing
    monkeypatch.undo()
    make_next(home, CHAIN, KeyKind.MLDSA44, None)
    assert len(addresses(home)) == 2


def test_killed_at_every_step_of_taking_over(home: Home, tmp_path: Path) -> None:
    make_next(home, CHAIN, KeyKind.MLDSA44, None)
    ring = open_ring(home, CHAIN, read_keys)
    assert ring is not None
    old, new = ring.addresses
    ring.sign(request_of(vote(old, 5)), old)
    ring.sign(request_of(vote(new, 6)), new)
    ring.close()
    for countdown in range(1, 14):
        copy = Home(tmp_path / f"copy {countdown}")
        shutil.copytree(home.root, copy.root)
        files = KillingFiles(countdown)
        try:
            promote(copy, files)
        except Killed:
            pass
        else:
            assert countdown == 13  # four renames, three moments in each
        for _ in range(2):  # the start after it, and one more
            ring = open_ring(copy, CHAIN, read_keys)
            assert ring is not None
            assert ring.held in ((new,), (old, new))
            ring.select(make_set("other"))
            assert {signer.address: signer.record.height for signer in ring.signers}[new] == 6
            ring.close()
        if ring.held == (old, new):
            promote(copy)
        assert addresses(copy) == (new,)
        names = sorted(path.name for path in (*copy.keys_dir.iterdir(), *copy.data_dir.iterdir()))
        assert names == ["signer_record", "signer_record.retired-1", "validator.json", "validator.json.retired-1"]
        assert address_of(read_key_info(copy.keys_dir / "validator.json.retired-1")) == old


def test_killed_in_every_pair_of_lives(home: Home, tmp_path: Path) -> None:
    """Killed while taking over, and killed again while the next start goes on with it."""
    make_next(home, CHAIN, KeyKind.MLDSA44, None)
    new = addresses(home)[1]
    for first in range(1, 13):
        for second in range(1, 10):
            copy = Home(tmp_path / f"copy {first} {second}")
            shutil.copytree(home.root, copy.root)
            for work in (lambda: promote(copy, KillingFiles(first)), lambda: finish_promotion(copy, KillingFiles(second))):  # noqa: B023
                with suppress(Killed):
                    work()
            promote(copy)
            assert addresses(copy) == (new,)


def test_a_second_change_numbers_its_files_on(home: Home) -> None:
    for number in (1, 2, 3):
        make_next(home, CHAIN, KeyKind.MLDSA44, None)
        promote(home)
        assert (home.keys_dir / f"validator.json.retired-{number}").exists()
        assert (home.data_dir / f"signer_record.retired-{number}").exists()


def test_a_disk_that_refuses_loses_nothing(home: Home) -> None:
    class Refusing(RealFiles):
        def rename(self, path: Path, new: Path) -> None:
            raise OSError(errno.EROFS, "read-only file system")

    make_next(home, CHAIN, KeyKind.MLDSA44, None)
    before = addresses(home)
    with pytest.raises(KeyRotationError, match="read-only"):
        promote(home, Refusing())
    assert addresses(home) == before


def test_a_key_that_was_moved_away_by_hand_is_not_replaced(home: Home) -> None:
    make_next(home, CHAIN, KeyKind.MLDSA44, None)
    home.validator_key_file.rename(home.keys_dir / "elsewhere")
    assert open_ring(home, CHAIN, read_keys) is None
    assert home.next_key_file.exists()
