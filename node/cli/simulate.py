"""`qenex simulate`: clusters in one process under faults, from seeds; planted bugs; shrinking a run that fails."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.output import EXIT_FAILED, EXIT_OK, answer, json_option, table
from node.cli.values import COUNT, NUMBER
from state.primitives.errors import ConfigError

if TYPE_CHECKING:
    from node.simulator.shrink import Shrunk, Size
    from node.simulator.sweep import Failure
    from node.simulator.verdict import Verdict

_FAULT: Final = re.compile("[0-9]{1,9}", re.ASCII)
LOCKSTEP_PER_SEED = 100  # scenarios for each swarm when both generators run: about as long
JOBS_MAX = 256


@click.command()
@click.option("--seeds", type=COUNT, help="Swarms of whole nodes [default: 20, or 0 with --lockstep].")
@click.option("--seed", type=NUMBER, help="Run this one seed (alone, unless --seeds says how many from it on).")
@click.option("--lockstep", type=COUNT, help="Lock-step scenarios [default: 100 for each seed, 0 with --faults].")
@click.option("--validators", type=click.IntRange(0, 200), default=0, help="How many validators [default: 4 to 7, by the seed].")
@click.option("--heights", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Heights of a swarm.")
@click.option("--faults", help="Profile of faults for swarms: all, none, network, crash, disk, clock, byzantine [default: all].")
@click.option("--accountability", is_flag=True, help="Lock-step with more than a third of cheats: every fork must convict a third.")
@click.option("--bug", help="Plant this bug and count the scenarios until it is caught.")
@click.option("--list-bugs", is_flag=True, help="Name the bugs that can be planted.")
@click.option("--mask", default="", help="Numbers of faults to leave out, such as 3,7,12 (with --seed).")
@click.option("--trace", is_flag=True, help="Print every event (with --seed).")
@click.option("--shrink", is_flag=True, help="Make a failing run smaller (with --seed, or with --bug).")
@click.option("--jobs", type=click.IntRange(1, JOBS_MAX), help="Processes [default: one for each processor].")
@json_option
def simulate(**options: Any) -> int:
    """Run whole clusters in one process, with virtual time and faults from a seed, and check what must always hold.

    Two generators: swarms of whole nodes under network, disk, clock and crash faults and with validators that cheat; and lock-step
    scenarios, in which an adversary decides who hears whom in each round. The same seed gives the same run, byte for byte.
    Exit code 1 if anything was violated, did not go on after healing, or (in a large run) was never reached.
    """
    if options["list_bugs"]:
        return _list_bugs(options["as_json"])
    _check(options)
    if options["bug"] is not None and not options["trace"] and not options["mask"]:
        return _hunt(options)
    if options["trace"] or options["shrink"] or options["mask"]:
        return _one(options)
    return _sweep(options)


def _check(options: dict[str, Any]) -> None:
    from node.simulator.bugs import BUGS
    from node.simulator.swarm import FAULT_PROFILES

    faults, bug = options["faults"], options["bug"]
    if faults is not None and faults not in FAULT_PROFILES:
        raise ConfigError(f"there is no profile of faults {faults!r}", hint=f"one of {', '.join(FAULT_PROFILES)}")
    if bug is not None and bug not in BUGS:
        raise ConfigError(f"there is no bug {bug!r}", hint="see: qenex simulate --list-bugs")
    if options["validators"] and not options["lockstep"] and options["validators"] < 4:
        raise ConfigError("a cluster has at least 4 validators")
    if (options["lockstep"] or bug is not None or options["accountability"]) and options["validators"] not in (0, 4, 5, 6, 7):
        raise ConfigError("lock-step scenarios have 4 to 7 validators")
    if faults is not None and not options["seeds"] and (options["lockstep"] is not None or bug is not None or options["accountability"]):
        raise ConfigError("--faults is of swarms, and here is none", hint="give --seeds as well, or leave --faults out")
    needs_seed = options["trace"] or options["mask"] or (options["shrink"] and bug is None)
    if needs_seed and options["seed"] is None:
        raise ConfigError("--trace, --mask and --shrink need --seed")


def _list_bugs(as_json: bool) -> int:
    from node.simulator.bugs import BUGS

    rows = [(bug.name, bug.rule, str(bug.budget), bug.text) for bug in BUGS.values()]
    data = [{"bug": name, "rule": rule, "budget": int(budget), "text": text} for name, rule, budget, text in rows]
    answer(as_json, data, table(rows, ("bug", "rule", "budget", "what it does")))
    return EXIT_OK


def _hunt(options: dict[str, Any]) -> int:
    from node.simulator.bugs import BUGS
    from node.simulator.shrink import shrink
    from node.simulator.sweep import hunt

    name, first = options["bug"], options["seed"] or 0
    after, why = hunt(name, first, BUGS[name].budget, options["validators"], options["jobs"] or os.cpu_count() or 1)
    data: dict[str, Any] = {"bug": name, "caught": bool(after), "after": after}
    lines = [f"{name}: caught after {after} scenarios: {why}" if after else f"{name}: not caught in {BUGS[name].budget} scenarios"]
    if after and options["shrink"]:
        seed = first + after - 1
        with _run_of(options, seed) as run:
            small = shrink(run, _size_of(options))
        replay = _command(options, seed, small.size, small.mask, is_lockstep=True)
        data |= {"seed": seed, "faults": small.kept, "mask": sorted(small.mask), "runs": small.runs, "replay": replay}
        data["shrunk"] = _describe(small)
        lines.append(f"smallest run: seed {seed} with {small.kept} faults, found in {small.runs} runs: {replay}")
    answer(options["as_json"], data, lines)
    return EXIT_OK if after else EXIT_FAILED


def _one(options: dict[str, Any]) -> int:
    """One seed, watched or made smaller."""
    from node.simulator.shrink import shrink

    seed, mask = options["seed"], _parse_mask(options["mask"])
    trace = partial(click.echo, err=options["as_json"]) if options["trace"] else None
    with _run_of(options, seed, mask) as run:
        verdict = run(_size_of(options), frozenset(), trace)
        data: dict[str, Any] = {
            "seed": seed, "violations": list(verdict.violations), "liveness_failures": list(verdict.liveness_failures),
            "sometimes": verdict.sometimes, "heights": verdict.heights, "faults": verdict.faults_drawn, "validators": verdict.validators,
            "trace_hash": verdict.trace_hash, **verdict.figures,
        }  # fmt: skip
        lines = [*verdict.violations, *verdict.liveness_failures]
        lines.append(f"seed {seed}: {'ok' if verdict.is_ok else 'FAILED'}, {verdict.trace_hash}")
        if options["shrink"] and not verdict.is_ok:
            small = shrink(run, _size_of(options))
            left_out = mask | small.mask
            replay = _command(options, seed, small.size, left_out, is_lockstep=_is_lockstep(options))
            data |= {"mask": sorted(left_out), "kept": small.kept, "replay": replay, "shrunk": _describe(small)}
            lines.append(f"still fails with {small.kept} faults: {replay}")
    answer(options["as_json"], data, lines)
    return EXIT_OK if verdict.is_ok else EXIT_FAILED


def _is_lockstep(options: dict[str, Any]) -> bool:
    return bool(options["lockstep"]) or options["accountability"] or options["bug"] is not None


def _size_of(options: dict[str, Any]) -> Size:
    from node.simulator.shrink import Size

    return Size(options["validators"], 1 if _is_lockstep(options) else options["heights"])


@contextmanager
def _run_of(options: dict[str, Any], seed: int, left_out: frozenset[int] = frozenset()) -> Iterator[Callable[..., Verdict]]:
    """What runs one seed as the options say, with the bug that they name in its place meanwhile."""
    from node.simulator.bugs import planted
    from node.simulator.lockstep import run_lockstep
    from node.simulator.player import DRIVER
    from node.simulator.swarm import run_swarm

    with planted(options["bug"]) if options["bug"] else nullcontext() as bug:
        habits = DRIVER if bug is None else bug.habits

        def run(size: Size, mask: frozenset[int], say: Callable[[str], None] | None = None) -> Verdict:
            mask |= left_out
            if _is_lockstep(options):
                exceeds = options["accountability"]
                return run_lockstep(seed, validators=size.validators, mask=mask, habits=habits, exceeds=exceeds, trace=say)
            faults = options["faults"] or "all"
            return run_swarm(seed, validators=size.validators, heights=size.heights, faults=faults, mask=mask, trace=say)

        yield run


def _describe(small: Shrunk) -> dict[str, Any]:
    verdict = small.verdict
    return {"validators": verdict.validators, "heights": small.size.heights, "faults": small.kept, "trace_hash": verdict.trace_hash}


def _command(options: dict[str, Any], seed: int, size: Size, mask: frozenset[int], *, is_lockstep: bool) -> str:
    """The command that runs one seed again, with all that makes it this run. An empty mask cannot be typed; watching runs one as well."""
    parts = [f"qenex simulate --seed {seed}"]
    if size.validators:
        parts.append(f"--validators {size.validators}")
    if options["bug"] is not None:
        parts.append(f"--bug {options['bug']}")
    elif is_lockstep:
        parts.append("--accountability" if options["accountability"] else "--lockstep 1")
    else:
        parts.append(f"--faults {options['faults'] or 'all'} --heights {size.heights}")
    parts.append(f"--mask {','.join(map(str, sorted(mask)))}" if mask else "--trace")
    return " ".join(parts)


def _parse_mask(text: str) -> frozenset[int]:
    parts = [part for part in text.split(",") if part]
    if not all(_FAULT.fullmatch(part) for part in parts):
        raise ConfigError(f"--mask {text} is not a list of numbers", hint="such as 3,7,12")
    return frozenset(map(int, parts))


def _sweep(options: dict[str, Any]) -> int:
    from node.simulator.shrink import Size
    from node.simulator.sweep import LOCKSTEP, SWARM, make_parts, run_sweep

    first, validators = options["seed"] or 0, options["validators"]
    lockstep, seeds, faults = options["lockstep"], options["seeds"], options["faults"]
    if seeds is None:
        seeds = 0 if lockstep is not None or options["accountability"] else 1 if options["seed"] is not None else 20
    if lockstep is None:
        is_both = faults is None and validators in (0, 4, 5, 6, 7)
        lockstep = LOCKSTEP_PER_SEED * seeds if is_both else 1_000 if options["accountability"] else 0

    def replay_of(item: Failure) -> str:
        return _command(options, item.seed, Size(validators, options["heights"]), frozenset(), is_lockstep=item.generator == LOCKSTEP)

    profile = "accountability" if options["accountability"] else "all"
    if not seeds + lockstep:
        raise ConfigError("there is nothing to simulate", hint="give --seeds or --lockstep more than 0")
    parts = make_parts(SWARM, first, seeds, validators, options["heights"], faults or "all")
    parts += make_parts(LOCKSTEP, first, lockstep, validators, 1, profile)
    totals = _run(parts, run_sweep, options, seeds + lockstep)
    per_s = round((totals.seeds or totals.scenarios) / totals.seconds, 2) if totals.seconds else 0.0
    data: dict[str, Any] = {
        "seeds": totals.seeds, "scenarios": totals.scenarios, "violations": totals.violations,
        "liveness_failures": totals.liveness_failures, "sometimes": dict(sorted(totals.sometimes.items())),
        "seeds_per_s": per_s, "trace_hash": totals.trace_hash,
    }  # fmt: skip
    if totals.per_height:
        data["per_height"] = totals.per_height
    if totals.failures:
        data["failures"] = [
            {"seed": item.seed, "kind": item.kind, "message": item.message, "replay": replay_of(item)} for item in totals.failures
        ]
    if totals.never_reached:
        data["never_reached"] = totals.never_reached
    lines = [f"{totals.seeds} seeds, {totals.scenarios} scenarios in {totals.seconds:.1f} s ({per_s:g} per second)"]
    lines += [f"{totals.violations} safety violations, {totals.liveness_failures} liveness failures, trace {totals.trace_hash[:16]}"]
    if totals.per_height:
        cost = totals.per_height
        lines += [f"a height costs {cost['cpu_ms']:,} ms of processor time, {cost['messages']:,} messages, {cost['bytes']:,} bytes"]
    lines += [f"  {times:>9,}  {what}" for what, times in sorted(totals.sometimes.items())]
    lines += [f"never reached: {what}" for what in totals.never_reached]
    lines += [f"FAILED {item.kind}: {item.message}\n  {replay_of(item)}" for item in totals.failures]
    answer(options["as_json"], data, lines)
    return EXIT_FAILED if totals.violations or totals.liveness_failures or totals.never_reached else EXIT_OK


def _run(parts: Any, run_sweep: Any, options: dict[str, Any], count: int) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=options["as_json"]) as progress:
        task = progress.add_task("simulating", total=count)

        def on_part(part: Any, totals: Any) -> None:
            wrong = totals.violations + totals.liveness_failures
            speed = totals.scenarios / totals.seconds if totals.seconds else 0.0
            progress.update(task, advance=part.count, description=f"{part.generator} {speed:.1f}/s, {wrong} failures")

        def on_height(height: int) -> None:
            progress.update(task, description=f"{parts[0].generator} at height {height} of {options['heights']}")

        return run_sweep(parts, options["jobs"] or os.cpu_count() or 1, on_part, on_height)
