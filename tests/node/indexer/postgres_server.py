"""A PostgreSQL server of the machine's own, started for the tests: its folder, one socket in it, no port. Not a test file."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

START_S = 60
USER = "qenex"


class NoPostgres(Exception):
    """Why there is none."""


class PostgresServer:
    """Runs until `stop`. Raises `NoPostgres` if this machine has none."""

    def __init__(self) -> None:
        binary = shutil.which("postgres")
        if binary is None:
            raise NoPostgres("this machine has no PostgreSQL (no program postgres)")
        programs = Path(binary).resolve().parent
        if not (programs / "initdb").exists():
            raise NoPostgres(f"PostgreSQL of this machine has no initdb beside {binary}")
        try:
            import psycopg  # noqa: F401
        except ImportError as error:
            raise NoPostgres("the package psycopg is not installed") from error
        self._owner: dict[str, Any] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="qx-pg-"))  # short: a socket's path has a bound
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._owner = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        data = self.folder / "data"
        made = subprocess.run(
            [programs / "initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
            capture_output=True, text=True, timeout=START_S, cwd=self.folder, **self._owner,
        )  # fmt: skip
        if made.returncode:
            shutil.rmtree(self.folder)
            raise NoPostgres(f"initdb failed: {made.stderr.strip()[-200:]}")
        options = ["-k", str(self.folder), "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=50"]
        self._log = (self.folder / "log").open("wb")
        self._process = subprocess.Popen(
            [programs / "postgres", "-D", data, *options], stdout=self._log, stderr=self._log, cwd=self.folder, **self._owner
        )
        self._count = 0
        self._wait()

    def _wait(self) -> None:
        import psycopg

        deadline = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(self.dsn("postgres")).close()
                return
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise NoPostgres(f"PostgreSQL does not start: {error}") from error
            time.sleep(0.05)

    def dsn(self, name: str) -> str:
        return f"host={self.folder} dbname={name} user={USER}"

    def new_database(self) -> str:
        """The dsn of an empty database."""
        import psycopg

        self._count += 1
        name = f"test{self._count}"
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.dsn(name)

    def stop(self) -> None:
        """End it at once and remove everything."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
        self._process.wait(START_S)
        self._log.close()
        shutil.rmtree(self.folder)
