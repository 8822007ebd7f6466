"""docs/configuration.md: made from the table of settings, the table of how they change, and the list of variables below.

`qenex config reference` prints it and a test compares, so a setting or a variable cannot be missing in it.
"""

from __future__ import annotations

from typing import Final

from node.config import allowed_values, setting_keys, show_value, variable_of
from node.config_sections import LOG_MODULES, SECTIONS, Config
from node.reload import WAYS

# Those that are no settings of a node.
VARIABLES: Final[dict[str, str]] = {
    "QENEX_HOME": "the folder of homes, keys and local networks, in place of the platform's",
    "QENEX_NODE": "RPC address for commands that ask a node, in place of `--node`",
    "QENEX_TOKEN": "bearer token that commands and the Python client send to the RPC",
    "QENEX_PASSPHRASE": "passphrase of encrypted keys, in place of `--passphrase-file`",
    "QENEX_TRACEBACK": "any text: a defect shows its traceback in place of one line",
    "QENEX_VENV": "where `scripts/` make their virtual environment, in place of `.venv`",
}

_HEAD: Final = """# Settings

Made by `qenex config reference`; a test compares.

| command | what |
|---|---|
| `qenex config show` | every setting as a start would use it, and where it comes from; secrets are not shown |
| `qenex config check` | the same check as at a start, with the files that settings name; starts and changes nothing |
| `qenex config reload` | a running node reads its settings again |
| `qenex config where` | where homes, keys and local networks lie |

A setting is looked for in `--set section.key=value` of `qenex start`, then in the environment, then in `HOME/config.toml`; else it is the
default. A list is written with commas in the environment: `QENEX_LOG_LEVELS=consensus=debug,p2p=warning`. An unknown key, variable or
option, and a value that is not allowed, is refused with one line that names the file, the line, the value and what is allowed.

## Reading them again

`qenex config reload`, or SIGHUP (`systemctl reload qenex`), has a running node read `config.toml` again. The whole file is checked first,
with the certificates, rules, secrets and tokens it names: a mistake changes nothing. What says "at once" below is then in force; the
others are named as waiting for a restart, each time until there is one. Variables and `--set` are those of the start. Over the RPC this
needs a token of the role operator (`qenex rpc token new`), also where `[rpc] access` is open; `qenex config reload --home DIR` sends the
signal, and the log says what came of it.

SIGHUP of a terminal that was closed stops a node that was started from it.

## Log levels

`[log] level` is that of all modules, `levels` of single ones. While a node runs:

```sh
qenex log level                              # who logs what
qenex log level consensus debug --for 10m    # and back by itself
qenex log level all warning                  # until the node ends, or until:
qenex log level all default                  # what the settings say
```

This needs a token of the role operator. Modules: {modules}. Logs go to standard error; keeping and rotating them is the supervisor's. A
line that cannot be written (a full disk, a terminal that is gone) is lost and ends nothing. A call of a level that is off took 0.37 us
of processor time on the machine of the figures in the README, beside other work; an empty function with the same arguments took 0.19
us: `python -m timeit -p -s 'from node.telemetry.logs import get_log; log = get_log("consensus")' 'log.debug("said", height=7,
round=0)'`.

## Where things lie

Without `--home`, below one folder: `QENEX_HOME` if it is set; else `~/.qenex` if there is one, of an older version; else
`$XDG_DATA_HOME/qenex` or `~/.local/share/qenex`, on macOS `~/Library/Application Support/qenex`. In it `node` is the home, `keys` are the
user's, `testnet` the local network. As a service: `/var/lib/qenex` (docs/deploy). A home, its `keys` and its `data` are the node's user's
alone: a start takes the rights of others away (0700) and says so, and refuses a folder that others can write to and that it cannot close.
"""


def render_page() -> str:
    """The page of the documentation."""
    modules = ", ".join(f"`{name}` ({about})" for name, about in LOG_MODULES.items())
    out = [_HEAD.replace("{modules}", modules), _render_section("Of the node", [key for key in setting_keys() if "." not in key])]
    for name, section in SECTIONS.items():
        title = (section.__doc__ or name).partition("\n")[0]
        out.append(_render_section(f"`[{name}]`", [f"{name}.{key}" for key in section.__struct_fields__], title))
    out.append("\n## Other variables of the environment\n\n| variable | what it is |\n|---|---|\n")
    out += [f"| `{name}` | {about} |\n" for name, about in VARIABLES.items()]
    return "".join(out)


def _render_section(head: str, keys: list[str], about: str = "") -> str:
    lines = [f"\n## {head}\n"]
    if about:
        text = about.partition("]: ")[2] or about
        lines.append(f"\n{text[0].upper()}{text[1:]}\n")
    lines.append("\n| setting | allowed | default | variable | changes |\n|---|---|---|---|---|\n")
    for key in keys:
        way = WAYS[key]
        changes = f"{'at once' if way.at_once else 'restart'}: {way.about}"
        cells = (f"`{key.rpartition('.')[2]}`", allowed_values(key), f"`{show_value(Config(), key)}`", f"`{variable_of(key)}`", changes)
        lines.append(f"| {' | '.join(cells)} |\n")
    return "".join(lines)
