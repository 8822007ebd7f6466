"""Shared by the tests of signers: a disk that never waits, logs that are quiet."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _disk_that_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies loses nothing that it has written; only a machine does, and none dies here."""
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, lambda descriptor: None)


@pytest.fixture(autouse=True)
def _quiet_logs() -> Iterator[None]:
    """Nodes in this process would spend more time on lines of log than on blocks."""
    nowhere = structlog.WriteLoggerFactory(file=io.StringIO())
    structlog.configure(logger_factory=nowhere, wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    yield
    structlog.reset_defaults()
