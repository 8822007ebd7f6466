"""Levels of modules: what is off writes nothing, a change is heard at once, and what was set for a while goes back."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import structlog
import trio
import trio.testing

from node.config import parse_config
from node.config_sections import LOG_MODULES, LogConfig
from node.telemetry.levels import FOR_S_MAX, LogLevels, check_level, levels_of
from node.telemetry.logs import configure_logs, current_levels, get_log, set_levels, silenced
from state.primitives.errors import ConfigError


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    out = io.StringIO()
    before = current_levels()
    configure_logs(level="info", as_json=True, moniker="node0", stream=out)
    yield out
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    set_levels(before)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    stream.truncate(0)
    stream.seek(0)
    return found


def test_each_module_has_its_own_level(stream: io.StringIO) -> None:
    quiet, loud = get_log("p2p"), get_log("consensus")
    assert quiet is get_log("p2p")
    set_levels({"p2p": "warning", "consensus": "debug"})
    for log in (quiet, loud):
        for level in ("debug", "info", "warning", "error"):
            getattr(log, level)("said", at=level, hash=b"\x01")
    found = [(line["module"], line["level"], line["hash"]) for line in lines(stream)]
    assert found == [("p2p", "warning", "01"), ("p2p", "error", "01")] + [
        ("consensus", level, "01") for level in ("debug", "info", "warning", "error")
    ]
    try:
        raise ValueError("a defect")
    except ValueError:
        quiet.error("failed", exc_info=True)
    assert "ValueError: a defect" in lines(stream)[0]["exception"]


def test_how_lines_look_may_change_later(stream: io.StringIO) -> None:
    """A logger that was made before the logs were set up writes as they are set up now."""
    log = get_log("app")
    other = io.StringIO()
    configure_logs(level="info", as_json=False, moniker="node1", stream=other)
    log.info("said")
    assert stream.getvalue() == ""
    assert "said" in other.getvalue() and "module=app" in other.getvalue()


def test_a_line_that_cannot_be_written_ends_nothing(stream: io.StringIO) -> None:
    """Failed before: a full disk under the log, or a terminal that was closed, ended the node with an OSError."""
    with open("/dev/full", "w") as full:
        configure_logs(level="info", as_json=True, moniker="node0", stream=full)
        for _ in range(1_000):
            get_log("consensus").info("block committed", height=7)
        configure_logs(level="info", as_json=True, moniker="node0", stream=stream)
        with suppress(OSError):
            full.close()
    get_log("consensus").info("block committed", height=8)
    assert [line["height"] for line in lines(stream)] == [8]


@pytest.mark.parametrize(
    ("module", "level", "for_s", "says"),
    [
        ("consenus", "debug", 0, "consensus"),
        ("", "debug", 0, "mempool"),
        ("x" * 1_000, "debug", 0, "is no module"),
        ("p2p", "loud", 0, "warning"),
        ("p2p", "", 0, "is no level"),
        ("p2p", "debug", -1, "86400"),
        ("p2p", "debug", FOR_S_MAX + 1, "86400"),
    ],
)
def test_what_is_no_module_or_level_is_told_what_is(module: str, level: str, for_s: int, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_level(module, level, for_s)
    line = f"{caught.value.message} {caught.value.hint}"
    assert says in line and len(line) < 300


def test_settings() -> None:
    config = parse_config('[log]\nlevel = "warning"\nlevels = ["p2p=debug", "rpc=error"]', environment={})
    found = levels_of(config.log)
    assert found == dict.fromkeys(LOG_MODULES, "warning") | {"p2p": "debug", "rpc": "error"}
    config = parse_config("", environment={"QENEX_LOG_LEVELS": "p2p=debug, sync=error"})
    assert config.log.levels == ("p2p=debug", "sync=error")
    for text in ("p2p", "p2p=loud", "peers=debug", "p2p=debug=x", "=debug"):
        with pytest.raises(ConfigError, match=r"config.toml line 2: log.levels.*consensus"):
            parse_config(f'[log]\nlevels = ["{text}"]', environment={})
    with pytest.raises(ConfigError, match=r"line 3: log\.levels has p2p twice"):
        parse_config('moniker = "x"\n[log]\nlevels = ["p2p=debug", "p2p=info"]', environment={})


async def test_what_is_set_for_a_while_goes_back(stream: io.StringIO, autojump_clock: trio.testing.MockClock) -> None:
    levels = LogLevels(LogConfig(levels=("rpc=error",)), lambda: 1_700_000_000 * 10**9)
    async with trio.open_nursery() as nursery:
        await nursery.start(levels.run)
        levels.set("consensus", "debug", 600)
        levels.set("rpc", "debug", 60)
        levels.set("p2p", "debug")
        by_name = {row["module"]: row for row in levels.show()}
        assert {key: by_name["consensus"][key] for key in ("level", "by", "until")} == {
            "level": "debug", "by": "operator", "until": "2023-11-14T22:23:20Z",
        }  # fmt: skip
        assert (by_name["p2p"]["until"], by_name["sync"]["by"]) == ("", "settings")
        await trio.sleep(61)
        assert (current_levels()["rpc"], current_levels()["consensus"]) == ("error", "debug")
        levels.set("consensus", "debug", 1_000)  # later than it was
        await trio.sleep(600)
        assert current_levels()["consensus"] == "debug"
        levels.apply(LogConfig(level="warning", levels=("consensus=error", "p2p=error")))
        assert (current_levels()["consensus"], current_levels()["p2p"], current_levels()["sync"]) == ("debug", "debug", "warning")
        await trio.sleep(500)
        assert (current_levels()["consensus"], current_levels()["p2p"]) == ("error", "debug")
        levels.set("p2p", "default")
        assert current_levels()["p2p"] == "error"
        levels.set("all", "debug", 60)
        assert set(current_levels().values()) == {"debug"}
        with pytest.raises(ConfigError):
            levels.set("all", "loud")
        await trio.sleep(61)
        assert current_levels() == levels_of(LogConfig(level="warning", levels=("consensus=error", "p2p=error")))
        nursery.cancel_scope.cancel()
    said = [line["event"] for line in lines(stream) if line["module"] == "app"]
    assert "log level set" in said and "log level back" in said


def test_silence_keeps_everything_back_and_gives_the_levels_back(stream: io.StringIO) -> None:
    set_levels({"p2p": "debug"})
    with silenced():
        get_log("consensus").error("lost")
    get_log("p2p").debug("heard")
    assert [line["event"] for line in lines(stream)] == ["heard"]
