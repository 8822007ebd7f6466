"""The files of docs/deploy say what the code does: ports, paths, commands, exit codes; what can be run without containers is run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Any

import click
import pytest
import trio

from genesis.testnet import BASE_PORT, NetworkOptions, ports
from node.app import run_opened
from node.cli.main import COMMANDS, LazyGroup, main, qenex
from node.cli.output import EXIT_MISTAKE, EXIT_UPGRADE
from node.config import Home, Overrides, load_config
from node.opening import open_home
from node.rpc.client import Client
from node.testnet.files import create_network
from state.params import ConsensusParams
from state.primitives.keys import KeyKind
from tests.node.deploy.plain_yaml import read_yaml
from tests.node.ports import free_base_port
from tests.node.rpc.live import make_live, running, wait_for_height
from tests.test_tidy import PACKAGES

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "docs" / "deploy"
P2P, RPC, METRICS = ports(BASE_PORT, 0)
HOSTS = ["validator0", "validator1", "validator2", "validator3", "full0"]


def read(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def compose() -> Any:
    return read_yaml(read("compose.yaml"))


# what is generated


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("monitor rules --prometheus", "deploy/qenex.rules.yml"),
        ("monitor dashboard", "deploy/grafana/qenex.json"),
        ("config reference", "configuration.md"),
    ],
)
def test_generated_files_are_up_to_date(command: str, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 0
    assert capsys.readouterr().out == (ROOT / "docs" / file).read_text(encoding="utf-8"), f"run: qenex {command} >docs/{file}"


def test_every_variable_of_the_environment_is_documented() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    found: dict[str, Path] = {}
    for folder in (*PACKAGES, "scripts"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix in (".py", ".sh", ""):
                found |= dict.fromkeys(re.findall(r"\bQENEX_[A-Z0-9_]*[A-Z0-9]\b", path.read_text(encoding="utf-8")), path)
    assert len(found) > 8
    for name in found.keys() - {"QENEX_SECTION_KEY"}:
        assert f"`{name}`" in text or f"`{name}=" in text, f"{name} of {found[name]}"


# commands


def commands_in(text: str) -> Iterator[list[str]]:
    """Every `qenex ...` of a file; comments and lists of arguments as well."""
    for line in text.splitlines():
        for match in re.finditer(r"(?:^|[\s`/])qenex ((?:[a-z][a-z0-9-]*|--[a-z-]+|[^\s`\"']+)(?: [^\s`\"']+)*)", line):
            words = [word.rstrip(").,;:") for word in match.group(1).split()]
            if words[0] in COMMANDS:
                yield words
    for match in re.finditer(r'"qenex", ("[^\]]+)\]', text):
        yield json.loads(f"[{match.group(1)}]")


def require_known(words: list[str]) -> None:
    """That there is such a command and that it has these options."""
    command: click.Command = qenex
    rest = list(words)
    while rest and isinstance(command, click.Group):
        found = command.get_command(click.Context(command), rest.pop(0))
        assert found is not None, words
        command = found
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    for word in rest:
        if word in (">", "&&", "|"):
            break
        if word.startswith("--"):
            assert word.partition("=")[0] in options, (words, word)


def test_every_command_in_these_files_exists(compose: Any) -> None:
    seen = 0
    for path in [*DEPLOY.rglob("*"), ROOT / "docs" / "configuration.md", ROOT / "docs" / "running-a-validator.md"]:
        if path.is_file():
            for words in commands_in(path.read_text(encoding="utf-8")):
                require_known(words)
                seen += 1
    assert seen > 20
    for service in compose["services"].values():
        if str(service["image"]).startswith("qenex"):
            require_known(service["command"])
    assert isinstance(qenex, LazyGroup)


# compose.yaml


def test_the_network_of_containers_is_what_the_files_of_the_network_say(compose: Any, tmp_path: Path) -> None:
    services = compose["services"]
    command = services["network"]["command"]
    root = tmp_path / "network"
    for number in range(len(HOSTS)):  # volumes are mounted where the homes will be
        (root / f"node{number}").mkdir(parents=True)
    for _ in range(2):  # the second time it is there already
        assert main([str(root) if word == "/network" else word for word in command]) == 0
    manifest = json.loads((root / "network.json").read_text())
    assert [entry["rpc"] for entry in manifest["nodes"]] == [f"{host}:{RPC}" for host in HOSTS]
    assert [bool(entry["validator"]) for entry in manifest["nodes"]] == [True] * 4 + [False]
    for number, host in enumerate(HOSTS):
        service = services[host]
        assert service["volumes"] == [f"node{number}:/var/lib/qenex"]
        assert f"node{number}:/network/node{number}" in services["network"]["volumes"]
        assert service["command"] == ["start", "--home", "/var/lib/qenex"]
        assert service["healthcheck"]["test"][-1] == f"http://127.0.0.1:{RPC}"
        assert service["depends_on"] == {"network": {"condition": "service_completed_successfully"}}
        config = load_config(root / f"node{number}" / "config.toml", environment={})
        assert [config.p2p.listen, config.rpc.listen, config.metrics.listen] == [f"0.0.0.0:{port}" for port in (P2P, RPC, METRICS)]
        others = [peer.partition("@")[2] for peer in config.p2p.peers]
        assert others == [f"{other}:{P2P}" for other in HOSTS[:4] if other != host]
        assert (root / f"node{number}" / "keys" / "validator.json").exists() is (number < 4)
    assert [host for host in HOSTS if "ports" in services[host]] == ["full0"]
    assert services["full0"]["ports"] == [f"127.0.0.1:{RPC}:{RPC}"]
    targets = read_yaml(read("prometheus.yml"))["scrape_configs"][0]["static_configs"][0]["targets"]
    assert targets == [f"{host}:{METRICS}" for host in HOSTS]


def test_every_container_is_closed_as_far_as_it_goes(compose: Any) -> None:
    mounted = set()
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "healthcheck" in service and "privileged" not in service, name
        assert service["image"].startswith("qenex-") or re.fullmatch(r"[a-z]+/[a-z]+:v?[0-9]+\.[0-9]+\.[0-9]+", service["image"]), name
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name
        for volume in service["volumes"]:
            source, target, *mode = volume.split(":")
            if source.startswith("./"):
                assert (DEPLOY / source).is_file() and mode == ["ro"], volume
            else:
                mounted.add(source)
                assert target.startswith("/"), volume
        if service["image"].startswith("qenex"):
            assert service["user"] == "10001:10001"
    assert mounted == set(compose["volumes"])
    used = {network for service in compose["services"].values() for network in service.get("networks", ())}
    assert used == set(compose["networks"])


def test_grafana_finds_its_files(compose: Any) -> None:
    mounts = dict(volume.split(":")[1::-1] for volume in compose["services"]["grafana"]["volumes"])
    folder = read_yaml(read("grafana/dashboards.yml"))["providers"][0]["options"]["path"]
    assert mounts[f"{folder}/qenex.json"] == "./grafana/qenex.json"
    assert compose["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == f"{folder}/qenex.json"
    source = read_yaml(read("grafana/datasources.yml"))["datasources"][0]
    assert (source["type"], source["isDefault"], source["url"]) == ("prometheus", True, "http://prometheus:9090")
    rules = dict(volume.split(":")[1::-1] for volume in compose["services"]["prometheus"]["volumes"])
    assert read_yaml(read("prometheus.yml"))["rule_files"] == ["/etc/prometheus/qenex.rules.yml"]
    assert rules["/etc/prometheus/qenex.rules.yml"] == "./qenex.rules.yml"


# by name


async def test_peers_find_one_another_by_name(tmp_path: Path) -> None:
    """Homes as `testnet init --hosts` makes them; here the hosts are three addresses of this machine, one of them by a name."""
    hosts, base = ("localhost", "127.0.0.2", "127.0.0.3"), free_base_port()
    options = NetworkOptions(
        validators=2, full_nodes=1, hosts=hosts, base_port=base, time_ns=10**18, vote_key_kind=KeyKind.MLDSA44,
        block_interval_ms=100, params=ConsensusParams(block_interval_ms=100),
    )  # fmt: skip
    create_network(tmp_path / "net", options)

    async def run(number: int, *, task_status: trio.TaskStatus[Any]) -> None:
        host = "127.0.0.1" if number == 0 else hosts[number]
        settings = {f"{section}.listen": f"{host}:{base + port}" for section, port in (("p2p", 0), ("rpc", 1), ("metrics", 4))}
        with ExitStack() as stack:
            overrides = Overrides({**settings, "workers.signatures": "0", "index.backend": "off"})
            await run_opened(open_home(tmp_path / "net" / f"node{number}", overrides, stack), task_status=task_status)

    with trio.fail_after(240):
        async with trio.open_nursery() as nursery:
            for number in range(3):
                await nursery.start(run, number)
            async with Client(f"http://127.0.0.3:{base + 1}") as follower:
                await wait_for_height(follower, 2)
                assert (await follower.call("net_info"))["n_peers"] == "2"
            nursery.cancel_scope.cancel()


# the image


def copied_into(stage: str) -> list[str]:
    """What the first stage copies from the repository."""
    return [word for line in re.findall(r"^COPY (.+)$", stage, re.MULTILINE) for word in line.split()[:-1]]


def names_of(requirements: list[str] | None) -> list[str]:
    """Without those of extras."""
    return [re.split(r"[\[<>=!~; (]", text)[0].lower().replace("_", "-") for text in requirements or () if "extra" not in text]


def test_the_locked_packages_of_the_image_are_those_that_a_node_needs() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "scripts" / "runtime_lock.py")], capture_output=True, text=True, check=True)
    found = {line.split("==")[0] for line in done.stdout.splitlines() if re.match(r"[a-z]", line)}
    needed: set[str] = set()
    waiting = names_of(metadata.requires("qenex-node"))
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        try:
            asked = metadata.requires(name)
        except metadata.PackageNotFoundError:
            continue  # of another platform
        needed.add(name)
        waiting += names_of(asked)
    assert needed <= found
    assert not found & {"pytest", "mypy", "ruff", "hypothesis", "setuptools", "psycopg"}
    hashed = [block for block in re.split(r"\n(?=[a-z])", done.stdout.strip()) if "--hash=sha256:" in block]
    assert len(hashed) == len(found)
    assert "find-links" not in done.stdout


def test_the_wheel_of_the_image_is_whole(tmp_path: Path) -> None:
    """The first stage's own steps, with the build backend that is installed here."""
    text = read("Containerfile")
    builder = text.partition("AS builder")[2].partition("\nFROM")[0]
    names = copied_into(builder)
    assert set(PACKAGES) <= set(names)
    source = tmp_path / "source"
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = "wheel --no-deps --no-build-isolation --no-index --wheel-dir wheels ."
    install = "install --no-deps --no-index"
    assert f"pip {build}" in builder and f"pip {install} wheels/*.whl" in builder
    subprocess.run([*pip, *build.split()], cwd=source, check=True)
    (wheel,) = (source / "wheels").glob("*.whl")
    target = tmp_path / "target"
    subprocess.run([*pip, *install.split(), "--target", str(target), str(wheel)], cwd=tmp_path, check=True)
    for package in PACKAGES:
        there = {path.relative_to(target) for path in (target / package).rglob("*") if path.is_file() and path.suffix != ".pyc"}
        wanted = {path.relative_to(ROOT) for path in (ROOT / package).rglob("*") if path.is_file() and path.suffix != ".pyc"}
        assert there == wanted
    code = "import node, sys; from node.cli.main import main; print(node.__file__); sys.exit(main(['version']))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(target)}, capture_output=True, text=True, check=False
    )
    assert str(target) in done.stdout and "qenex " in done.stdout, done.stderr


