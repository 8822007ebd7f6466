"""The fuzzing loop: inputs from seeds by mutation, each given to a target, findings kept, memory and time watched.

Two ways to mutate: of bytes, and of what they mean (a value of a msgpack or JSON tree is replaced, dropped, doubled, nested), because
random bytes rarely pass the first check. Guidance without instruments: an input that was accepted, or refused with words not heard
before, has got further than others, and its mutations come next. One seed gives one sequence of inputs. With the `atheris` package
installed the same targets run under its coverage guidance (`scripts/fuzz --engine atheris`). What the targets are is not known here.
"""

from __future__ import annotations

import json
import random
import re
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgpack

from tests.fuzz.targets import Target

SLOW_SECONDS: Final = 1.0  # processor time of one input; a decoder takes microseconds
INPUT_BYTES_MAX: Final = 1 << 18
PEAK_KIB_MAX: Final = 40 * 1024  # by which one input may raise the process's peak: what 200,000 items take, and half as much again
POOL_MAX: Final = 400
OUTCOMES_MAX: Final = 5_000
_PARTICULARS: Final = re.compile(r"[0-9]+|'[^']*'|\"[^\"]*\"|b'.*")
_NUMBERS: Final = (
    0, 1, -1, 127, 128, 255, 256, 65535, 65536, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 53) + 1,
    (1 << 63) - 1, 1 << 63, (1 << 64) - 1, -(1 << 31), -(1 << 63),
)  # fmt: skip
_WORDS: Final = (
    b"", b"\0", b"\xff", b"'", b'"', b"AND", b"EXISTS", b"=", b">=", b"\\", b"%00", b"[", b"{", b"1e999", b"-0", b"9" * 20,
)  # fmt: skip


@dataclass
class Report:
    """What a run of one target came to."""

    target: str
    inputs: int = 0
    refused: int = 0
    seconds: float = 0.0
    findings: list[tuple[bytes, str]] = field(default_factory=list)
    slowest_ms: float = 0.0
    grown_kib: int = 0
    peak_kib: int = 0  # the most by which one input has raised the process's peak

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "target": self.target,
            "inputs": self.inputs,
            "refused": self.refused,
            "seconds": round(self.seconds, 1),
            "inputs_per_s": round(self.inputs / self.seconds) if self.seconds else 0,
            "slowest_ms": round(self.slowest_ms, 1),
            "grown_kib": self.grown_kib,
            "peak_kib": self.peak_kib,
            "findings": [{"input": data.hex(), "error": error} for data, error in self.findings],
        }


def run_one(target: Target, data: bytes, report: Report) -> str:
    """Give one input to a target and note what came of it: "" if it was accepted, else in which words it was refused."""
    started = time.process_time()
    peak_kib = _peak_kib()
    outcome = ""
    try:
        target.run(data)
    except target.refusals as error:
        report.refused += 1
        outcome = f"{type(error).__name__} {error}"
    except Exception as error:  # noqa: BLE001  (a finding, whatever it is)
        outcome = f"{type(error).__name__}: {error}"[:300]
        report.findings.append((data, outcome))
    spent = time.process_time() - started
    report.inputs += 1
    report.slowest_ms = max(report.slowest_ms, spent * 1000)
    if spent > SLOW_SECONDS:
        report.findings.append((data, f"took {spent:.1f} s"))
    grown_kib = _peak_kib() - peak_kib
    report.peak_kib = max(report.peak_kib, grown_kib)
    if grown_kib > PEAK_KIB_MAX:
        report.findings.append((data, f"took {grown_kib // 1024} MiB"))
    return outcome


def fuzz(
    target: Target, seed: int, *, inputs: int = 0, seconds: float = 0.0, findings_max: int = 5, on_input: Callable[[], None] | None = None
) -> Report:
    """Run one target for so many inputs, or so many seconds."""
    report = Report(target.name)
    started = time.process_time()
    base = 0
    source = Source(target, seed)
    while True:
        data = source.next()
        source.learn(data, run_one(target, data, report))
        report.seconds = time.process_time() - started
        if on_input is not None:
            on_input()
        if report.inputs == 2_000:
            base = _memory_kib()  # after the warm-up
        if (inputs and report.inputs >= inputs) or (seconds and report.seconds >= seconds):
            break
        if len(report.findings) >= findings_max:
            break
    report.grown_kib = max(0, _memory_kib() - base) if base else 0
    return report


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _memory_kib() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 1024


