#!/bin/sh
# Sets Ruse up in .venv; arguments are extras: `sh setup.sh dev`. Run it again after a pull.
set -eu
cd "$(dirname "$0")"

say() { echo "setup.sh: $*" >&2; }

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    suits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
    for python in python3 python3.13 python3.12 python3.11 none; do
        if "$python" -c "$suits" 2>/dev/null; then break; fi
    done
    if [ "$python" = none ]; then
        say "Ruse needs Python 3.11, 3.12 or 3.13; none is on the PATH"
        exit 1
    fi
    # Debian's Python makes no environments until its package python3-venv is there.
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        say "installing Debian's package python3-venv"
        export DEBIAN_FRONTEND=noninteractive
        if ! { apt-get update && apt-get install --yes python3-venv; } >/dev/null; then
            say "that failed; install python3-venv as root and run this again"
            exit 1
        fi
    fi
    "$python" -m venv --clear .venv
fi

say "installing into .venv; a minute or two the first time"
extras=$(IFS=,; echo "$*")
.venv/bin/python -m pip install --quiet --disable-pip-version-check --use-pep517 ".${extras:+[$extras]}"
