"""Where things lie on a machine unless an operator says otherwise, and that they are this user's alone.

`$QENEX_HOME` wins. Else a folder `~/.qenex` that an older version made goes on being used, whole: keys are never looked for in two places.
Else it is the place that the platform has for a user's data: the XDG base directory specification (0.8) on Linux and its like, Application
Support on macOS. A service has its place from its unit (docs/deploy). Nothing is moved here.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from state.primitives.errors import ConfigError, HomeError

HOME_VARIABLE: Final = "QENEX_HOME"
OLD_NAME: Final = ".qenex"
MODE: Final = 0o700


@dataclass(frozen=True, slots=True)
class Place:
    """The folder, and why it is this one: "QENEX_HOME", "old" or "platform"."""

    folder: Path
    because: str


def find_place(environment: Mapping[str, str] | None = None, platform: str = sys.platform) -> Place:
    """Where this user's things lie. Raises `ConfigError` if this user has no home directory."""
    environment = os.environ if environment is None else environment
    given = environment.get(HOME_VARIABLE)
    if given:
        return Place(Path(given), "QENEX_HOME")
    try:
        user = Path.home()
    except RuntimeError as error:
        raise ConfigError("this user has no home directory", hint=f"set {HOME_VARIABLE}, or give --home") from error
    if (user / OLD_NAME).is_dir():
        return Place(user / OLD_NAME, "old")
    return Place(_platform_folder(user, environment, platform), "platform")


def user_root() -> Path:
    """The folder of `find_place`."""
    return find_place().folder


def describe_move(environment: Mapping[str, str] | None = None, platform: str = sys.platform) -> str:
    """How to move an old folder to the platform's place; empty where there is nothing to move."""
    environment = os.environ if environment is None else environment
    place = find_place(environment, platform)
    if place.because != "old":
        return ""
    new = _platform_folder(Path.home(), environment, platform)
    move = f"mkdir -p '{new.parent}' && mv '{place.folder}' '{new}'"
    return f"{place.folder} is used as before; the place for it is now {new}: stop every node, then {move}"


def _platform_folder(user: Path, environment: Mapping[str, str], platform: str) -> Path:
    if platform == "darwin":
        return user / "Library" / "Application Support" / "qenex"
    given = environment.get("XDG_DATA_HOME", "")
    # a relative path is to be ignored, says the specification
    return (Path(given) if os.path.isabs(given) else user / ".local" / "share") / "qenex"


def find_obstacle(folder: Path) -> tuple[str, str] | None:
    """What stands where a folder belongs, and what to do about it; None if there is a folder or nothing."""
    if folder.is_dir() or not os.path.lexists(folder):
        return None
    if folder.is_symlink() and not folder.exists():
        return f"{folder} is a link to {os.readlink(folder)}, which is not there", "mount the disk that it leads to, or put the link right"
    return f"{folder} is there and is no folder", "move it away, and put the folder back if you have it"


def require_folders(*folders: Path) -> None:
    """Raise `HomeError` if one of them is something else than a folder. One that is missing is passed over."""
    for folder in folders:
        found = find_obstacle(folder)
        if found is not None:
            raise HomeError(found[0], hint=found[1])


def close_to_others(folders: Iterable[Path]) -> list[str]:
    """Take everybody else's rights on these folders away; a line for each that had some. One that is missing is passed over.

    Raises `HomeError` for a folder that others can write to and that cannot be mended.
    """
    lines = []
    for folder in folders:
        try:
            status = folder.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise HomeError(f"cannot look at {folder}: {error.strerror}", hint="check its owner and mode (0700)") from error
        mode = stat.S_IMODE(status.st_mode)
        if not stat.S_ISDIR(status.st_mode) or not mode & 0o077:
            continue
        try:
            folder.chmod(MODE)
        except OSError as error:
            if mode & 0o022:
                raise HomeError(
                    f"{folder} has mode {mode:04o}: others may write to it, and it cannot be closed: {error.strerror}",
                    hint=f"make it this user's and run: chmod 700 {folder}",
                ) from error
            lines.append(f"{folder} has mode {mode:04o}: others may read it, and it cannot be closed: {error.strerror}")
        else:
            lines.append(f"{folder} had mode {mode:04o} and is this user's alone now (0700)")
    return lines
