"""The signer's record: refusals, stored signatures, torn writes, lost and foreign files."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from pathlib import Path

import pytest

from node.signer import Signer, SignerRecord, SignRequest, Step
from state.primitives.errors import DoubleSignError, LocalError, SignerRecordError
from state.primitives.keys import CONTEXT_VOTE, KeyKind, PrivateKey
from state.primitives.limits import ROUND_MAX, SIGNER_COPY_BYTES

CHAIN = b"\x07" * 32
KEY = PrivateKey.from_seed(KeyKind.ED25519, b"k" * 32)
PQ_KEY = PrivateKey.from_seed(KeyKind.MLDSA44, b"q" * 32)
PATH = "signer_record"


def request(height: int, round_: int, step: Step, content: bytes = b"a", **lock: object) -> SignRequest:
    sign_bytes = b"%d/%d/%d " % (height, round_, step) + content
    base = SignRequest(height, round_, step, sign_bytes, b"", -1, b"", -1)
    return replace(base, **lock)


def create(directory: Path) -> Signer:
    return Signer.create(directory / PATH, CHAIN, KEY, PQ_KEY)


def reopen(directory: Path) -> Signer:
    return Signer.open(directory / PATH, CHAIN, KEY, PQ_KEY)


def test_signs_with_both_keys_and_remembers(tmp_path: Path) -> None:
    signer = create(tmp_path)
    wanted = request(3, 1, Step.PREVOTE, locked_value=b"L" * 32, locked_round=0, valid_value=b"V" * 32, valid_round=1)
    wanted = replace(wanted, log_position=77)
    signature, pq_signature = signer.sign(wanted)
    assert KEY.public_key.verify(wanted.sign_bytes, signature, b"")
    assert PQ_KEY.public_key.verify(wanted.sign_bytes, pq_signature, CONTEXT_VOTE)
    signer.close()
    signer = reopen(tmp_path)
    assert signer.record == SignerRecord(
        CHAIN, signer.address, 3, 1, 2, wanted.sign_bytes, signature, pq_signature, b"L" * 32, 0, b"V" * 32, 1, 77
    )
    assert signer.sign(wanted) == (signature, pq_signature)  # stored: ML-DSA would not repeat itself
    signer.close()
    assert os.stat(tmp_path / PATH).st_mode & 0o777 == 0o600


def test_every_order_of_two_requests(tmp_path: Path) -> None:
    moments = list(itertools.product((1, 2), (0, 1), Step))
    for first, second in itertools.product(moments, moments):
        for content in (b"a", b"b"):
            directory = tmp_path / str(len(list(tmp_path.iterdir())))
            signer = create(directory)
            given = signer.sign(request(*first))
            before = signer.record
            if second > first:
                assert signer.sign(request(*second, content)) != given
            elif second == first and content == b"a":
                assert signer.sign(request(*second, content)) == given
            else:
                with pytest.raises(DoubleSignError):
                    signer.sign(request(*second, content))
                assert signer.record is before
            signer.close()
        if first > (1, 1, 2):
            break


def test_promises_never_go_back_within_a_height(tmp_path: Path) -> None:
    signer = create(tmp_path)
    value, other = b"A" * 32, b"B" * 32
    signer.sign(request(1, 2, Step.PRECOMMIT, locked_value=value, locked_round=2, valid_value=value, valid_round=2))
    for lock in (
        {},
        {"locked_value": value, "locked_round": 1, "valid_value": value, "valid_round": 2},
        {"locked_value": other, "locked_round": 2, "valid_value": value, "valid_round": 2},
        {"locked_value": value, "locked_round": 2, "valid_value": other, "valid_round": 2},
        {"locked_value": value, "locked_round": 2},
    ):
        with pytest.raises(DoubleSignError, match="go back"):
            signer.sign(request(1, 3, Step.PREVOTE, **lock))
    signer.sign(request(1, 3, Step.PREVOTE, locked_value=other, locked_round=3, valid_value=other, valid_round=3))
    signer.sign(request(2, 0, Step.PREVOTE))
    signer.close()


def test_torn_write_at_every_offset_leaves_old_or_new(tmp_path: Path) -> None:
    """Whatever part of the slot reached the disk, and whatever stands in the rest, one of the two records is found."""
    signer = create(tmp_path)
    signer.sign(request(1, 0, Step.PROPOSE))
    signer.sign(request(1, 0, Step.PREVOTE))
    path = tmp_path / PATH
    before, old = path.read_bytes(), signer.record
    signer.sign(request(1, 0, Step.PRECOMMIT))
    after, new = path.read_bytes(), signer.record
    signer.close()
    changed = [i for i in range(len(before)) if before[i] != after[i]]
    low, high = changed[0], changed[-1] + 1
    assert high - low <= 2 * SIGNER_COPY_BYTES
    outcomes = []
    for cut in (*range(low, low + 64), *range(low, high, 61), *range(high - 64, high + 1)):
        for junk in (before[cut:high], bytes(high - cut), b"\xff" * (high - cut)):
            path.write_bytes(after[:cut] + junk + after[high:])
            signer = reopen(tmp_path)
            outcomes.append(signer.record)
            signer.close()
    assert all(outcome in (old, new) for outcome in outcomes)
    assert old in outcomes
    assert new in outcomes


def test_every_flipped_byte_leaves_the_newest_record(tmp_path: Path) -> None:
    signer = create(tmp_path)
    signer.sign(request(1, 0, Step.PROPOSE))
    signer.sign(request(1, 0, Step.PREVOTE))
    newest = signer.record
    signer.close()
    path = tmp_path / PATH
    whole = path.read_bytes()
    for offset in range(len(whole)):
        if offset % SIGNER_COPY_BYTES > 64 and offset % 61:
            continue  # a sample is enough
        flipped = bytearray(whole)
        flipped[offset] ^= 0x40
        path.write_bytes(flipped)
        signer = reopen(tmp_path)
        assert signer.record == newest
        signer.close()


def test_damage_beyond_repair_is_refused_and_can_be_accepted(tmp_path: Path) -> None:
    create(tmp_path).close()
    path = tmp_path / PATH
    whole = path.read_bytes()
    for content in (b"", bytes(len(whole)), whole[:-1], whole + b"\0", os.urandom(len(whole))):
        path.write_bytes(content)
        with pytest.raises(SignerRecordError, match="damaged") as caught:
            reopen(tmp_path)
        assert "--accept-empty-signer-record" in caught.value.hint
        assert isinstance(caught.value, LocalError)
        assert caught.value.code == SignerRecordError.code
    signer = Signer.open_or_accept_empty(path, CHAIN, KEY, PQ_KEY, abstain_through=9)
    assert (tmp_path / f"{PATH}.damaged-1").exists()
    for round_ in (0, 5, ROUND_MAX):
        with pytest.raises(DoubleSignError):
            signer.sign(request(9, round_, Step.PRECOMMIT))
    signer.sign(request(10, 0, Step.PREVOTE))
    signer.close()


def test_missing_record(tmp_path: Path) -> None:
    with pytest.raises(SignerRecordError, match="missing") as caught:
        reopen(tmp_path)
    assert "--accept-empty-signer-record" in caught.value.hint
    Signer.open_or_accept_empty(tmp_path / PATH, CHAIN, KEY, PQ_KEY, abstain_through=0).close()
    reopen(tmp_path).close()
    with pytest.raises(SignerRecordError, match="exists already"):
        create(tmp_path)


def test_exclusive(tmp_path: Path) -> None:
    signer = create(tmp_path)
    for opening in (
        lambda: reopen(tmp_path),
        lambda: Signer.open_or_accept_empty(tmp_path / PATH, CHAIN, KEY, PQ_KEY, abstain_through=0),
    ):
        with pytest.raises(SignerRecordError, match="in use"):
            opening()
    signer.close()
    reopen(tmp_path).close()


def test_foreign_files(tmp_path: Path) -> None:
    create(tmp_path).close()
    other = PrivateKey.from_seed(KeyKind.ED25519, b"o" * 32)
    with pytest.raises(SignerRecordError, match="another validator key"):
        Signer.open(tmp_path / PATH, CHAIN, other, PQ_KEY)
    with pytest.raises(SignerRecordError, match="another chain"):
        Signer.open_or_accept_empty(tmp_path / PATH, b"\x08" * 32, KEY, PQ_KEY, abstain_through=0)
    with pytest.raises(SignerRecordError, match="one Ed25519 key"):
        Signer.open(tmp_path / PATH, CHAIN, PQ_KEY, KEY)
    (tmp_path / PATH).chmod(0o666)
    with pytest.raises(SignerRecordError, match="other users"):
        reopen(tmp_path)
    (tmp_path / PATH).chmod(0o600)
    (tmp_path / "link").symlink_to(tmp_path / PATH)
    with pytest.raises(SignerRecordError):
        Signer.open(tmp_path / "link", CHAIN, KEY, PQ_KEY)


def test_disk_error_is_final_and_nothing_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = create(tmp_path)
    with monkeypatch.context() as patch:

        def fail(descriptor: int) -> None:
            raise OSError(5, "Input/output error")

        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(SignerRecordError, match="Input/output"):
            signer.sign(request(1, 0, Step.PREVOTE))
    with pytest.raises(SignerRecordError, match="failed before"):
        signer.sign(request(1, 0, Step.PREVOTE))
    signer.close()


def test_record_older_than_the_chain(tmp_path: Path) -> None:
    signer = create(tmp_path)
    signer.sign(request(4, 1, Step.PREVOTE))
    signer.require_at_least(4, 0, Step.PRECOMMIT)
    signer.require_at_least(3, 7, Step.PRECOMMIT)
    with pytest.raises(SignerRecordError, match="ends at 4/1/2"):
        signer.require_at_least(4, 1, Step.PRECOMMIT)
    signer.close()


def test_abstaining_is_durable_and_never_goes_back(tmp_path: Path) -> None:
    signer = create(tmp_path)
    signer.sign(request(4, 1, Step.PREVOTE))
    signer.abstain_through(3)
    assert signer.record.moment == (4, 1, Step.PREVOTE)
    signer.abstain_through(9)
    signer.close()
    signer = Signer.open(tmp_path / PATH, CHAIN, KEY, PQ_KEY)
    assert signer.record.moment == (9, ROUND_MAX, Step.PRECOMMIT)
    assert signer.knows(8, 7, Step.PRECOMMIT) and not signer.knows(9, 7, Step.PRECOMMIT)
    with pytest.raises(DoubleSignError):
        signer.sign(request(9, 3, Step.PREVOTE))
    signer.sign(request(10, 0, Step.PREVOTE))
    signer.close()


def test_abstaining_on_a_full_disk_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = create(tmp_path)
    with monkeypatch.context() as patch:

        def fail(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(SignerRecordError, match="No space"):
            signer.abstain_through(9)
    with pytest.raises(SignerRecordError, match="failed before"):
        signer.sign(request(10, 0, Step.PREVOTE))
    signer.close()


def test_largest_record_fits(tmp_path: Path) -> None:
    """The largest parameter set, full values and generous sign bytes."""
    pq_key = PrivateKey.from_seed(KeyKind.MLDSA87, b"q" * 32)
    signer = Signer.create(tmp_path / PATH, CHAIN, KEY, pq_key)
    value = b"v" * 32
    signer.sign(
        request(
            (1 << 63) - 1,
            ROUND_MAX,
            Step.PRECOMMIT,
            b"s" * 500,
            locked_value=value,
            locked_round=ROUND_MAX,
            valid_value=value,
            valid_round=ROUND_MAX,
            log_position=1 << 40,
        )
    )
    signer.close()
