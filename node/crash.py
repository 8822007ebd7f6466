"""The diagnostic bundle of a consensus failure: what the node saw last, for the people who have to find out why.

A failure stops the process; nothing in here may try to go on. The bundle is `HOME/data/crash-<height>/` (a number is added if it
exists): `error.txt` (traceback), `state.txt` (a summary of the core), `inputs.txt` (the last inputs, oldest first), `versions.txt`; after
a divergence of the state also what `node.maintenance.divergence` knows.
It holds no key and no seed. If it cannot be written (a full disk is a likely reason to be here), the failure still stops the node.
"""

from __future__ import annotations

import platform
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from node.maintenance.divergence import Divergence
from state.primitives.errors import QenexError

BUNDLE_PREFIX: Final = "crash-"
INPUT_TEXT_MAX: Final = 2_000  # characters kept of one input: a block's text may have millions
BUNDLES_MAX: Final = 20  # a supervisor that restarts a failing node for ever must not fill the disk
_PACKAGES: Final = ("qenex-node", "trio", "msgpack", "plyvel", "cryptography", "pynacl", "pyopenssl")


def write_bundle(
    data_directory: Path, height: int, error: BaseException, state: Mapping[str, object], inputs: Iterable[str]
) -> Path | None:
    """Write the bundle and return its directory; None if there are too many already or the disk refuses."""
    with suppress(OSError):
        for number in range(BUNDLES_MAX):
            directory = data_directory / (f"{BUNDLE_PREFIX}{height}" + (f"-{number}" if number else ""))
            if directory.exists():
                continue
            directory.mkdir(mode=0o700, parents=True)
            trace = "".join(traceback.format_exception(error))
            (directory / "error.txt").write_text(trace, encoding="utf-8")
            summary = "".join(f"{name}: {value}\n" for name, value in state.items())
            (directory / "state.txt").write_text(summary, encoding="utf-8")
            lines = (text if len(text) <= INPUT_TEXT_MAX else text[:INPUT_TEXT_MAX] + " ..." for text in inputs)
            (directory / "inputs.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            (directory / "versions.txt").write_text(_versions(), encoding="utf-8")
            leaf = leaf_of(error)
            with suppress(QenexError):  # the store may be the reason: what was written until then is kept
                for name, data in leaf.files() if isinstance(leaf, Divergence) else ():
                    (directory / name).write_bytes(data)
            return directory
    return None


def leaf_of(error: BaseException) -> BaseException:
    """What really happened: the first error of our own in a group, else the first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [leaf_of(inner) for inner in error.exceptions]
    return next((leaf for leaf in leaves if isinstance(leaf, QenexError)), leaves[0])


def _versions() -> str:
    lines = [f"python {platform.python_version()} {platform.platform()}"]
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            lines.append(f"{name} {version(name)}")
    return "\n".join(lines) + "\n"