def test_the_image_says_what_the_code_says(compose: Any) -> None:
    text = read("Containerfile")
    assert re.search(r"^EXPOSE (.*)$", text, re.MULTILINE).group(1) == f"{P2P} {RPC} {METRICS}"  # type: ignore[union-attr]
    versions = set(re.findall(r"FROM python:([0-9.]+)-slim", text))
    assert versions == {"3.12"}
    check = json.loads(re.search(r"HEALTHCHECK .* CMD (\[.*\])", text).group(1))  # type: ignore[union-attr]
    node = compose["services"]["validator0"]
    assert node["healthcheck"]["test"] == ["CMD", *check]
    assert json.loads(re.search(r"^CMD (\[.*\])", text, re.MULTILINE).group(1)) == node["command"]  # type: ignore[union-attr]
    stages = re.findall(r"^FROM \S+ AS (\w+)", text, re.MULTILINE)
    assert {service["build"]["target"] for service in compose["services"].values() if "build" in service} <= set(stages)
    assert re.findall(r"^USER (\S+)", text, re.MULTILINE) == ["10001:10001", "0:0", "10001:10001"]  # root only to make folders
    made = re.search(r"-m 0700 /network (.*)$", text, re.MULTILINE).group(1).split()  # type: ignore[union-attr]
    assert made == [f"/network/node{number}" for number in range(len(HOSTS))]
    packages = re.search(r"grep -A (\d+) '\^setuptools==' requirements.lock", text)
    assert packages is not None
    lock = (ROOT / "requirements.lock").read_text().split("\n")
    first = next(i for i, line in enumerate(lock) if line.startswith("setuptools=="))
    wanted = [line for line in lock[first : first + int(packages.group(1)) + 1] if "# " not in line]
    assert [line.endswith("\\") for line in wanted] == [True] * (len(wanted) - 1) + [False]  # the whole requirement, and no other