class Source:
    """Inputs for one target: its seeds, then mutations of them and of what got furthest, without end."""

    def __init__(self, target: Target, seed: int) -> None:
        self._target = target
        self._chance = random.Random(f"{target.name}/{seed}")
        self._seeds = list(target.seeds())
        self._given = 0
        self._pool: list[bytes] = []
        self._heard: dict[str, int] = {}

    def next(self) -> bytes:
        """The next input."""
        self._given += 1
        if self._given <= len(self._seeds):
            return self._seeds[self._given - 1]
        chance = self._chance
        pool = self._pool if self._pool and chance.random() < 0.6 else self._seeds
        data = chance.choice(pool)
        for _ in range(chance.choice((1, 1, 1, 1, 2, 3, 8))):
            data = _mutate(chance, self._target.shape, data, pool)
        return data[:INPUT_BYTES_MAX]

    def learn(self, data: bytes, outcome: str) -> None:
        """What came of an input: whether its like is worth going on from."""
        words = _PARTICULARS.sub("#", outcome)[:100]
        times = self._heard.get(words, 0)
        if len(self._heard) < OUTCOMES_MAX or words in self._heard:
            self._heard[words] = times + 1
        is_accepted_again = not outcome and self._chance.random() < 0.2
        if times < 3 or is_accepted_again:
            if len(self._pool) < POOL_MAX:
                self._pool.append(data)
            else:
                self._pool[self._chance.randrange(POOL_MAX)] = data


def _mutate(chance: random.Random, shape: str, data: bytes, pool: list[bytes]) -> bytes:
    if shape in ("msgpack", "json") and chance.random() < 0.6:
        try:
            tree = msgpack.unpackb(data, strict_map_key=False) if shape == "msgpack" else json.loads(data)
            tree = _mutate_tree(chance, tree)
            return msgpack.packb(tree) if shape == "msgpack" else json.dumps(tree).encode()
        except (ValueError, TypeError, RecursionError, OverflowError, msgpack.exceptions.UnpackException):
            pass
    return _mutate_bytes(chance, data, pool)


def _mutate_tree(chance: random.Random, value: Any) -> Any:
    """One change somewhere in a tree."""
    if isinstance(value, list | dict) and value and chance.random() < 0.85:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        place = chance.choice(list(keys))
        copy = value.copy()
        action = chance.randrange(10)
        if action == 0:
            del copy[place]
        elif action == 1 and isinstance(copy, list):
            copy.insert(place, copy[place])
        elif action == 2 and isinstance(copy, list):
            copy += copy[: 1 << chance.randrange(8)]
        elif action == 3 and isinstance(copy, list):
            chance.shuffle(copy)
        else:
            copy[place] = _mutate_tree(chance, copy[place])
        return copy
    return _replace(chance, value)


def _replace(chance: random.Random, value: Any) -> Any:
    if isinstance(value, bytes) and value and chance.random() < 0.5:
        return _mutate_bytes(chance, value, [value])
    if isinstance(value, int) and not isinstance(value, bool) and chance.random() < 0.5:
        return chance.choice((*_NUMBERS, value + 1, value - 1, value ^ 1, value ^ (1 << chance.randrange(63))))
    choices: list[Callable[[], Any]] = [
        lambda: chance.choice(_NUMBERS),
        lambda: None,
        lambda: chance.random() < 0.5,
        lambda: [value],
        list,
        lambda: {"a": value},
        lambda: 1.5,
        lambda: chance.choice(_WORDS).decode("latin-1") * chance.choice((1, 2, 300)),
        lambda: _nest(value, chance.choice((2, 20, 200))),
    ]
    if isinstance(value, bytes) or (isinstance(value, str) and value):
        choices += [lambda: value[:-1], lambda: value + value[:1], lambda: value * 2, lambda: value[::-1], lambda: value[:0]] * 2
    return chance.choice(choices)()


def _nest(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value]
    return value


def _mutate_bytes(chance: random.Random, data: bytes, pool: list[bytes]) -> bytes:
    if not data:
        return chance.randbytes(chance.randrange(1, 64))
    place = chance.randrange(len(data))
    action = chance.randrange(9)
    if action == 0:
        return data[:place] + bytes((data[place] ^ (1 << chance.randrange(8)),)) + data[place + 1 :]
    if action == 1:
        return data[:place] + bytes((chance.randrange(256),)) + data[place + 1 :]
    if action == 2:
        return data[:place]
    if action == 3:
        return data[:place] + data[min(len(data), place + chance.choice((1, 2, 4, 32))) :]
    if action == 4:
        return data[:place] + chance.randbytes(chance.choice((1, 2, 4, 32))) + data[place:]
    if action == 5:
        end = min(len(data), place + chance.choice((1, 4, 32, 256)))
        return data[:end] + data[place:end] + data[end:]
    if action == 6:
        other = chance.choice(pool)
        return data[:place] + other[chance.randrange(len(other) + 1) :]
    if action == 7:
        return data[:place] + chance.choice(_WORDS) + data[place:]
    width = chance.choice((1, 2, 4, 8))
    number = chance.choice(_NUMBERS) % (1 << (8 * width))
    return data[:place] + number.to_bytes(width, "big") + data[place + width :]
