#!/bin/sh
# Sets Ruse up in .venv; arguments are extras: `sh setup.sh dev`. Run it again after a pull.
set -eu
cd "$(dirname "$0")"

suits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
for python in .venv/bin/python python3 python3.13 python3.12 python3.11 none; do
    if "$python" -c "$suits" 2>/dev/null; then break; fi
done
if [ "$python" = none ]; then
    echo "setup.sh: Ruse needs Python 3.11, 3.12 or 3.13; none is on the PATH" >&2
    exit 1
fi

# Debian's Python cannot make environments until its package python3-venv is there.
if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        if ! { apt-get update && apt-get install --yes python3-venv; } >/dev/null; then
            echo "setup.sh: install the package python3-venv and run this again" >&2
            exit 1
        fi
    fi
    "$python" -m venv --clear .venv
fi

echo "setup.sh: installing into .venv; a minute or two the first time" >&2
extras=$(IFS=,; echo "$*")
.venv/bin/python -m pip install --quiet --disable-pip-version-check ".${extras:+[$extras]}"