async def test_the_health_check_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    live = make_live(tmp_path / "net", 1)

    async def ask(*arguments: str) -> tuple[int, Any]:
        code = await trio.to_thread.run_sync(main, ["health", "--node", live.url, "--json", *arguments])
        return code, json.loads(next(line for line in reversed(capsys.readouterr().out.splitlines()) if line.startswith("{")))

    code, answer = await ask()
    assert (code, answer["good"]) == (1, False)
    assert "no answer" in answer["reason"]
    async with running(live, 1), Client(live.url) as client:
        await wait_for_height(client, 1)
        assert await ask() == (0, {"node": live.url, "good": True, "reason": ""})
        assert await ask("--ready") == (0, {"node": live.url, "good": True, "reason": ""})
    for url in ("ftp://127.0.0.1:1", "http://", "http://127.0.0.1:0", "http://[", "http://127.0.0.1:99999"):
        assert main(["health", "--node", url, "--json"]) == 2
        assert "not an RPC address" in json.loads(capsys.readouterr().err)["error"]["message"]


# the unit


def test_the_unit_says_what_the_code_says() -> None:
    rows = [line.partition("=")[::2] for line in read("qenex.service").splitlines() if re.match(r"[A-Z]\w*=", line)]
    unit = dict(rows)
    assert unit["RestartPreventExitStatus"].split() == [str(EXIT_MISTAKE), str(EXIT_UPGRADE)]
    assert (unit["StateDirectory"], unit["StateDirectoryMode"], unit["UMask"]) == ("qenex", "0700", "0077")
    assert unit["Environment"] == "QENEX_HOME=/var/lib/qenex"
    assert "--home /var/lib/qenex/node" in unit["ExecStart"]
    assert "-HUP" in unit["ExecReload"]


@pytest.mark.needs("systemd-analyze", "apt-get install systemd")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "qenex.service"
    unit.write_text(read("qenex.service").replace("/usr/local/bin/qenex", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_homes_of_the_files_are_read(tmp_path: Path) -> None:
    """A home in an empty folder that is there already, as a volume is; its folders are closed."""
    root = tmp_path / "volume"
    root.mkdir(mode=0o755)
    assert main(["init", "--home", str(root), "--no-encrypt"]) == 0
    assert root.stat().st_mode & 0o777 == 0o700
    assert Home(root).keys_dir.stat().st_mode & 0o777 == 0o700
