# Shared by scripts/testnet and scripts/test: a virtual environment that holds exactly what requirements.lock says.
# Sourced, not run. Sets ROOT and VENV; `prepare_venv` makes or re-uses the environment.

ROOT=$(cd -- "$(dirname -- "$0")/.." && pwd -P)
VENV=${QENEX_VENV:-$ROOT/.venv}

say() { printf '%s\n' "$*" >&2; }

fail() { say "error: $1"; shift; for line in "$@"; do say "  $line"; done; exit 2; }

find_python() {
    for name in python3.12 python3.11 python3 python; do
        if command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys, venv, ensurepip; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null
        then
            command -v "$name"
            return 0
        fi
    done
    return 1
}

# What the environment was made from: when this text is unchanged, nothing needs to be installed.
stamp_of() {
    "$1" -c '
import hashlib, pathlib, sys
root = pathlib.Path(sys.argv[1])
digest = hashlib.sha256()
for name in ("requirements.lock", "pyproject.toml"):
    digest.update((root / name).read_bytes())
print(digest.hexdigest(), root, sys.version.split()[0])
' "$ROOT"
}

prepare_venv() {
    if [ -x "$VENV/bin/python" ] && [ -f "$VENV/.qenex-stamp" ] &&
        [ "$(cat "$VENV/.qenex-stamp")" = "$(stamp_of "$VENV/bin/python")" ]
    then
        return 0
    fi
    python=$(find_python) || fail "Python 3.11 or 3.12 with the venv module is needed" \
        "Debian or Ubuntu: apt install python3.12 python3.12-venv"
    if ! [ -x "$VENV/bin/python" ] || ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
        say "[1/3] making $VENV with $("$python" --version)"
        "$python" -m venv --clear "$VENV" || fail "cannot make $VENV"
    else
        say "[1/3] using $VENV"
    fi
    say "[2/3] installing the locked dependencies (hashes are checked)"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$ROOT/requirements.lock" ||
        fail "the dependencies could not be installed" "is a package index reachable? see the lines above"
    say "[3/3] installing qenex"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e "$ROOT" ||
        fail "qenex itself could not be installed" "see the lines above"
    stamp_of "$VENV/bin/python" >"$VENV/.qenex-stamp"
}
