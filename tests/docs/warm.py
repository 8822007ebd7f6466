"""A `qenex` without the second that Python takes to start: a process that has imported everything and forks for each command.

`python -m tests.docs.warm` reads one JSON object a line ({argv or program, cwd, env, output, seconds}) and answers with the exit code.
Every command has a process, an environment and a folder of its own, as it has when a person types it; standard output and error go to
the file `output`. When standard input ends and a network is still up, it is taken down: whoever asked was stopped and could not.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from typing import Any

DOWN_S = 60


def main() -> None:
    """Serve until standard input ends."""
    from node.cli.main import COMMANDS

    for module in sorted({row[0] for row in COMMANDS.values()} | {"node.rpc.client", "node.cli.session", "state.machine"}):
        import_module(module)
    import_module("node.rpc.client").Client("http://127.0.0.1:1")  # what its parts import when the first is made
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asks; here it comes as the end of the input
    up: dict[str, Any] | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        verb = asked.get("argv", [])[:2]
        up = asked if verb == ["testnet", "up"] else None if verb == ["testnet", "down"] else up
        code = run_one(asked)
        with suppress(BrokenPipeError):
            print(code, flush=True)
    if up is not None:
        run_one(up | {"argv": ["testnet", "down"], "cwd": "/", "output": os.devnull, "seconds": DOWN_S})


def run_one(asked: dict[str, Any]) -> int:
    """The exit code of one command; -14 if it took too long."""
    child = os.fork()
    if child == 0:
        become(asked)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def become(asked: dict[str, Any]) -> None:
    """Be the command; does not return."""
    code = 70
    try:
        from node.cli.main import main as qenex

        out = os.open(asked["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.alarm(int(asked["seconds"]))
        os.chdir(asked["cwd"])
        os.environ.clear()
        os.environ.update(asked["env"])
        code = run_program(asked["program"]) if "program" in asked else qenex(asked["argv"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run_program(source: str) -> int:
    """Run a program of a page; 1 with a traceback if it raises."""
    try:
        exec(compile(source, "<page>", "exec"), {"__name__": "__main__"})
    except BaseException:  # noqa: BLE001 - this process is the program's; its traceback is the answer
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main()
