"""Shared by the tests of signers: a disk that never waits."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _disk_that_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies loses nothing that it has written; only a machine does, and none dies here."""
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda descriptor: None)
